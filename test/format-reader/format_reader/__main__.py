"""The command: `python -m format_reader restore|verify|list --repository FOLDER --password-file F ...`."""

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from .backups import Backup, backup_names, read_backup
from .check import check_all
from .errors import Refusal
from .repository import Repository, open_repository
from .restore import pieces
from .slots import Derivation, Secret, scrypt
from .store import FolderStore

LARGEST_SECRET_BYTES = 64 * 1024


class Arguments(argparse.ArgumentParser):
    """Refuses wrong arguments as everything else is refused: one line, exit code 1."""

    def error(self, message: str) -> NoReturn:
        """What argparse calls."""
        raise Refusal("UsageInvalid", message)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = Arguments(prog="format_reader", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Arguments)
    for name in ("restore", "verify", "list"):
        command = commands.add_parser(name, allow_abbrev=False)
        command.add_argument("--repository", required=True, type=Path)
        command.add_argument("--password-file", type=Path)
        command.add_argument(
            "--recovery-key", type=Path, help="a private key in PEM, or a file with a recovery passphrase"
        )
        if name == "restore":
            command.add_argument("--backup", required=True)
            command.add_argument("--out", required=True, type=Path)
    return parser.parse_args(words)


def read_secret(path: Path, derivation: Derivation = scrypt) -> Secret:
    """A secret in a file; one line end behind it is none of it (bytes.md, "Key slots")."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_SECRET_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise Refusal("SecretMissing", f"{path} is not read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Refusal("RepositoryKeyWrong", f"{path} is not in UTF-8") from error
    if len(data) > LARGEST_SECRET_BYTES:
        raise Refusal("RepositoryKeyWrong", f"{path} is longer than any secret")
    return Secret(re.sub(r"\r?\n\Z", "", text), derivation)


def _open(arguments: argparse.Namespace) -> Repository:
    files = [path for path in (arguments.password_file, arguments.recovery_key) if path is not None]
    if not files:
        raise Refusal("UsageInvalid", "one of --password-file and --recovery-key is needed")
    return open_repository(FolderStore(arguments.repository), [read_secret(path) for path in files])


def _restore(arguments: argparse.Namespace) -> None:
    """Writes beside the wanted file and renames, so that a file with that name is always whole."""
    repository = _open(arguments)
    backup = read_backup(repository, arguments.backup)
    if backup is None:
        raise Refusal("RootMissing", f"roots/{arguments.backup} is a tombstone")
    out: Path = arguments.out
    try:
        if out.exists():
            raise Refusal("UsageInvalid", f"{out} is there already")
        handle, scratch = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
    except OSError as error:
        raise Refusal("UsageInvalid", f"{out} is not written: {error.strerror}") from error
    try:
        _write(repository, backup, handle)
        os.replace(scratch, out)
    except OSError as error:
        raise Refusal("UsageInvalid", f"{out} is not written: {error.strerror}") from error
    finally:
        Path(scratch).unlink(missing_ok=True)


def _write(repository: Repository, backup: Backup, handle: int) -> None:
    with open(handle, "wb") as file:
        file.truncate(backup.capacity_bytes)
        for piece in pieces(repository, backup):
            file.seek(piece.offset)
            file.write(piece.data)


def _list(arguments: argparse.Namespace) -> None:
    """One line of JSON for each backup; tombstones are skipped (README.md, "Reading a backup", 2)."""
    repository = _open(arguments)
    wrong: Refusal | None = None
    for name in backup_names(repository):
        try:
            backup = read_backup(repository, name)
        except Refusal as refusal:
            # One root that does not open must not hide the others.
            wrong = wrong or refusal
            continue
        if backup:
            source = {field: backup.source.text(field) for field in ("diskId", "snapshotId")}
            about = {"clusterId": backup.about.text("clusterId"), "createdMs": backup.about.integer("createdMs")}
            print(json.dumps({"backup": name, "capacityBytes": backup.capacity_bytes, **source, **about}))
    if wrong:
        raise wrong


def _verify(arguments: argparse.Namespace) -> None:
    looked = 0
    wrong = None
    for _name, refusal in check_all(_open(arguments)):
        looked += 1
        if refusal:
            if wrong:
                print(_one_line(str(wrong)), file=sys.stderr)
            wrong = refusal
    if wrong:
        raise wrong
    print(f"{looked} objects are what was written")


def _one_line(words: str) -> str:
    return (
        "".join(letter if letter.isprintable() else "?" for letter in words)
        .encode("ascii", "backslashreplace")
        .decode()
    )


def main(words: list[str]) -> int:
    """Runs one command; 0: done, 1: refused, and the last line of stderr says why."""
    try:
        arguments = _arguments(words)
        {"restore": _restore, "verify": _verify, "list": _list}[arguments.command](arguments)
    except Refusal as refusal:
        print(_one_line(str(refusal)), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
