"""Looks at every byte of a repository: all backups, all packs, all other objects."""

from collections.abc import Callable, Iterator
from functools import partial

from .backups import backup_names, read_backup
from .errors import Refusal
from .names import PACK
from .others import FORMS, check_object, check_segment
from .packs import CHUNK, PAGE, SEGMENT
from .repository import Repository
from .restore import pieces
from .tables import parse_table


def _check_backup(repository: Repository, name: str) -> None:
    backup = read_backup(repository, name)
    if backup:
        for _piece in pieces(repository, backup):
            pass


def _check_pack(repository: Repository, name: str) -> None:
    """A pack by its footer alone: each blob opens and is what its id and kind say (bytes.md, "Packs")."""
    for blob in repository.packs.footer(name):
        if blob.kind not in (CHUNK, PAGE, SEGMENT):
            raise Refusal("PackCorrupt", f"{name} at {blob.place.offset}: a blob of the unknown kind {blob.kind}")
        data = repository.packs.blob(blob.place, blob.kind, "PackMissing", "PackCorrupt")
        if blob.kind == PAGE:
            parse_table(data, "PackCorrupt", name)
        if blob.kind == SEGMENT:
            check_segment(data, name)


def check_all(repository: Repository) -> Iterator[tuple[str, Refusal | None]]:
    """Each object that was looked at, with what was wrong with it; one that is refused does not end the look."""
    for name in backup_names(repository):
        yield _look(f"roots/{name}", partial(_check_backup, repository, name))
    for item in repository.store.listing("packs/"):
        if PACK.fullmatch(item.name):
            yield _look(item.name, partial(_check_pack, repository, item.name))
    for form in FORMS:
        for item in repository.store.listing(form.prefix):
            yield _look(item.name, partial(check_object, repository, form, item.name))


def _look(name: str, check: Callable[[], None]) -> tuple[str, Refusal | None]:
    try:
        check()
    except Refusal as refusal:
        return name, refusal
    return name, None
