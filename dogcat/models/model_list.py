"""The list that makes the runs below a folder one ensemble, like those of --folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dogcat.core import files
from dogcat.core.options import InputError

FILE = "models.txt"
# A hundred names of folders, each as long as file systems have.
_MOST_BYTES = 2**15


def content(runs: Sequence[str]) -> bytes:
    """The list of some runs, by the names of their folders."""
    return "".join(f"{run}\n" for run in runs).encode()


def is_in(folder: Path) -> bool:
    """Whether a folder has such a list."""
    return (folder / FILE).is_file()


def read(folder: Path) -> list[Path]:
    """The folders of the runs that the list of a folder names; empty where it has no list.

    Raises:
        InputError: The list names something else than folders beside it.
    """
    if not is_in(folder):
        return []
    path = folder / FILE
    try:
        names = files.read_bounded(path, _MOST_BYTES).decode().splitlines()
    except ValueError as error:
        raise InputError(f"{path}: is damaged ({error}); give the runs beside it by their names") from error
    for number, name in enumerate(names, 1):
        if not name or "/" in name or "\0" in name or name in (".", ".."):
            raise InputError(f"{path}: line {number} is {name[:80]!r}; it must be the name of a folder beside the list")
    if not names:
        raise InputError(f"{path}: is empty; give the runs beside it by their names")
    return [folder / name for name in names]
