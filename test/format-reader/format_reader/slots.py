"""Key slots: which of them are tried with a secret, in which order, and how one is opened (bytes.md, "Key slots")."""

import hmac
import os
import unicodedata
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key

from .crypto import KEY_BYTES, ZERO_NONCE, decrypt, hkdf
from .errors import Refusal
from .jsontext import Fields
from .store import Listed, Store, read_whole

MIB = 2**20
SLOTS_READ = 64
LARGEST_SLOT_BYTES = 16 * 1024
LARGEST_MEMORY_BYTES = 64 * MIB
LARGEST_COST_BYTES = 512 * MIB
USUAL_COST_BYTES = 4 * 32 * MIB * 3
COST_OF_ALL_BYTES = 1536 * MIB
PUBLIC_KEY_COST_BYTES = MIB
LEAST_RSA_BITS = 2048
PASSWORDS = ("password", "recovery-passphrase")
PUBLIC_KEY = "recovery-public-key"
KINDS = (*PASSWORDS, PUBLIC_KEY)
RSA = "rsa-oaep-sha256"
X25519 = "x25519-hkdf-aes-256-gcm"
NS_OF_MS = 1_000_000
KEYS_PREFIX = "keys/"
DAMAGED = "KeySlotDamaged"
PEM_MARK = "PRIVATE KEY-----"
CORRUPT = "KeySlotCorrupt"  # never leaves this module: such a slot is passed over


class Costs(NamedTuple):
    """What scrypt is asked for: memory is 128 × N × r bytes, work that times p."""

    n: int
    r: int
    p: int
    salt: bytes

    @property
    def memory_bytes(self) -> int:
        """128 × N × r (bytes.md, "Key slots")."""
        return 128 * self.n * self.r

    @property
    def work_bytes(self) -> int:
        """128 × N × r × p (bytes.md, "Key slots")."""
        return self.memory_bytes * self.p


class Slot(NamedTuple):
    """A slot of a known kind. `costs`: None for a public key, and for what scrypt is not asked to do; then
    `cost_bytes` is None too."""

    slot_id: str
    modified_ms: int
    kind: str
    wrapped: bytes
    costs: Costs | None
    algorithm: str
    ephemeral: bytes

    @property
    def label(self) -> bytes:
        """What a wrapping is bound to (bytes.md, "Key slots")."""
        return os.fsencode(f"dormouse/1/key-slot/{self.kind}/{self.slot_id}")

    @property
    def cost_bytes(self) -> int | None:
        """What it counts against the sum of all that are tried; None: it is not tried (bytes.md, "Key slots")."""
        if self.kind == PUBLIC_KEY:
            return PUBLIC_KEY_COST_BYTES
        return self.costs.work_bytes if self.costs else None

    @property
    def usual(self) -> bool:
        """Whether it costs no more than four times what Dormouse writes (bytes.md, "Key slots")."""
        return self.cost_bytes is not None and self.cost_bytes <= USUAL_COST_BYTES


def scrypt(secret: bytes, costs: Costs) -> bytes:
    """scrypt with the slot's costs, 32 bytes (bytes.md, "Key slots")."""
    return Scrypt(salt=costs.salt, length=KEY_BYTES, n=costs.n, r=costs.r, p=costs.p).derive(secret)


Derivation = Callable[[bytes, Costs], bytes]


def parse_slot(slot_id: str, modified_ms: int, data: bytes) -> Slot | None:
    """A slot of a kind and version that are known; None: it is passed over (bytes.md, "Key slots")."""
    try:
        fields = Fields.parse(data, CORRUPT, slot_id)
        if not fields.holds("format", "dormouse-repository-key") or not fields.holds("version", 1):
            return None
        kind, wrapped = fields.text("kind"), fields.base64("wrapped")
        if kind in PASSWORDS:
            return Slot(slot_id, modified_ms, kind, wrapped, _costs(fields), "", b"")
        if kind != PUBLIC_KEY:
            return None
        algorithm = fields.text("algorithm")
        ephemeral = fields.base64("ephemeral") if algorithm == X25519 else b""
        return Slot(slot_id, modified_ms, kind, wrapped, None, algorithm, ephemeral)
    except Refusal:
        return None


def _costs(slot: Fields) -> Costs | None:
    """scrypt's costs within the bounds; None: such a slot is not tried (bytes.md, "Key slots", second point)."""
    most = LARGEST_COST_BYTES
    try:
        fields = slot.inner("scrypt")
        numbers = fields.integer("N", 2, most), fields.integer("r", 1, most), fields.integer("p", 1, most)
        costs = Costs(*numbers, fields.base64("salt"))
    except Refusal:
        return None
    bounded = costs.memory_bytes <= LARGEST_MEMORY_BYTES and costs.work_bytes <= LARGEST_COST_BYTES
    return costs if bounded and costs.n & (costs.n - 1) == 0 else None


def openable(slots: list[Slot], private_key: bool) -> list[Slot]:
    """Only a private key opens what was wrapped for a public one (bytes.md, "Key slots", third point)."""
    return [slot for slot in slots if private_key or slot.kind != PUBLIC_KEY]


def in_order(slots: list[Slot], private_key: bool) -> list[Slot]:
    """The slots that are tried, in their order and within the sum (bytes.md, "Key slots")."""

    def rank(slot: Slot) -> tuple[int, bool, int, int]:
        kind = KINDS.index(slot.kind)
        return (-kind if private_key else 0, not slot.usual, slot.modified_ms, kind)

    ranked = sorted(openable(slots, private_key), key=rank)
    beside = next((slot for slot in ranked if slot.kind == "recovery-passphrase" and slot.usual), None)
    left, tried = COST_OF_ALL_BYTES, []
    for slot in ranked:
        if slot is beside:
            tried.append(slot)
        elif slot.cost_bytes is not None and slot.cost_bytes <= left:
            left -= slot.cost_bytes
            tried.append(slot)
    return tried


