"""Files that appear whole or not at all, alone or in sets, and never in the place of what another program wrote.

A temporary file has a name of its own, is created where nothing is, and is never reached through a link. What a file
system may lack (locks, `fsync` of a folder) is done without.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import io
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dogcat.core.options import InputError
from dogcat.core.text import shortened

# What file systems answer that do not know a request: network and FUSE file systems, exFAT, overlays of containers.
UNSUPPORTED = (
    *(errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOLCK, errno.EPERM, errno.ENODEV),
    # NFS, of a lock on what is open for reading alone, like a folder.
    errno.EBADF,
)

# Where files are kept in memory, on Linux.
MEMORY = Path("/dev/shm")

_TEMPORARY_BYTES = 8
_TEMPORARY = re.compile(rf"\..+\.[0-9a-f]{{{2 * _TEMPORARY_BYTES}}}\.tmp", re.DOTALL)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file's name to what the system says of a write, like a full disk, which comes without one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def open_regular(path: Path, buffer_bytes: int = -1) -> io.BufferedReader:
    """Opens a regular file for reading, links followed; nothing else is waited for or read.

    Args:
        path: The file.
        buffer_bytes: What is read at once; -1: as much as usual.

    Raises:
        InputError: It is a folder, a pipe, a device or the like.
        OSError: It cannot be opened; its name is with the error.
    """
    # A pipe without a writer would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError(f"{path}: is not a regular file; give one")
        return io.BufferedReader(io.FileIO(descriptor), buffer_bytes if buffer_bytes > 0 else io.DEFAULT_BUFFER_SIZE)
    except BaseException:
        os.close(descriptor)
        raise


def is_in_the_way(path: Path) -> bool:
    """Whether something other than a regular file has a file's name, links followed.

    It is looked up once, since another process may remove the file at any time.
    """
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def read_bounded(path: Path, limit: int) -> bytes:
    """Reads a regular file of `limit` bytes at most.

    Raises:
        InputError: It is larger, or not a regular file.
        OSError: It cannot be read.
    """
    with naming(path), open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InputError(f"{path}: has more than {limit:,} bytes, the most that such a file can have")
    return data


def temporary_beside(path: Path) -> Path:
    """A name in the same folder that no other call is given."""
    # The end of a long name goes, since most file systems take 255 bytes.
    start = os.fsdecode(os.fsencode(path.name)[:200])
    return path.with_name(f".{start}.{secrets.token_hex(_TEMPORARY_BYTES)}.tmp")


def is_temporary(name: str) -> bool:
    """Whether `temporary_beside` gives such names; a killed process leaves its file behind."""
    return _TEMPORARY.fullmatch(name) is not None


def create(path: Path) -> BinaryIO:
    """Creates a file for writing where nothing is, not even a link."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb")


