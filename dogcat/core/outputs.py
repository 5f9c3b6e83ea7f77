"""Output folders: which files in them this program wrote, so that no other is ever replaced.

A marker in the folder names each file with the hash of what was written. A file without a line there, or that has
changed since, belongs to somebody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dogcat.core import files
from dogcat.core.options import InputError

MARKER = ".dogcat-outputs.json"
_LARGEST_MARKER = 64 * 2**20
# Another process that writes into the folder is done in much less.
_SECONDS_TO_WAIT = 60.0


def require_folder(folder: Path) -> None:
    """Raises InputError where a folder cannot be, since it or one above it is something else."""
    nearest = files.nearest_there(folder)
    if not nearest.is_dir():
        raise InputError(f"{nearest}: is not a folder; give another place, or move it away")


def require_own(folder: Path, names: Iterable[str]) -> None:
    """Raises InputError where files could not be written, or one is there that this program did not write.

    For the beginning of long work, too.
    """
    require_folder(folder)
    nearest = files.nearest_there(folder)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{nearest}: nothing can be written there; give another folder")
    known = _read(folder)
    for name in names:
        path = folder / name
        if not _is_own(path, known):
            raise InputError(
                f"{path}: is in the way, since dogcat did not write it or it has changed since; move it, or give "
                "another folder"
            )


def require_nothing_else(folder: Path) -> None:
    """Raises InputError where a folder holds anything that this program did not write."""
    if folder.exists():
        left_by_kill = filter(files.is_temporary, os.listdir(folder))
        require_own(folder, sorted(set(os.listdir(folder)).difference(left_by_kill, [MARKER])))


def is_own(path: Path) -> bool:
    """Whether nothing is there, or a file as this program wrote it."""
    return _is_own(path, _read(path.parent))


def names_in(folder: Path) -> list[str]:
    """Names of the files that this program wrote, there still or not."""
    return list(_read(folder))


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files that belong together: all appear, or none; makes the folder if need be.

    Args:
        folder: The folder.
        contents: The content of each file by its name.

    Raises:
        InputError: Another program's file is in the way.
        OSError: A file cannot be written; then all are as they were.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(folder):
            _write(folder, contents)
    except BaseException:
        # Another process may have written there meanwhile.
        with contextlib.suppress(OSError):
            for path in new:
                path.rmdir()
        raise


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    require_own(folder, contents)
    known = _read(folder)
    new = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    # Both, before the files appear: killed in between, each is known still.
    both = {name: sorted({*known.get(name, []), hash_}) for name, hash_ in new.items()}
    _write_marker(folder, {**known, **both})
    try:
        with files.FileSet() as written:
            for name, data in contents.items():
                written.write(folder / name, data)
    except BaseException:
        # A marker that knows more than is there does no harm.
        if not known:
            (folder / MARKER).unlink()
        raise
    _write_marker(folder, {**known, **{name: [hash_] for name, hash_ in new.items()}})


def note(folder: Path, names: Iterable[str]) -> None:
    """Notes files as this program's that another command of it has written there."""
    with _locked(folder):
        written = {name: [files.sha256_of(folder / name)] for name in names if (folder / name).exists()}
        _write_marker(folder, {**_read(folder), **written})


def remove(folder: Path, names: Iterable[str]) -> None:
    """Removes files that this program wrote, where they are there.

    Raises:
        InputError: One of them is another program's.
    """
    names = list(names)
    require_own(folder, names)
    for name in names:
        (folder / name).unlink(missing_ok=True)
    known = _read(folder)
    if known:
        _write_marker(folder, {name: hashes for name, hashes in known.items() if name not in names})


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing files of theirs between those of a set."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + _SECONDS_TO_WAIT
        while not files.lock(descriptor, folder / MARKER):
            if time.monotonic() > until:
                raise InputError(f"{folder}: is being written by another process; wait for it or give another folder")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _is_own(path: Path, known: dict[str, list[str]]) -> bool:
    if not path.exists() and not path.is_symlink():
        return True
    return path.is_file() and not path.is_symlink() and files.sha256_of(path) in known.get(path.name, [])


def _read(folder: Path) -> dict[str, list[str]]:
    path = folder / MARKER
    if not os.path.lexists(path):
        return {}
    try:
        hashes = json.loads(files.read_bounded(path, _LARGEST_MARKER))["files"]
        if not path.is_symlink() and all(isinstance(hash_, str) for of_file in hashes.values() for hash_ in of_file):
            return {str(name): list(of_file) for name, of_file in hashes.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise InputError(f"{path}: is damaged, so that nobody can tell what dogcat wrote there; give another folder")


def _write_marker(folder: Path, known: dict[str, list[str]]) -> None:
    content = {"about": "files that dogcat wrote in this folder, by sha256; others are never replaced", "files": known}
    files.write_atomically(folder / MARKER, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
