"""The algorithms of format 1 (bytes.md, "Algorithms of format 1" and "Keys")."""

import blake3
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TAG_BYTES = 16
ID_BYTES = 16
KEY_BYTES = 32
SALT_BYTES = 32
ZERO_NONCE = bytes(12)
# A frame never needs a larger window than what it holds; the largest payload that the reader takes is this long.
LARGEST_WINDOW_BYTES = 2**27


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256, 32 bytes (bytes.md, "Keys")."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(secret)


def keyed_hash(key: bytes, data: bytes, length: int = ID_BYTES) -> bytes:
    """BLAKE3 in keyed mode, cut to `length` bytes (bytes.md, "Algorithms of format 1")."""
    return blake3.blake3(data, key=key).digest()[:length]


def decrypt(key: bytes, nonce: bytes, sealed: bytes, additional: bytes) -> bytes | None:
    """AES-256-GCM of ciphertext ‖ tag; None: it is not what was sealed (bytes.md, "Algorithms of format 1")."""
    if len(sealed) < TAG_BYTES:
        return None
    try:
        return AESGCM(key).decrypt(nonce, sealed, additional)
    except InvalidTag:
        return None


def decompress(frame: bytes, raw_bytes: int) -> bytes | None:
    """One zstd frame of exactly `raw_bytes`; None: it is something else (bytes.md, "Algorithms of format 1")."""
    try:
        told = zstandard.frame_content_size(frame)
        if told not in (-1, raw_bytes):
            return None
        reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW_BYTES)
        raw = reader.decompress(frame, max_output_size=raw_bytes, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
    return raw if len(raw) == raw_bytes else None


class RepositoryKeys:
    """What is derived from the repository key (bytes.md, "Keys")."""

    def __init__(self, key: bytes, repository_id: bytes) -> None:
        self._key = key
        self.repository_id = repository_id
        self._chunk_id = self._of_repository("chunk-id")
        self._page_id = self._of_repository("page-id")
        self.config = self._of_repository("config")
        self.key_slot_mac = self._of_repository("key-slot-mac")

    def _of_repository(self, label: str) -> bytes:
        return self.derive(label, self.repository_id)

    def derive(self, label: str, salt: bytes) -> bytes:
        """The key for one use (bytes.md, "Keys", the table of labels)."""
        return hkdf(self._key, salt, f"dormouse/1/{label}".encode())

    def chunk_id(self, data: bytes) -> bytes:
        """The id of a chunk's plain bytes (bytes.md, "Keys": `chunk-id`)."""
        return keyed_hash(self._chunk_id, data)

    def page_id(self, data: bytes) -> bytes:
        """The id of a page, an index segment or the copy of a root (bytes.md, "Keys": `page-id`)."""
        return keyed_hash(self._page_id, data)

    def additional(self, kind: int, rest: bytes) -> bytes:
        """The additional data of every AES-GCM but those of key slots (bytes.md, "Keys", the second table)."""
        return b"DORM" + bytes([1, kind]) + self.repository_id + rest
