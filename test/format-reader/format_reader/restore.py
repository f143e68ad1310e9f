"""A backup's bytes (README.md, "Reading a backup", 3 and 4)."""

from collections.abc import Iterator
from typing import NamedTuple

from .backups import Backup
from .errors import Refusal
from .packs import CHUNK, PAGE
from .repository import Repository
from .tables import Place, parse_table


class Piece(NamedTuple):
    """Bytes of a volume that are not zeros, or not known to be."""

    offset: int
    data: bytes


def places_of_page(repository: Repository, backup: Backup, number: int) -> Iterator[tuple[int, Place]]:
    """The chunks of one page that lie in packs, each with its number in the volume (bytes.md, "Location tables":
    page)."""
    at = backup.pages.entries[number]
    if at is None:
        return
    where = f"page {number} of roots/{backup.name}, in {at.pack}"
    page = repository.packs.blob(at, PAGE, "PageMissing", "PageCorrupt")
    table = parse_table(page, "PageCorrupt", where)
    if len(table.entries) != backup.page_length(number):
        raise Refusal(
            "PageCorrupt", f"{where} has {len(table.entries)} entries for {backup.page_length(number)} chunks"
        )
    for index, place in enumerate(table.entries):
        chunk = number * backup.page_chunks + index
        if place is None:
            continue
        if place.raw_bytes != backup.chunk_length(chunk):
            raise Refusal("PageCorrupt", f"{where}: chunk {chunk} has {place.raw_bytes} bytes")
        yield chunk, place


def pieces(repository: Repository, backup: Backup) -> Iterator[Piece]:
    """All chunks of a backup that are not zeros, each authenticated and compared with its id; one is held at a time."""
    for number in range(len(backup.pages.entries)):
        for chunk, place in places_of_page(repository, backup, number):
            data = repository.packs.blob(place, CHUNK, "ChunkMissing", "ChunkCorrupt")
            yield Piece(chunk * backup.chunk_bytes, data)
