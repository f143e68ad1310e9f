"""Looks at every byte of a repository: all backups, all packs, all other objects."""

from collections.abc import Callable, Iterator
from functools import partial

from .backups import backup_names, check_head, read_backup
from .errors import Refusal
from .jsontext import Fields
from .names import PACK
from .others import FORMS, check_object, check_segment
from .packs import CHUNK, PAGE, ROOT_COPY, SEGMENT
from .repository import Repository
from .restore import pieces
from .sealed import split_parts
from .slots import KEYS_PREFIX, check_slot
from .tables import parse_table


def _check_backup(repository: Repository, name: str) -> None:
    backup = read_backup(repository, name)
    if backup:
        for _piece in pieces(repository, backup):
            pass


def _check_pack(repository: Repository, name: str) -> None:
    """A pack by its footer alone: each blob opens and is what its id and kind say (bytes.md, "Packs")."""
    for blob in repository.packs.footer(name):
        if blob.kind not in (CHUNK, PAGE, SEGMENT, ROOT_COPY):
            raise Refusal("PackCorrupt", f"{name} at {blob.place.offset}: a blob of the unknown kind {blob.kind}")
        data = repository.packs.blob(blob.place, blob.kind, "PackMissing", "PackCorrupt")
        if blob.kind == PAGE:
            parse_table(data, "PackCorrupt", name)
        if blob.kind == SEGMENT:
            check_segment(data, name)
        if blob.kind == ROOT_COPY:
            _check_copy(data, name)


def _check_copy(data: bytes, name: str) -> None:
    """A copy of a root: of the session in the pack's name, with the payload of a root (bytes.md, "Packs")."""
    head, payload = split_parts(data, "RootCorrupt", name)
    if Fields.parse(head, "RootCorrupt", name).text("session") != name.split("/")[1]:
        raise Refusal("RootCorrupt", f"{name}: the copy of another session's root")
    root, table = split_parts(payload, "RootCorrupt", name)
    check_head(Fields.parse(root, "RootCorrupt", name), name)
    parse_table(table, "RootCorrupt", name)


def check_all(repository: Repository) -> Iterator[tuple[str, Refusal | None]]:
    """Each object that was looked at, with what was wrong with it; one that is refused does not end the look."""
    for name in backup_names(repository):
        yield _look(f"roots/{name}", partial(_check_backup, repository, name))
    for item in repository.store.listing("packs/"):
        if PACK.fullmatch(item.name):
            yield _look(item.name, partial(_check_pack, repository, item.name))
    for item in repository.store.listing(KEYS_PREFIX + repository.config.repository_id + "-"):
        yield _look(item.name, partial(check_slot, repository.store, repository.keys.key_slot_mac, item))
    for form in FORMS:
        for item in repository.store.listing(form.prefix):
            yield _look(item.name, partial(check_object, repository, form, item.name))


def _look(name: str, check: Callable[[], None]) -> tuple[str, Refusal | None]:
    try:
        check()
    except Refusal as refusal:
        return name, refusal
    return name, None