class FileSet:
    """Files that belong together: all of them appear at the end of the block, or none; a context manager.

    All are written under temporary names and brought to the disk before the first appears. Where the last steps fail,
    the files that were there before come back.
    """

    def __init__(self) -> None:
        """Begins with no file."""
        self._written: dict[Path, Path] = {}

    def __enter__(self) -> FileSet:
        """Begins the block."""
        return self

    @contextlib.contextmanager
    def open(self, path: Path) -> Iterator[BinaryIO]:
        """Opens one of the files for writing.

        Raises:
            InputError: Something other than a regular file has the name.
            OSError: It cannot be written; its name is with the error.
        """
        # Through a link, not in its place.
        path = Path(os.path.realpath(path))
        if is_in_the_way(path):
            raise InputError(f"{path}: is not a regular file; give another name")
        if path in self._written:
            raise InputError(f"{path}: two files would have this name; give them different ones")
        temporary = temporary_beside(path)
        with naming(path):
            try:
                file = create(temporary)
            except OSError as error:
                # The user knows the file's own name.
                error.filename = str(path)
                raise
            self._written[path] = temporary
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())

    def write(self, path: Path, data: bytes) -> None:
        """Writes one of the files."""
        with self.open(path) as file:
            file.write(data)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Gives the files their names, or removes them."""
        try:
            if kind is None:
                self._put_in_place()
        finally:
            for temporary in self._written.values():
                temporary.unlink(missing_ok=True)

    def _put_in_place(self) -> None:
        replaced: dict[Path, Path] = {}
        placed: list[Path] = []
        try:
            for path, temporary in self._written.items():
                # A single file is replaced in one step; of several, those before may have to come back.
                if len(self._written) > 1 and path.exists():
                    replaced[path] = temporary_beside(path)
                    copy_name(path, replaced[path])
                os.replace(temporary, path)
                placed.append(path)
        except BaseException:
            for path in placed:
                if path in replaced:
                    os.replace(replaced[path], path)
                else:
                    path.unlink()
            raise
        finally:
            for before in replaced.values():
                before.unlink(missing_ok=True)


def copy_name(path: Path, other: Path) -> None:
    """Gives a file a second name, or where the file system has no such links, a copy."""
    try:
        os.link(path, other)
    except OSError:
        with open(path, "rb") as file, create(other) as copy:
            shutil.copyfileobj(file, copy)


@contextlib.contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that is there at the end of the block, whole, or not at all."""
    with FileSet() as files, files.open(path) as file:
        yield file


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a small file so that it is there whole or not at all."""
    with open_atomically(path) as file:
        file.write(data)


def rename_folder(folder: Path, new: Path) -> None:
    """Gives a folder another name, where nothing is; by a copy where the file system renames no folders.

    Overlays of containers rename none that belong to a lower layer, and some FUSE file systems none at all.
    """
    try:
        os.rename(folder, new)
        return
    except OSError as error:
        if error.errno not in (errno.EXDEV, *UNSUPPORTED):
            raise
    try:
        shutil.copytree(folder, new, symlinks=True)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, shutil.Error):
            # Of each file that was not copied: where from, where to, and what the system said.
            raise OSError(errno.EIO, error.args[0][0][2], str(new)) from error
        raise
    shutil.rmtree(folder)


def append_durably(path: Path, data: bytes) -> None:
    """Appends to a small file and waits until the disk has it; killed meanwhile, a part of `data` may stand there."""
    with naming(path), open(path, "ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sha256_of(path: Path) -> str:
    """Hash of a regular file, hex; memory does not grow with it."""
    hash_ = hashlib.sha256()
    with naming(path), open_regular(path) as file:
        # What a file that grows has gained meanwhile does not belong to it.
        left = os.fstat(file.fileno()).st_size
        while left:
            block = file.read(min(left, 2**22))
            if not block:
                break
            hash_.update(block)
            left -= len(block)
    return hash_.hexdigest()


def nearest_there(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if os.path.exists(place))


def find_temporary_folder() -> None:
    """Has temporary files written into memory where no folder for them can be written.

    Raises:
        InputError: Memory cannot either.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        os.environ["TMPDIR"] = str(MEMORY)
        try:
            tempfile.gettempdir()
        except FileNotFoundError as error:
            raise InputError(
                f"no folder for temporary files can be written, neither /tmp nor {MEMORY}; set the environment "
                "variable TMPDIR to one"
            ) from error


def make_durable(path: Path) -> None:
    """Waits until a file's content, or what a folder holds by which names, is on the disk.

    Of a folder that is done without where the file system cannot.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (path.is_dir() and error.errno in UNSUPPORTED):
            raise
    finally:
        os.close(descriptor)


def lock(descriptor: int, path: Path) -> bool:
    """Takes an open file for this process, until it closes it or ends, however it ends.

    Where the file system has no locks, says so once and takes it without.

    Args:
        descriptor: The open file.
        path: Its name, for the note.

    Returns:
        False where another process has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # NFS locks only what is open for writing, which a folder cannot be.
        if error.errno not in (*UNSUPPORTED, errno.EBADF):
            raise
        note(f"{path.parent} has no locks; let no other command write there meanwhile")
    return True


def is_still(descriptor: int, path: Path) -> bool:
    """Whether an open file still has its name: another process may have taken it away before it could be locked."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


@functools.cache
def note(text: str) -> None:
    """Says once in a process what is done without."""
    print(shortened(f"note: {text}"), file=sys.stderr)
