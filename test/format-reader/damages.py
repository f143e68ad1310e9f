"""Changes single bytes of a repository, one at a time, and has the reader restore from each.

Each time the reader must refuse by name, or restore equal bytes where this module can say why the byte does not matter
to that backup. It looks that up
without the reader's checks: in the parsed JSON, in the ranges of the blobs that the backup names.
Prints one JSON object: how often the reader refused with which reason, which bytes did not matter, and everything that
was not as it must be.
"""

import argparse
import base64
import functools
import json
import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from format_reader.__main__ import read_secret
from format_reader.backups import Backup, read_backup
from format_reader.errors import Refusal
from format_reader.repository import Repository, open_repository
from format_reader.restore import pieces, places_of_page
from format_reader.slots import Costs, Secret, scrypt
from format_reader.store import FolderStore, Listed, Store

HEAD_BYTES, EDGE_BYTES = 40, 64
CONFIG_FIELDS = (
    "format",
    "version",
    "repositoryId",
    "chunkBytes",
    "pageChunks",
    "hash",
    "compression",
    "cipher",
    "requiredFeatures",
    "optionalFeatures",
    "mac",
)
RESERVED = range(9, 16)


class Damage(NamedTuple):
    """One byte of one object, and what it is xored with."""

    name: str
    offset: int
    flip: int


class DamagedStore:
    """A repository in memory, of which one byte is another one."""

    def __init__(self, store: Store, names: list[Listed]) -> None:
        self._names = names
        self.objects = {item.name: store.read(item.name, 0, item.size_bytes) for item in names}
        self._whole = dict(self.objects)

    def damage(self, damage: Damage) -> None:
        """Takes back the damage before and does this one."""
        self.objects = dict(self._whole)
        data = bytearray(self._whole[damage.name])
        data[damage.offset] ^= damage.flip
        self.objects[damage.name] = bytes(data)

    def whole(self, name: str) -> bytes:
        """The object as it was written."""
        return self._whole[name]

    def listing(self, prefix: str) -> list[Listed]:
        """See format_reader.store.Store."""
        return [item for item in self._names if item.name.startswith(prefix)]

    def size(self, name: str) -> int | None:
        """See format_reader.store.Store."""
        return len(self.objects[name]) if name in self.objects else None

    def read(self, name: str, offset: int, length: int) -> bytes:
        """See format_reader.store.Store."""
        return self.objects.get(name, b"")[offset : offset + length]


@dataclass
class Needs:
    """What of a repository one backup needs when it is restored with one secret."""

    backup: Backup
    slot: str
    ranges: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    """Of each pack: the blobs, as their first byte and the one behind them."""
    pages: set[str] = field(default_factory=set)


def needs_of(repository: Repository, name: str, slot: str) -> Needs:
    """Looks at the undamaged repository."""
    backup = read_backup(repository, name)
    if backup is None:
        raise ValueError(f"{name} is no backup")
    needs = Needs(backup, slot)
    for number, place in enumerate(backup.pages.entries):
        if place is None:
            continue
        needs.pages.add(place.pack)
        for blob in [place, *(chunk for _number, chunk in places_of_page(repository, backup, number))]:
            needs.ranges.setdefault(blob.pack, set()).add((blob.offset, blob.offset + blob.stored_bytes))
    return needs


def slot_of(store: DamagedStore, secret: Secret) -> str:
    """The one slot that a secret opens."""
    names = [item.name for item in store.listing("keys/")]
    for name in names:
        store.objects = {
            other: store.whole(other) for other in [*names, "config"] if other == name or other == "config"
        }
        alone = DamagedStore(store, [Listed(other, len(data), 0) for other, data in store.objects.items()])
        try:
            open_repository(alone, [secret])
        except Refusal:
            continue
        finally:
            store.objects = {item.name: store.whole(item.name) for item in store.listing("")}
        return name
    raise ValueError("the secret opens no slot")


def _config_says(data: bytes) -> Any:
    fields = json.loads(data)
    return [fields.get(name) for name in CONFIG_FIELDS]


def _slot_says(data: bytes) -> Any:
    fields = json.loads(data)
    decoded = {
        name: base64.b64decode(fields[name], validate=True) for name in ("wrapped", "ephemeral") if name in fields
    }
    costs = fields.get("scrypt")
    salt = base64.b64decode(costs["salt"], validate=True) if costs else b""
    numbers = [costs.get(name) for name in ("N", "r", "p")] if costs else []
    return [fields.get(name) for name in ("format", "version", "kind", "algorithm")], decoded, salt, numbers


def _says_the_same(says: Callable[[bytes], Any], before: bytes, after: bytes) -> bool:
    try:
        return bool(says(before) == says(after))
    except (ValueError, KeyError, TypeError, AttributeError):
        return False


