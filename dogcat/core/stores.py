"""Folders at addresses, like s3://bucket/folder, that fsspec opens: listed, read and written, without TensorFlow.

Credentials, endpoints and whatever else is set of a store are those of fsspec's and the store's own configuration and
environment.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dogcat.core.calls import Calls, WorkLostError
from dogcat.core.options import InputError
from dogcat.core.text import shortened

# Files that are asked for at a time, since each answer takes its time.
_REQUESTS = 16
# Of what a store says of a failure.
_LONGEST_REASON = 160
# By which stores tell that a file has changed.
_VERSIONS = ("ETag", "etag", "generation", "LastModified", "last_modified", "mtime", "modificationTime", "created")


class Entry(NamedTuple):
    """What a listing tells of a file: its size in bytes, and a text that changes with its content."""

    size: int
    version: str


class Store:
    """A folder at an address; names of files are relative to it, with `/`.

    It may be used from several threads. Made anew in the same thread it has the same connections.

    Attributes:
        address: Its address, without a slash at its end.
    """

    def __init__(self, address: str) -> None:
        """Finds out what opens the address; nothing is asked of the store.

        Raises:
            InputError: Nothing does, or the package that does is not installed.
        """
        self.address = address
        scheme = address.partition("://")[0]
        try:
            import fsspec

            self._system, root = fsspec.url_to_fs(address)
        except ImportError as error:
            raise InputError(f"{address}: {scheme}:// wants a package ({error}); {_advice(scheme)}") from error
        except ValueError as error:
            raise InputError(f"{address}: {_one_line(error)}; give an address like s3://bucket/folder") from error
        self._root = root.rstrip("/")
        # s3fs would ask for the size of a whole file, but not of a range, before it reads.
        self._asks_first = scheme in ("s3", "s3a")

    def files(self) -> dict[str, Entry]:
        """All files below it, sorted by name.

        Raises:
            InputError: There is no such bucket, or it cannot be listed.
        """
        with self._told("", "listed"):
            try:
                # What others have written since an earlier list counts.
                self._system.invalidate_cache()
                found = self._system.find(self._root, detail=True)
            except FileNotFoundError as error:
                raise InputError(
                    f"{self.address}: there is no such bucket or folder; make it, or give another"
                ) from error
        return {
            path[len(self._root) + 1 :]: Entry(int(known.get("size") or 0), _version(known))
            for path, known in sorted(found.items())
            if path.startswith(f"{self._root}/") and not path.endswith("/")
        }

    def size_of(self, name: str) -> int:
        """The bytes of a file.

        Raises:
            FileNotFoundError: There is none.
            InputError: The store cannot be asked.
        """
        with self._told(name, "read"):
            self._system.invalidate_cache()
            return int(self._system.size(self._path(name)))

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Reads a file, or those bytes of it that it has.

        Raises:
            FileNotFoundError: There is none.
            InputError: It cannot be read.
        """
        path = self._path(name)
        with self._told(name, "read"):
            if start is None and self._asks_first:
                start = 0
            try:
                return bytes(self._system.cat_file(path, start=start, end=end))
            except OSError as error:
                # An empty file has no byte 0.
                if error.errno == errno.EINVAL and not self._system.size(path):
                    return b""
                raise

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | FileNotFoundError]:
        """Reads files, some at a time, in order; gives the error in the place of a file that is not there."""

        def read(name: str) -> bytes | FileNotFoundError:
            try:
                return self.read(name)
            except FileNotFoundError as error:
                return error

        with concurrent.futures.ThreadPoolExecutor(_REQUESTS) as executor:
            yield from Calls(executor, read, _REQUESTS).starmap((name,) for name in names)

    def write(self, name: str, data: bytes) -> None:
        """Writes a small file.

        Raises:
            InputError: It cannot be written.
        """
        with tempfile.NamedTemporaryFile(prefix="dogcat-") as file:
            file.write(data)
            file.flush()
            self.upload(Path(file.name), name)

    def upload(self, path: Path, name: str) -> None:
        """Writes a file from one of this machine; in an object store it appears when all of it is there.

        Raises:
            InputError: It cannot be written.
        """
        with self._told(name, "written"):
            # Unlike the functions for data in memory it makes folders, where a store has any.
            self._system.put_file(str(path), self._path(name))

    def remove(self, names: Iterable[str]) -> None:
        """Removes files, where they are there.

        Raises:
            InputError: One cannot be removed.
        """
        for name in names:
            with contextlib.suppress(FileNotFoundError), self._told(name, "removed"):
                self._system.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextlib.contextmanager
    def _told(self, name: str, done: str) -> Iterator[None]:
        """Makes one line, which names the address, of what goes wrong in a block."""
        address = f"{self.address}/{name}" if name else self.address
        try:
            yield
        except InputError:
            raise
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address) from None
        except PermissionError as error:
            why = f"may not be {done} with the credentials that were found ({_one_line(error)})"
            raise WorkLostError(f"{address}: {why}") from error
        # Each store's package raises errors of its own.
        except Exception as error:
            raise WorkLostError(f"{address}: cannot be {done} ({_one_line(error)})") from error


def _version(known: dict[str, Any]) -> str:
    return " ".join(str(known[name]) for name in _VERSIONS if known.get(name) is not None)


def _one_line(error: Exception) -> str:
    return shortened(" ".join(str(error).split()) or type(error).__name__, _LONGEST_REASON)


def _advice(scheme: str) -> str:
    return "pip install 'dogcat[remote]'" + ("" if scheme == "s3" else ", and the package of fsspec for it")
