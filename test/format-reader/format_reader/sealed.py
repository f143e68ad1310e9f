"""Sealed objects: roots, tombstones, index runs, checkpoints, markers, lists and notes (bytes.md, "Sealed objects")."""

import os
from typing import NamedTuple

from .crypto import SALT_BYTES, TAG_BYTES, ZERO_NONCE, RepositoryKeys, decompress, decrypt
from .errors import Refusal
from .jsontext import Fields
from .store import Store, read_whole

KIB, MIB = 2**10, 2**20
HEAD = b"DORMOBJ1"
HEAD_BYTES = 16
# The format has no such bound (bytes.md, "Largest objects"): this is what this reader takes at most.
LARGEST_PAYLOAD_BYTES = 128 * MIB
KINDS = {
    0x41: "root",
    0x42: "tombstone",
    0x43: "index",
    0x44: "checkpoint",
    0x45: "session",
    0x46: "retire",
    0x47: "waits",
    0x48: "doom",
    0x49: "reach-pages",
    0x4A: "reach-roots",
}


class Sealed(NamedTuple):
    """An opened object: its kind's word, its JSON, its further parts."""

    kind: str
    fields: Fields
    parts: list[bytes]


def read_sealed(
    store: Store, keys: RepositoryKeys, name: str, kinds: tuple[str, ...], largest_bytes: int, reason: str
) -> Sealed | None:
    """Reads and opens the object at a name; None: it is not there (bytes.md, "Sealed objects" and "Largest
    objects")."""
    data = read_whole(store, name, largest_bytes, reason)
    return None if data is None else open_sealed(keys, name, data, kinds, reason)


def open_sealed(keys: RepositoryKeys, name: str, data: bytes, kinds: tuple[str, ...], reason: str) -> Sealed:
    """Opens an object's bytes, bound to name and kind; the zeros in its head are passed over (bytes.md, "Sealed
    objects" and "Keys")."""
    body = HEAD_BYTES + SALT_BYTES
    if len(data) < body + TAG_BYTES + 5 or data[:8] != HEAD:
        raise Refusal(reason, f"{name} does not begin as a sealed object")
    kind = KINDS.get(data[8])
    if kind not in kinds:
        raise Refusal(reason, f"{name} is of another kind than {' or '.join(kinds)}")
    key = keys.derive(f"object/{kind}", data[HEAD_BYTES:body])
    plain = decrypt(key, ZERO_NONCE, data[body:], keys.additional(data[8], os.fsencode(name)))
    if plain is None:
        raise Refusal(reason, f"{name} is not what was written")
    first, *parts = split_parts(_payload(plain, reason, name), reason, name)
    return Sealed(kind, Fields.parse(first, reason, name), parts)


def _payload(plain: bytes, reason: str, name: str) -> bytes:
    """The payload behind its five bytes: whether it is a frame, and how long it is (bytes.md, "Sealed objects")."""
    flag, raw_bytes = plain[0], int.from_bytes(plain[1:5], "little")
    if flag > 1 or raw_bytes > LARGEST_PAYLOAD_BYTES:
        raise Refusal(reason, f"{name}: its payload is of {raw_bytes} bytes, flag {flag}")
    payload = decompress(plain[5:], raw_bytes) if flag else plain[5:]
    if payload is None or len(payload) != raw_bytes:
        raise Refusal(reason, f"{name}: its payload is not of {raw_bytes} bytes")
    return payload


def split_parts(payload: bytes, reason: str, name: str) -> list[bytes]:
    """The parts, each with its length in four bytes before it (bytes.md, "Sealed objects")."""
    parts, at = [], 0
    while at < len(payload):
        length = int.from_bytes(payload[at : at + 4], "little")
        end = at + 4 + length
        if at + 4 > len(payload) or end > len(payload):
            raise Refusal(reason, f"{name}: a part is cut off")
        parts.append(payload[at + 4 : end])
        at = end
    if not parts:
        raise Refusal(reason, f"{name} has no part")
    return parts
