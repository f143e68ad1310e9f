"""A repository's objects in a folder: the folder is `<prefix>/plugins/dormouse/`, a `/` in a name is a folder
(README.md, "Objects")."""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from .errors import Refusal

# A folder with more entries than this is no repository that this reader was made for: what it lists is held in memory.
LARGEST_LIST = 1_000_000


class Listed(NamedTuple):
    """An object as a LIST tells it: its name below the repository, its length, the store's time of it."""

    name: str
    size_bytes: int
    modified_ns: int


class Store(Protocol):
    """What the reader asks of a place that holds a repository."""

    def listing(self, prefix: str) -> list[Listed]:
        """All objects whose name begins with `prefix`, which ends with its folder or in a name, in the order of
        their names."""
        ...

    def size(self, name: str) -> int | None:
        """The object's length in bytes; None: it is not there."""
        ...

    def read(self, name: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset` on; fewer where the object ends, none where it is not there."""
        ...


class FolderStore:
    """A repository in a folder (README.md, "Objects"). A link leads nowhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def listing(self, prefix: str) -> list[Listed]:
        """See Store."""
        below, slash, beginning = prefix.rpartition("/")
        try:
            return sorted(self._walk(below + slash, beginning))
        except OSError as error:
            raise Refusal("StoreUnavailable", f"{prefix or 'the folder'} is not listed: {error.strerror}") from error

    def _walk(self, below: str, beginning: str) -> Iterator[Listed]:
        count = 0
        waiting = [(below, beginning)]
        while waiting:
            folder, start = waiting.pop()
            for entry in self._entries(folder):
                count += 1
                if count > LARGEST_LIST:
                    raise Refusal("RepositoryFlooded", f"{below} holds more than {LARGEST_LIST} objects")
                if entry.name.startswith(".") or not entry.name.startswith(start):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{folder}{entry.name}/", ""))
                elif entry.is_file(follow_symlinks=False):
                    seen = entry.stat(follow_symlinks=False)
                    yield Listed(folder + entry.name, seen.st_size, seen.st_mtime_ns)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._folder / folder) as entries:
                return list(islice(entries, LARGEST_LIST + 1))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def size(self, name: str) -> int | None:
        """See Store."""
        try:
            seen = os.stat(self._folder / name, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Refusal("StoreUnavailable", f"{name} is not read: {error.strerror}") from error
        return seen.st_size if stat.S_ISREG(seen.st_mode) else None

    def read(self, name: str, offset: int, length: int) -> bytes:
        """See Store."""
        if self.size(name) is None:
            return b""
        try:
            with open(self._folder / name, "rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as error:
            raise Refusal("StoreUnavailable", f"{name} is not read: {error.strerror}") from error


def read_whole(store: Store, name: str, largest_bytes: int, reason: str) -> bytes | None:
    """A whole object; None: it is not there. What is larger than its kind is refused and not read (bytes.md,
    "Largest objects")."""
    size = store.size(name)
    if size is None:
        return None
    if size > largest_bytes:
        raise Refusal(reason, f"{name} has {size} bytes, more than the {largest_bytes} of its kind")
    return store.read(name, 0, largest_bytes)
