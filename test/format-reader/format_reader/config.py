"""`config`: which repository this is (bytes.md, "`config`")."""

import hmac
from hashlib import sha256
from typing import NamedTuple

from .errors import Refusal
from .features import Features, read_features
from .jsontext import Fields
from .store import Store, read_whole

LARGEST_CONFIG_BYTES = 16 * 1024
REASON = "RepositoryConfigCorrupt"
ALGORITHMS = {"hash": "blake3-keyed-128", "compression": "zstd", "cipher": "aes-256-gcm"}


class Config(NamedTuple):
    """What a config says. Nothing of it counts before its MAC was checked."""

    repository_id: str
    chunk_bytes: int
    page_chunks: int
    features: Features
    mac: str


def _power_of_two(fields: Fields, name: str, least: int, greatest: int) -> int:
    value = fields.integer(name, least, greatest)
    if value & (value - 1):
        raise fields.refuse(name, "a power of two")
    return value


def read_config(store: Store) -> Config:
    """The config's fields and their bounds; versions and algorithms that are not known are refused (README.md,
    "Versions")."""
    data = read_whole(store, "config", LARGEST_CONFIG_BYTES, REASON)
    if data is None:
        raise Refusal("RepositoryMissing", "config is not there")
    fields = Fields.parse(data, REASON, "config")
    if fields.text("format") != "dormouse-repository":
        raise fields.refuse("format", "dormouse-repository")
    wanted: dict[str, str | int] = {"version": 1, **ALGORITHMS}
    for name, known in wanted.items():
        if not fields.holds(name, known):
            raise Refusal("RepositoryVersionUnknown", f"config: {name} is not {known}")
    features = read_features(fields, "config")
    return Config(
        repository_id=fields.hexadecimal("repositoryId", 32),
        chunk_bytes=_power_of_two(fields, "chunkBytes", 4096, 4 * 2**20),
        page_chunks=_power_of_two(fields, "pageChunks", 16, 4096),
        features=features,
        mac=fields.hexadecimal("mac", 64),
    )


def check_mac(config: Config, key: bytes) -> None:
    """The HMAC over the config's lines, each ended by a line feed (bytes.md, "`config`")."""
    lines = ["dormouse-repository", "1", config.repository_id, str(config.chunk_bytes), str(config.page_chunks)]
    features = (",".join(names) for names in config.features)
    text = "".join(f"{line}\n" for line in [*lines, *ALGORITHMS.values(), *features])
    if not hmac.compare_digest(hmac.new(key, text.encode(), sha256).hexdigest(), config.mac):
        raise Refusal(REASON, "config does not have the MAC of what it says")
