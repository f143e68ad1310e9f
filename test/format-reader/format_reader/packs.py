"""Packs: a blob in its range, the footer, and all blobs of a pack one after the other (bytes.md, "Packs")."""

import struct
from collections import OrderedDict
from typing import NamedTuple

from .crypto import ID_BYTES, SALT_BYTES, TAG_BYTES, RepositoryKeys, decompress, decrypt
from .errors import Refusal
from .store import Store
from .tables import COMPRESSED, PACK_HEAD_BYTES, Place, lengths_fit

HEAD = b"DORMPAK1"
END = b"DORMEND1"
CHUNK, PAGE, SEGMENT, FOOTER, ROOT_COPY = 1, 2, 3, 4, 5
FOOTER_ENTRY = struct.Struct("<16s4I")
LARGEST_PACK_BYTES = 16 * 2**20
KEYS_KEPT = 4096


class Blob(NamedTuple):
    """A blob as a pack's footer lists it."""

    kind: int
    place: Place


class Packs:
    """Reads blobs out of a repository's packs. Holds the keys of the last few packs and no data."""

    def __init__(self, store: Store, keys: RepositoryKeys) -> None:
        self._store = store
        self._keys = keys
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def blob(self, place: Place, kind: int, missing: str, corrupt: str) -> bytes:
        """The plain bytes of a blob, which GCM vouches for and whose id is compared (README.md, "Reading a
        backup", 3 and 4)."""
        where = f"{place.pack} at {place.offset}"
        if place.raw_bytes > LARGEST_PACK_BYTES:
            raise Refusal(corrupt, f"{where}: {place.raw_bytes} bytes are more than any blob has")
        key = self._key_of(place.pack, missing)
        sealed = self._store.read(place.pack, place.offset, place.stored_bytes)
        if len(sealed) != place.stored_bytes:
            raise Refusal(corrupt, f"{where}: the pack ends before the blob does")
        data = decrypt(key, place.offset.to_bytes(12, "big"), sealed, self._keys.additional(kind, place.id))
        if data is None:
            raise Refusal(corrupt, f"{where} is not what was written")
        if place.compressed:
            data = decompress(data, place.raw_bytes)
        if data is None or len(data) != place.raw_bytes:
            raise Refusal(corrupt, f"{where} is not one zstd frame of {place.raw_bytes} bytes")
        found = self._keys.chunk_id(data) if kind == CHUNK else self._keys.page_id(data)
        if found != place.id:
            raise Refusal(corrupt, f"{where} has the id {found.hex()}, not {place.id.hex()}")
        return data

    def _key_of(self, pack: str, missing: str) -> bytes:
        """A pack's AES key, from the salt in its head (bytes.md, "Packs" and "Keys")."""
        known = self._known.get(pack)
        if known is not None:
            return known
        head = self._store.read(pack, 0, PACK_HEAD_BYTES)
        if not head and self._store.size(pack) is None:
            raise Refusal(missing, f"{pack} is not there")
        if len(head) != PACK_HEAD_BYTES or head[:8] != HEAD:
            raise Refusal("PackCorrupt", f"{pack} does not begin as a pack")
        key = self._keys.derive("pack", head[8 : 8 + SALT_BYTES])
        self._known[pack] = key
        if len(self._known) > KEYS_KEPT:
            self._known.popitem(last=False)
        return key

    def footer(self, pack: str) -> list[Blob]:
        """What a pack's footer lists (bytes.md, "Packs")."""
        size = self._store.size(pack)
        if size is None:
            raise Refusal("PackMissing", f"{pack} is not there")
        if not PACK_HEAD_BYTES + TAG_BYTES + 12 <= size <= LARGEST_PACK_BYTES:
            raise Refusal("PackCorrupt", f"{pack} has {size} bytes")
        key = self._key_of(pack, "PackMissing")
        tail = self._store.read(pack, size - 12, 12)
        length = int.from_bytes(tail[:4], "little")
        start = size - 12 - length
        if tail[4:] != END or length < TAG_BYTES or (length - TAG_BYTES) % FOOTER_ENTRY.size or start < PACK_HEAD_BYTES:
            raise Refusal("PackCorrupt", f"{pack} does not end as a pack")
        sealed = self._store.read(pack, start, length)
        plain = decrypt(key, start.to_bytes(12, "big"), sealed, self._keys.additional(FOOTER, bytes(ID_BYTES)))
        if plain is None:
            raise Refusal("PackCorrupt", f"{pack}: the footer is not what was written")
        return self._blobs(pack, plain, start)

    def _blobs(self, pack: str, plain: bytes, end: int) -> list[Blob]:
        """The footer's entries, which lie one after the other from the head up to the footer (bytes.md, "Packs")."""
        blobs, at = [], PACK_HEAD_BYTES
        for blob_id, offset, stored_bytes, length, kind in FOOTER_ENTRY.iter_unpack(plain):
            raw_bytes, compressed = length % COMPRESSED, length >= COMPRESSED
            if offset != at or not lengths_fit(stored_bytes, raw_bytes, compressed):
                raise Refusal("PackCorrupt", f"{pack}: the footer's blobs do not lie one after the other")
            blobs.append(Blob(kind, Place(blob_id, pack, offset, stored_bytes, raw_bytes, compressed)))
            at += stored_bytes
        if at != end:
            raise Refusal("PackCorrupt", f"{pack}: the footer's blobs end at {at}, the footer begins at {end}")
        return blobs
