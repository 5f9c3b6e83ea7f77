"""Output folders: which files in them this program wrote, so that no other is ever replaced.

A marker in the folder names each file with the hash of what was written. A file without a line there, or that has
changed since, belongs to somebody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from dogcat import files
from dogcat.config import InputError

MARKER = ".dogcat-outputs.json"
_LARGEST_MARKER = 64 * 2**20


def require_own(folder: Path, names: Iterable[str]) -> None:
    """Raises InputError where one of the files that are to be written is there and was not written by this program."""
    known = _read(folder)
    for name in names:
        path = folder / name
        if not _is_own(path, known):
            raise InputError(
                f"{path}: is in the way, since dogcat did not write it or it has changed since; move it, or give "
                "another folder"
            )


def is_own(path: Path) -> bool:
    """Whether nothing is there, or a file as this program wrote it."""
    return _is_own(path, _read(path.parent))


def write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files that belong together: all appear, or none; makes the folder if need be.

    Args:
        folder: The folder.
        contents: The content of each file by its name.

    Raises:
        InputError: Another program's file is in the way.
        OSError: A file cannot be written; then all are as they were.
    """
    require_own(folder, contents)
    folder.mkdir(parents=True, exist_ok=True)
    known = _read(folder)
    new = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    # Both, before the files appear: killed in between, each is known still.
    both = {name: sorted({*known.get(name, []), hash_}) for name, hash_ in new.items()}
    _write_marker(folder, {**known, **both})
    with files.FileSet() as written:
        for name, data in contents.items():
            written.write(folder / name, data)
    _write_marker(folder, {**known, **{name: [hash_] for name, hash_ in new.items()}})


def _is_own(path: Path, known: dict[str, list[str]]) -> bool:
    if not path.exists() and not path.is_symlink():
        return True
    return path.is_file() and not path.is_symlink() and files.sha256_of(path) in known.get(path.name, [])


def _read(folder: Path) -> dict[str, list[str]]:
    path = folder / MARKER
    if not path.exists():
        return {}
    try:
        hashes = json.loads(files.read_bounded(path, _LARGEST_MARKER))["files"]
        if all(isinstance(hash_, str) for of_file in hashes.values() for hash_ in of_file):
            return {str(name): list(of_file) for name, of_file in hashes.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise InputError(f"{path}: is damaged, so that nobody can tell what dogcat wrote there; give another folder")


def _write_marker(folder: Path, known: dict[str, list[str]]) -> None:
    content = {"about": "files that dogcat wrote in this folder, by sha256; others are never replaced", "files": known}
    files.write_atomically(folder / MARKER, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
