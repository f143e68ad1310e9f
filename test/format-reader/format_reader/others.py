"""The forms of what a restore never reads: index runs, checkpoints, markers, lists and notes (bytes.md, "Sealed
objects")."""

import struct
from collections.abc import Callable
from typing import NamedTuple

from .backups import BLOCK
from .crypto import ID_BYTES
from .errors import Refusal
from .jsontext import Fields
from .names import PACK_NAME_BYTES, parse_session
from .packs import SEGMENT
from .repository import Repository
from .sealed import KIB, MIB, Sealed, read_sealed
from .tables import Table, parse_table


class Form(NamedTuple):
    """Objects below a prefix: the word of their kind, their greatest length, the reason of a refusal, what checks
    their parts."""

    prefix: str
    kind: str
    largest_bytes: int
    reason: str
    check: Callable[[Repository, str, Sealed], None]


def _refuse(name: str, reason: str, words: str) -> Refusal:
    return Refusal(reason, f"{name}: {words}")


def _version(name: str, sealed: Sealed, versions: tuple[int, ...], reason: str) -> None:
    if sealed.fields.integer("version") not in versions:
        raise _refuse(name, reason, "its version is not known")


def _part_count(name: str, sealed: Sealed, count: int, reason: str) -> None:
    if len(sealed.parts) != count:
        raise _refuse(name, reason, f"it has {len(sealed.parts)} parts behind the JSON, not {count}")


def _rows(name: str, part: bytes, row_bytes: int, reason: str) -> int:
    if len(part) % row_bytes:
        raise _refuse(name, reason, f"a part is not made of {row_bytes} bytes each")
    return len(part) // row_bytes


def _sorted_segment(table: Table, name: str, reason: str) -> None:
    """An index segment is sorted by id and has no empty entries (bytes.md, "Location tables")."""
    ids = [place.id for place in table.entries if place is not None]
    if len(ids) != len(table.entries) or ids != sorted(ids):
        raise _refuse(name, reason, "a segment is not sorted, or has an empty entry")


def check_segment(data: bytes, name: str) -> None:
    """An index segment's bytes (bytes.md, "Location tables")."""
    _sorted_segment(parse_table(data, "IndexCorrupt", name), name, "IndexCorrupt")


def _check_index(repository: Repository, name: str, sealed: Sealed) -> None:
    _version(name, sealed, (1,), "IndexCorrupt")
    _part_count(name, sealed, 2, "IndexCorrupt")
    for place in parse_table(sealed.parts[0], "IndexCorrupt", name).entries:
        if place is None:
            raise _refuse(name, "IndexCorrupt", "a segment is empty")
        check_segment(repository.packs.blob(place, SEGMENT, "IndexMissing", "IndexCorrupt"), f"{name}, {place.pack}")
    check_segment(sealed.parts[1], name)


