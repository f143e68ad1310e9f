"""An opened repository: its config, its keys, its packs (README.md, "Reading a backup", 1)."""

from typing import NamedTuple

from .config import Config, check_mac, read_config
from .crypto import RepositoryKeys
from .packs import Packs
from .slots import Secret, unlock
from .store import Store


class Repository(NamedTuple):
    """What reading a backup needs."""

    store: Store
    config: Config
    keys: RepositoryKeys
    packs: Packs


def open_repository(store: Store, secrets: list[Secret]) -> Repository:
    """Unwraps the repository key with a secret and believes the config only then (README.md, "Reading a backup", 1)."""
    config = read_config(store)
    key = unlock(store, config.repository_id, secrets)
    keys = RepositoryKeys(key, bytes.fromhex(config.repository_id))
    check_mac(config, keys.config)
    return Repository(store, config, keys, Packs(store, keys))
