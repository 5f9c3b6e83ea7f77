"""Entries of a cache on disk: each is one file, known by its name and its first bytes as written by this program.

Several processes and users may share a cache. What cannot be read counts as none, and nothing in the folder but entries
is ever removed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from dogcat.core import files, runtime
from dogcat.core.options import InputError, local_path

# The first bytes of every entry; another layout takes another mark.
_MARK = b"dogcat cache entry, deletable: 2\n"
_KEY_BYTES = 32
# Before the content of an entry: the mark, and the hash of what the content was made from.
HEAD_BYTES = len(_MARK) + _KEY_BYTES
# How long an entry takes to be written at most, and by how much clocks of machines at one cache differ: what is
# unfinished after that was left by a killed process, and what is dated later was used before a clock was set back.
_DAY = 24 * 3600


def cache_folder() -> Path:
    """The project's cache: $DOGCAT_CACHE, or `dogcat` in the user's cache folder."""
    given = os.environ.get("DOGCAT_CACHE")
    if given:
        return Path(local_path(given, f"DOGCAT_CACHE={given}"))
    return Path(os.environ.get("XDG_CACHE_HOME") or runtime.home_folder() / ".cache") / "dogcat"


class Entry:
    """A place in a cache for what was made from exactly one thing.

    Attributes:
        path: Its file, there or not.
    """

    def __init__(self, folder: Path, made_from: Any, ending: str) -> None:
        """Takes the cache's folder, what the content is made from as plain values, and how names of the cache end."""
        self._key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).digest()
        self.path = folder / f"{self._key.hex()[:32]}{ending}"

    def open(self) -> io.BufferedReader | None:
        """Opens the entry behind its head; None where there is none, or it cannot be read, which is said."""
        try:
            file = files.open_regular(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except InputError:
            self.say_damaged()
            return None
        except OSError as error:
            self.say_unreadable(error)
            return None
        try:
            if file.read(HEAD_BYTES) == _MARK + self._key:
                # For `remove_oldest`; another user's entry may be used all the same.
                with contextlib.suppress(OSError):
                    os.utime(file.fileno())
                return file
            self.say_damaged()
        except OSError as error:
            self.say_unreadable(error)
        file.close()
        return None

    def say_damaged(self) -> None:
        """Says that the entry counts as none."""
        files.note(f"{self.path}: is damaged, or not a cache entry of this version, and counts as none")

    def say_unreadable(self, error: OSError) -> None:
        """Says that the entry counts as none."""
        files.note(f"{self.path}: cannot be read ({error.strerror}) and counts as none")

    @contextlib.contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """Opens a file behind the head that is the entry at the end of the block, whole, or not there at all.

        It replaces a file of that name, since no other program gives one the hash of what is cached here.

        Raises:
            OSError: It cannot be written; a file name is with the error.
        """
        with writing(self.path) as file:
            file.write(_MARK + self._key)
            # At once, since what a killed process leaves is known by the mark.
            file.flush()
            yield file


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Opens a file of a cache, whose folder is made if need be, that is there at the end of the block, or not at all.

    Raises:
        OSError: It cannot be written, or something other than a file has its name; a file name is with the error.
    """
    # A file or a dangling link in the place of the folder is told by what is done next.
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(parents=True)
    # Another process may remove the entry at any time.
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "something that is not a file is in the way", str(path))
    with files.open_atomically(path) as file:
        yield file


def remove_oldest(folder: Path, ending: str, limit: float) -> None:
    """Removes entries, those used longest ago first, until the others have `limit` bytes at most, and unfinished ones.

    What cannot be looked into, or belongs to another user who does not let it go, stays.

    Args:
        folder: The cache's folder, which other processes use too.
        ending: How the names of its entries end.
        limit: Bytes that may stay.
    """
    kept, now = 0, time.time()

    def by_use(entry: tuple[os.stat_result, Path, bool]) -> tuple[bool, float]:
        used = entry[0].st_mtime
        return used > now + _DAY, -used

    for status, path, is_unfinished in sorted(_entries(folder, ending), key=by_use):
        if is_unfinished:
            goes = abs(now - status.st_mtime) > _DAY
        else:
            kept += status.st_size
            goes = kept > limit
        if goes:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _entries(folder: Path, ending: str) -> Iterator[tuple[os.stat_result, Path, bool]]:
    """Status and path of the files that this program wrote, and whether each is unfinished."""
    # As `files.temporary_beside` calls them while they are written.
    name = rf"[0-9a-f]{{32}}{re.escape(ending)}"
    pattern = re.compile(rf"{name}|(?P<unfinished>\.{name}\.[0-9a-f]+\.tmp)")
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for match in filter(None, map(pattern.fullmatch, names)):
        path = folder / match.string
        with contextlib.suppress(OSError, InputError):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                with files.open_regular(path) as file:
                    is_own = file.read(len(_MARK)) == _MARK
                if is_own:
                    yield status, path, match["unfinished"] is not None