class Secret:
    """A user's secret: a text, which is a private key where it is one in PEM (bytes.md, "Key slots")."""

    def __init__(self, text: str, derivation: Derivation = scrypt) -> None:
        self._bytes = unicodedata.normalize("NFC", text).encode()
        self._derivation = derivation
        self._key = _private_key(text)
        self.private_key = PEM_MARK in text

    def open(self, slot: Slot) -> bytes | None:
        """The repository key out of a slot; None: it does not open."""
        if slot.costs:
            key = decrypt(self._derivation(self._bytes, slot.costs), ZERO_NONCE, slot.wrapped, slot.label)
        elif slot.algorithm == RSA and isinstance(self._key, RSAPrivateKey):
            key = _unwrap_rsa(self._key, slot)
        elif slot.algorithm == X25519 and isinstance(self._key, X25519PrivateKey):
            key = _unwrap_x25519(self._key, slot)
        else:
            return None
        return key if key is not None and len(key) == KEY_BYTES else None


def _private_key(text: str) -> object | None:
    if PEM_MARK not in text:
        return None
    try:
        return load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _unwrap_rsa(key: RSAPrivateKey, slot: Slot) -> bytes | None:
    """RSA-OAEP with SHA-256, for MGF1 too, and the label (bytes.md, "Key slots")."""
    if key.key_size < LEAST_RSA_BITS:
        return None
    try:
        return key.decrypt(slot.wrapped, padding.OAEP(padding.MGF1(SHA256()), SHA256(), slot.label))
    except ValueError:
        return None


def _unwrap_x25519(key: X25519PrivateKey, slot: Slot) -> bytes | None:
    """AES-256-GCM under HKDF of the shared secret (bytes.md, "Key slots")."""
    try:
        ephemeral = load_der_public_key(slot.ephemeral)
        if not isinstance(ephemeral, X25519PublicKey):
            return None
        shared = key.exchange(ephemeral)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return decrypt(hkdf(shared, slot.ephemeral, b"dormouse/1/key-slot"), ZERO_NONCE, slot.wrapped, slot.label)


def _oldest(listed: list[Listed]) -> list[Listed]:
    """The slots that are read: those of a slot's size, the oldest first (bytes.md, "Key slots", first point)."""
    sized = [item for item in listed if item.size_bytes <= LARGEST_SLOT_BYTES]
    return sorted(sized, key=lambda item: item.modified_ns // NS_OF_MS)[:SLOTS_READ]


def unlock(store: Store, repository_id: str, secrets: list[Secret]) -> bytes:
    """The repository key, out of the first slot that opens (README.md, "Reading a backup", 1; bytes.md, "Key
    slots")."""
    listed = store.listing(f"keys/{repository_id}-")
    slots = [slot for slot in (_read_slot(store, item) for item in _oldest(listed)) if slot]
    suspect = len(listed) > SLOTS_READ
    for secret in secrets:
        tried = in_order(slots, secret.private_key)
        for slot in tried:
            key = secret.open(slot)
            if key is not None:
                return key
        suspect = suspect or len(tried) < len(openable(slots, secret.private_key))
    if suspect:
        raise Refusal(
            "KeySlotsSuspect", f"no slot that was tried below keys/{repository_id}- opens, and there are more"
        )
    raise Refusal("RepositoryKeyWrong", f"none of the {len(listed)} slots below keys/{repository_id}- opens")


def _read_slot(store: Store, item: Listed) -> Slot | None:
    try:
        data = read_whole(store, item.name, LARGEST_SLOT_BYTES, CORRUPT)
    except Refusal:
        return None
    return None if data is None else parse_slot(item.name.removeprefix("keys/"), item.modified_ns // NS_OF_MS, data)


def check_slot(store: Store, key: bytes, item: Listed) -> None:
    """Whether a slot is one that somebody wrote who had the repository key (bytes.md, "Key slots": `mac`)."""
    data = read_whole(store, item.name, LARGEST_SLOT_BYTES, DAMAGED)
    if data is None:
        return
    slot_id = item.name.removeprefix(KEYS_PREFIX)
    if parse_slot(slot_id, 0, data) is None:
        raise Refusal(DAMAGED, f"{item.name} is no slot of a kind and version that are known")
    fields = Fields.parse(data, DAMAGED, item.name)
    text = "".join(f"{line}\n" for line in _mac_lines(fields, slot_id, item.name))
    if not hmac.compare_digest(hmac.new(key, text.encode(), sha256).hexdigest(), fields.hexadecimal("mac", 64)):
        raise Refusal(DAMAGED, f"{item.name} does not have the MAC of what it says")


def _mac_lines(fields: Fields, slot_id: str, name: str) -> list[str]:
    """The lines that the MAC covers (bytes.md, "Key slots": `mac`)."""
    kind = fields.text("kind")
    lines = ["dormouse-repository-key", "1", slot_id, kind]
    if kind in PASSWORDS:
        costs = fields.inner("scrypt")
        lines += [*(str(costs.integer(number)) for number in ("N", "r", "p")), costs.text("salt")]
    else:
        lines += [fields.text(field) for field in ("algorithm", "ephemeral") if fields.has(field)]
    lines.append(fields.text("wrapped"))
    if any("\n" in line for line in lines):
        raise Refusal(DAMAGED, f"{name} has a text with a line end")
    return lines
