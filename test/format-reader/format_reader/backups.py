"""Roots: which backups there are, and what one says (README.md, "Reading a backup", 2; bytes.md, "Sealed objects")."""

from typing import NamedTuple

from .errors import Refusal
from .features import NAME, read_features
from .jsontext import Fields
from .names import SESSION, parse_session
from .repository import Repository
from .sealed import MIB, Sealed, read_sealed
from .tables import Table, largest_table, parse_table

LARGEST_ROOT_BYTES = 8 * MIB
SECTOR_BYTES = 512
BLOCK = "block"
REASON = "RootCorrupt"


class Backup(NamedTuple):
    """A backup of a block volume: its size, the table of its pages, and what its root tells about it."""

    name: str
    capacity_bytes: int
    chunk_bytes: int
    page_chunks: int
    pages: Table
    about: Fields
    source: Fields

    @property
    def chunks(self) -> int:
        """How many chunks the volume has; the last one may be shorter (README.md, "Terms")."""
        return -(-self.capacity_bytes // self.chunk_bytes)

    def chunk_length(self, number: int) -> int:
        """The length of one chunk in bytes (README.md, "Terms")."""
        return min(self.chunk_bytes, self.capacity_bytes - number * self.chunk_bytes)

    def page_length(self, number: int) -> int:
        """How many chunks one page maps (bytes.md, "Location tables": fewer in the last one)."""
        return min(self.page_chunks, self.chunks - number * self.page_chunks)


def read_backup(repository: Repository, name: str) -> Backup | None:
    """The backup of that name; None: a tombstone stands in its place (README.md, "Reading a backup", 2)."""
    parse_session(name)
    at = f"roots/{name}"
    sealed = read_sealed(repository.store, repository.keys, at, ("root", "tombstone"), LARGEST_ROOT_BYTES, REASON)
    if sealed is None:
        raise Refusal("RootMissing", f"{at} is not there")
    return _parse_root(repository, name, at, sealed) if sealed.kind == "root" else None


def _parse_root(repository: Repository, name: str, at: str, sealed: Sealed) -> Backup:
    """A root's fields and its table (bytes.md, "Sealed objects": root)."""
    check_head(sealed.fields, at)
    source = sealed.fields.inner("source")
    if source.text("kind") != BLOCK:
        raise Refusal("RepositoryVersionUnknown", f"{at} is of the kind {source.text('kind')}")
    if len(sealed.parts) != 1:
        raise Refusal(REASON, f"{at} has not one table")
    config = repository.config
    if (source.integer("chunkBytes"), source.integer("pageChunks")) != (config.chunk_bytes, config.page_chunks):
        raise Refusal(REASON, f"{at} has other chunks or pages than the repository")
    capacity_bytes = source.integer("capacityBytes")
    if capacity_bytes == 0 or capacity_bytes % SECTOR_BYTES:
        raise Refusal(REASON, f"{at}: capacityBytes is not in whole sectors")
    table = parse_table(sealed.parts[0], REASON, at)
    about = sealed.fields.inner("about")
    backup = Backup(name, capacity_bytes, config.chunk_bytes, config.page_chunks, table, about, source)
    if len(table.entries) != -(-backup.chunks // config.page_chunks):
        raise Refusal(REASON, f"{at} names {len(table.entries)} pages for {backup.chunks} chunks")
    for number, place in enumerate(table.entries):
        if place and place.raw_bytes > largest_table(backup.page_length(number)):
            raise Refusal(REASON, f"{at}: page {number} is longer than any of its kind")
    return backup


def check_head(fields: Fields, at: str) -> None:
    """What holds for a root of any kind (bytes.md, "Sealed objects", "Features" and "Any kind of source")."""
    if not fields.holds("version", 1):
        raise Refusal("RepositoryVersionUnknown", f"{at} is not of version 1")
    read_features(fields, at)
    if not NAME.fullmatch(fields.inner("source").text("kind")):
        raise Refusal(REASON, f"{at} is of no kind")
    fields.inner("about")
    fields.hexadecimal("copy", 16)


def backup_names(repository: Repository) -> list[str]:
    """The names of all that may be backups; what is no session's id is none (README.md, "Reading a backup", 2)."""
    names = [item.name.removeprefix("roots/") for item in repository.store.listing("roots/")]
    return [name for name in names if SESSION.fullmatch(name)]
