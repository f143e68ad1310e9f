"""Names of sessions and packs, as text and as the 34 bytes of a table (README.md, "Objects"; bytes.md, "Location
tables")."""

import re
from typing import NamedTuple

from .errors import Refusal

PACK_NAME_BYTES = 34
SESSION = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{12}-[0-9a-f]{8}")
PACK = re.compile(r"packs/([0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{12}-[0-9a-f]{8})/([0-9a-f]{16})")
CHECKPOINT = re.compile(r"checkpoint/([0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{12}-[0-9a-f]{8})/([0-9]{8})-([0-9]{4})")


class Session(NamedTuple):
    """The parts of a session's id: `<volume tag>-<snapshot tag>-<epoch ms>-<8 hex>` (README.md, "Objects")."""

    volume_tag: str
    snapshot_tag: str
    started_ms: int
    attempt: str


def parse_session(name: str) -> Session:
    """A session's id, which is a backup's name too."""
    if not SESSION.fullmatch(name):
        raise Refusal("SessionInvalid", f"{name!r} is no session's id")
    volume, snapshot, epoch_ms, attempt = name.split("-")
    return Session(volume, snapshot, int(epoch_ms, 16), attempt)


def pack_name(data: bytes) -> str:
    """The object that 34 bytes of a table name: 8, 8, 6 and 4 bytes of the session, 8 of the pack (bytes.md,
    "Location tables")."""
    digits = data.hex()
    return f"packs/{digits[:16]}-{digits[16:32]}-{digits[32:44]}-{digits[44:52]}/{digits[52:]}"
