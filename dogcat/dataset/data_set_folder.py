"""A folder with the files of a data set and no others: told from other folders, moved and removed."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from dogcat.core.options import InputError
from dogcat.dataset import manifest

_OF_DATA_SET = re.compile(r"dataset\.json|rejected\.csv|(train|validation|test)-\d+-of-\d+\.tfrecord(\.index)?")
# Former versions, killed at the right moment, left these two beside them.
FORMER_FILES = ("finished.jsonl", ".lock")


def is_data_set(folder: Path) -> bool:
    """Whether a folder holds a data set and nothing else."""
    try:
        manifest.read(folder)
    except InputError:
        return False
    return foreign_file(folder, FORMER_FILES) is None


def is_of_data_set(path: Path) -> bool:
    """Whether there is a file whose name is one of a data set's."""
    return is_name_of_data_set(path.name) and path.is_file()


def is_name_of_data_set(name: str) -> bool:
    """Whether a file's name is one of a data set's."""
    return _OF_DATA_SET.fullmatch(name) is not None


def foreign_file(folder: Path, more: tuple[str, ...]) -> Path | None:
    """The first in a folder that is not a file of a data set and none of the names `more`; None where there is none."""
    return next((path for path in sorted(folder.iterdir()) if not is_of_data_set(path) and path.name not in more), None)


def move_aside(output: Path, before: Path) -> None:
    """Moves a data set; broken off, `move_back` undoes it."""
    try:
        os.rename(output, before)
    except OSError as error:
        # Overlay file systems, as containers have, move no folder of a lower layer, but files.
        if error.errno != errno.EXDEV:
            raise
        before.mkdir()
        # The manifest first: what is left is not a data set.
        for path in sorted(output.iterdir(), key=lambda path: path.name != manifest.FILE_NAME):
            os.rename(path, before / path.name)
        output.rmdir()


def move_back(before: Path, output: Path) -> None:
    """Moves a data set back to where it was, whole or in part.

    Raises:
        InputError: Something else is there.
    """
    if not any(before.iterdir()):
        before.rmdir()
        return
    if not os.path.lexists(output):
        os.rename(before, output)
        return
    # What `move_aside` leaves on its way is not a data set, but has files of one.
    has_other = not output.is_dir() or foreign_file(output, FORMER_FILES) or (output / manifest.FILE_NAME).exists()
    if has_other or any((output / path.name).exists() for path in before.iterdir()):
        raise InputError(f"{output}: is in the way of the data set that was there, which is now {before}; move it away")
    for path in sorted(before.iterdir(), key=lambda path: path.name == manifest.FILE_NAME):
        os.rename(path, output / path.name)
    before.rmdir()


def remove(folder: Path) -> None:
    """Removes a folder with the files of a data set; one that holds other files stays, with these."""
    for path in list(folder.iterdir()):
        if is_of_data_set(path) or path.name in FORMER_FILES:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
