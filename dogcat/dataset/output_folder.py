"""Whether a data set can be put where the user wants it, with nothing lost."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from dogcat.core.options import InputError, is_address
from dogcat.dataset import data_set_folder, unfinished_work
from dogcat.dataset.options import ShardOptions

# Of Linux: what is mounted where.
_MOUNTS = Path("/proc/self/mountinfo")
# Former versions moved the data set that was to be replaced aside to this name, unmarked.
_FORMER_BEFORE = ".before"


def usable_output(options: ShardOptions) -> Path:
    """The folder of the data set, links followed; sets right first what a call that was killed left there.

    Raises:
        InputError: A data set cannot be put there, or the folder holds what must not be lost.
    """
    output = Path(os.path.realpath(options.output))
    folder = unfinished_work.folder_of(output)
    if os.path.lexists(folder):
        with contextlib.suppress(FileNotFoundError):
            lock = unfinished_work.take(folder, output)
            try:
                unfinished_work.set_right(folder, output)
                unfinished_work.remove_if_empty(folder)
            finally:
                os.close(lock)
    before = output.with_name(output.name + _FORMER_BEFORE)
    if os.path.lexists(before):
        raise InputError(
            f"{before}: is in the way, since former versions of dogcat moved data sets aside to such a name; rename or "
            "remove it, or give another --output"
        )
    require_usable(output, options)
    return output


def require_usable(output: Path, options: ShardOptions) -> None:
    """Raises InputError where a data set cannot be put there, or the folder holds what must not be lost."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; give a folder with --output")
    if _is_mount_point(output):
        raise InputError(f"{output} is a mount point, which cannot be renamed; give a folder in it with --output")
    images = Path(os.path.realpath(options.images))
    if not is_address(options.images) and (output == images or output in images.parents):
        raise InputError(f"--output={options.output}: the pictures of --images lie in it; give another folder")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not data_set_folder.is_data_set(output):
        raise InputError(f"{output} holds other files; give a new or empty folder with --output")
    if not options.overwrite:
        raise InputError(f"{output} already holds a data set; --overwrite replaces it")


def _is_mount_point(path: Path) -> bool:
    """Whether something is mounted there, also a folder of the same file system."""
    if os.path.ismount(path):
        return True
    with contextlib.suppress(OSError):
        for mounted in _MOUNTS.read_bytes().splitlines():
            # Blanks and their like stand there in octal.
            place = re.sub(rb"\\([0-7]{3})", lambda digits: bytes([int(digits[1], 8)]), mounted.split()[4])
            if place == os.fsencode(path):
                return True
    return False