def why_harmless(store: DamagedStore, needs: Needs, damage: Damage) -> str | None:
    """Why the backup does not need the byte as it was; None: it does."""
    folder = damage.name.split("/")[0]
    before, after = store.whole(damage.name), store.objects[damage.name]
    if folder == "config":
        return "spelling of config" if _says_the_same(_config_says, before, after) else None
    if folder == "keys":
        if damage.name != needs.slot:
            return "key slot of another secret"
        return "spelling of the key slot" if _says_the_same(_slot_says, before, after) else None
    if folder == "roots":
        return "zeros in a sealed object's head" if damage.offset in RESERVED else None
    if damage.offset < HEAD_BYTES or any(start <= damage.offset < end for start, end in needs.ranges[damage.name]):
        return None
    footer = len(before) - 12 - int.from_bytes(before[-12:-8], "little")
    return "footer of a pack" if damage.offset >= footer else "blob of another backup"


def choose(dice: random.Random, store: DamagedStore, needs: Needs) -> Damage:
    """A byte of what a restore may touch: kinds of objects are equally likely, and half of the bytes lie near an
    object's edge."""
    slots = [item.name for item in store.listing("keys/")]
    pages = sorted(needs.pages)
    chunks = sorted(set(needs.ranges) - needs.pages)
    kinds = [["config"], [needs.slot], slots, [f"roots/{needs.backup.name}"], pages, chunks]
    name = dice.choice(dice.choice([kind for kind in kinds if kind]))
    size = len(store.whole(name))
    edge = min(EDGE_BYTES, size)
    at_head, at_end = range(edge), range(size - edge, size)
    offset = dice.choice(dice.choice([range(size), range(size), at_head, at_end]))
    return Damage(name, offset, dice.randrange(1, 256))


@dataclass
class Tally:
    """What came of all damages."""

    refused: Counter[str] = field(default_factory=Counter)
    harmless: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def count(self, store: DamagedStore, needs: Needs, damage: Damage, secrets: list[Secret], digest: str) -> None:
        """Restores from the damaged repository and judges the outcome."""
        why = why_harmless(store, needs, damage)
        try:
            restored = digest_of(store, needs.backup.name, secrets)
        except Refusal as refusal:
            self.refused[refusal.reason] += 1
            if why is not None:
                self.wrong.append(f"{damage}: refused, though it is only a {why}: {refusal}")
            return
        except Exception:  # the point is to find those that are no Refusal
            self.wrong.append(f"{damage}: {traceback.format_exc()}")
            return
        if restored != digest:
            self.wrong.append(f"{damage}: other bytes were restored")
        elif why is None:
            self.wrong.append(f"{damage}: accepted")
        else:
            self.harmless[why] += 1


def digest_of(store: Store, name: str, secrets: list[Secret]) -> str:
    """The SHA-256 of a restore, all of it in memory."""
    repository = open_repository(store, secrets)
    backup = read_backup(repository, name)
    if backup is None:
        raise Refusal("RootMissing", f"roots/{name} is a tombstone")
    volume = bytearray(backup.capacity_bytes)
    for piece in pieces(repository, backup):
        volume[piece.offset : piece.offset + len(piece.data)] = piece.data
    return sha256(volume).hexdigest()


def main() -> None:
    """Takes secrets and backups in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", required=True, type=Path)
    parser.add_argument("--secret-file", required=True, type=Path, action="append")
    parser.add_argument("--backup", required=True, nargs=2, action="append", metavar=("NAME", "SHA256"))
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--count", required=True, type=int)
    arguments = parser.parse_args()
    # scrypt is slow on purpose, and nearly all damages leave its input alone.
    derivation: Callable[[bytes, Costs], bytes] = functools.cache(scrypt)
    folder = FolderStore(arguments.repository)
    store = DamagedStore(folder, folder.listing(""))
    secrets = [read_secret(path, derivation) for path in arguments.secret_file]
    slots = [slot_of(store, secret) for secret in secrets]
    dice = random.Random(arguments.seed)
    tally = Tally()
    for number in range(arguments.count):
        turn = number % len(secrets)
        name, digest = arguments.backup[number // len(secrets) % len(arguments.backup)]
        needs = wanted_by(store, secrets[turn], slots[turn], name)
        damage = choose(dice, store, needs)
        store.damage(damage)
        tally.count(store, needs, damage, [secrets[turn]], digest)
    print(json.dumps({"refused": tally.refused, "harmless": tally.harmless, "wrong": tally.wrong}))


@functools.cache
def wanted_by(store: DamagedStore, secret: Secret, slot: str, name: str) -> Needs:
    """What a backup needs; asked for again and again, looked up once."""
    store.objects = {item.name: store.whole(item.name) for item in store.listing("")}
    return needs_of(open_repository(store, [secret]), name, slot)


if __name__ == "__main__":
    main()
