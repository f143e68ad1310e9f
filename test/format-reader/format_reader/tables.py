"""Location tables: pages, a root's list of pages, index runs (bytes.md, "Location tables")."""

import struct
from typing import NamedTuple

from .crypto import ID_BYTES, TAG_BYTES
from .errors import Refusal
from .names import PACK_NAME_BYTES, pack_name

ENTRY_BYTES = 32
HEAD_BYTES = 8
PACK_HEAD_BYTES = 40
COMPRESSED = 2**31
ENTRY = struct.Struct("<16s4I")


class Place(NamedTuple):
    """Where a blob lies and how: one entry of a table. `stored_bytes` counts the tag."""

    id: bytes
    pack: str
    offset: int
    stored_bytes: int
    raw_bytes: int
    compressed: bool


class Table(NamedTuple):
    """A table whose form is right. An entry that is None stands for zeros."""

    packs: list[str]
    entries: list[Place | None]


def lengths_fit(stored_bytes: int, raw_bytes: int, compressed: bool) -> bool:
    """A raw blob is as long as it says, a compressed one shorter (bytes.md, "Location tables")."""
    sealed = stored_bytes - TAG_BYTES
    return 0 < sealed < raw_bytes if compressed else 0 < sealed == raw_bytes


def largest_table(entries: int) -> int:
    """The length of a table in which each entry lies in a pack of its own: none is longer, as only used packs are
    listed."""
    return HEAD_BYTES + (PACK_NAME_BYTES + ENTRY_BYTES) * entries


def parse_table(data: bytes, reason: str, where: str) -> Table:
    """A table of any kind (bytes.md, "Location tables"). What has another form is refused."""
    if len(data) < HEAD_BYTES:
        raise Refusal(reason, f"{where} is cut off")
    entries, packs = struct.unpack_from("<2I", data)
    first_entry = HEAD_BYTES + PACK_NAME_BYTES * packs
    if len(data) != first_entry + ENTRY_BYTES * entries:
        raise Refusal(reason, f"{where} has {len(data)} bytes for {entries} entries and {packs} packs")
    names = [pack_name(data[at : at + PACK_NAME_BYTES]) for at in range(HEAD_BYTES, first_entry, PACK_NAME_BYTES)]
    if len(set(names)) != packs:
        raise Refusal(reason, f"{where} lists a pack twice")
    places = [_parse_entry(data, at, names, reason, where) for at in range(first_entry, len(data), ENTRY_BYTES)]
    return Table(names, places)


def _parse_entry(data: bytes, at: int, packs: list[str], reason: str, where: str) -> Place | None:
    """One entry (bytes.md, "Location tables", "An entry is")."""
    blob_id, pack, offset, stored_bytes, length = ENTRY.unpack_from(data, at)
    if offset == 0:
        if any(data[at : at + ENTRY_BYTES]):
            raise Refusal(reason, f"{where}: an empty entry is not all zero")
        return None
    raw_bytes, compressed = length % COMPRESSED, length >= COMPRESSED
    if pack >= len(packs) or offset < PACK_HEAD_BYTES or not lengths_fit(stored_bytes, raw_bytes, compressed):
        raise Refusal(reason, f"{where}: the entry of {blob_id.hex()[: 2 * ID_BYTES]} leads nowhere")
    return Place(blob_id, packs[pack], offset, stored_bytes, raw_bytes, compressed)