def _check_checkpoint(repository: Repository, name: str, sealed: Sealed) -> None:
    """The parts of a checkpoint and the lengths of its bitmaps (bytes.md, "Parts of a checkpoint")."""
    reason = "CheckpointCorrupt"
    _version(name, sealed, (1,), reason)
    open_pages = [page for page in sealed.fields.items("openPages") if isinstance(page, int)]
    first = 5 + len(open_pages)
    if len(sealed.parts) < first:
        raise _refuse(name, reason, f"it has {len(sealed.parts)} parts behind the JSON, less than {first}")
    pages = len(parse_table(sealed.parts[1], reason, name).entries)
    _bitmap(name, sealed.parts[0], pages, reason)
    parse_table(sealed.parts[2], reason, name)
    _sorted_segment(parse_table(sealed.parts[3], reason, name), name, reason)
    _rows(name, sealed.parts[4], PACK_NAME_BYTES, reason)
    lengths = [len(parse_table(part, reason, name).entries) for part in sealed.parts[5:first]]
    source = sealed.fields.inner("source")
    if source.text("kind") == BLOCK:
        chunks = -(-source.integer("capacityBytes") // repository.config.chunk_bytes)
        _part_count(name, sealed, first + 1 + len(open_pages), reason)
        if pages != -(-chunks // repository.config.page_chunks):
            raise _refuse(name, reason, "its table does not have all pages")
        for part, bits in zip(sealed.parts[first:], (chunks, *lengths), strict=True):
            _bitmap(name, part, bits, reason)


def _bitmap(name: str, part: bytes, bits: int, reason: str) -> None:
    if len(part) != -(-bits // 8):
        raise _refuse(name, reason, f"a bitmap of {len(part)} bytes is not of {bits} bits")


def _check_session(_repository: Repository, name: str, sealed: Sealed) -> None:
    _version(name, sealed, (1,), "SessionCorrupt")
    _part_count(name, sealed, 0, "SessionCorrupt")
    sealed.fields.integer("startedMs")


def _check_packs(_repository: Repository, name: str, sealed: Sealed) -> None:
    _version(name, sealed, (1,), "RetireListCorrupt")
    _part_count(name, sealed, 1, "RetireListCorrupt")
    sealed.fields.integer("atMs")
    _rows(name, sealed.parts[0], PACK_NAME_BYTES, "RetireListCorrupt")


def _check_waits(_repository: Repository, name: str, sealed: Sealed) -> None:
    _version(name, sealed, (1,), "RetireListCorrupt")
    _part_count(name, sealed, 0, "RetireListCorrupt")
    for session in sealed.fields.items("sessions"):
        parse_session(str(session))


def _numbers(part: bytes) -> list[int]:
    return [number for (number,) in struct.iter_unpack("<I", part)]


def _check_reach_pages(_repository: Repository, name: str, sealed: Sealed) -> None:
    reason = "ReachNoteCorrupt"
    _version(name, sealed, (1,), reason)
    _part_count(name, sealed, 4, reason)
    rows = [
        _rows(name, part, length, reason)
        for part, length in zip(sealed.parts, (PACK_NAME_BYTES, ID_BYTES, 4, 4), strict=True)
    ]
    if rows[1] != rows[2] or sum(_numbers(sealed.parts[2])) != rows[3]:
        raise _refuse(name, reason, "its parts do not fit each other")
    if any(number >= rows[0] for number in _numbers(sealed.parts[3])):
        raise _refuse(name, reason, "it names a pack that it does not have")


def _check_reach_roots(_repository: Repository, name: str, sealed: Sealed) -> None:
    reason = "ReachNoteCorrupt"
    _version(name, sealed, (1,), reason)
    _part_count(name, sealed, 3, reason)
    rows = [
        _rows(name, part, length, reason)
        for part, length in zip(sealed.parts, (PACK_NAME_BYTES, 4, ID_BYTES), strict=True)
    ]
    packs = pages = 0
    for item in sealed.fields.items("roots"):
        if not isinstance(item, dict):
            raise _refuse(name, reason, "what it says of a root is no object")
        root = Fields(item, reason, name)
        parse_session(root.text("session"))
        root.hexadecimal("digest", 64)
        root.integer("bytes")
        if not root.has("why"):
            needs = root.inner("needs")
            needs.integer("version")
            needs.items("requiredFeatures")
        packs += root.integer("packs") if root.has("packs") else 0
        pages += root.integer("pages") if root.has("pages") else 0
    if packs != rows[1] or pages != rows[2] or any(number >= rows[0] for number in _numbers(sealed.parts[1])):
        raise _refuse(name, reason, "its parts do not fit each other")


FORMS = (
    Form("session/", "session", 64 * KIB, "SessionCorrupt", _check_session),
    Form("index/", "index", 8 * MIB, "IndexCorrupt", _check_index),
    Form("checkpoint/", "checkpoint", 64 * MIB, "CheckpointCorrupt", _check_checkpoint),
    Form("retire/", "retire", 4 * MIB, "RetireListCorrupt", _check_packs),
    Form("waits/", "waits", 8 * MIB, "RetireListCorrupt", _check_waits),
    Form("doom/", "doom", 4 * MIB, "RetireListCorrupt", _check_packs),
    Form("reach/pages-", "reach-pages", 16 * MIB, "ReachNoteCorrupt", _check_reach_pages),
    Form("reach/roots-", "reach-roots", 16 * MIB, "ReachNoteCorrupt", _check_reach_roots),
)


def check_object(repository: Repository, form: Form, name: str) -> None:
    """Opens one object and looks at the form of its parts."""
    sealed = read_sealed(repository.store, repository.keys, name, (form.kind,), form.largest_bytes, form.reason)
    if sealed is None:
        raise Refusal(form.reason, f"{name} is not there")
    form.check(repository, name, sealed)
