"""The folder of unfinished work beside a data set's place, and what a call that was killed left in it.

A mark in it tells that it is this program's, and of which output; whoever has locked the mark has the folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

import dogcat
from dogcat.core import files, journal
from dogcat.core.options import InputError
from dogcat.dataset import data_set_folder

MARK = ".dogcat-unfinished.json"
_LARGEST_MARK = 2**16
NOTE = "finished.jsonl"
# The finished data set, and the one that it replaces.
NEW, BEFORE = "data", "before"
# Follows the output's name.
ENDING = ".partial"
# A folder of pieces of a plan, and what is in it besides shards: see `shard_pieces`.
_PLAN = re.compile("plan-[0-9a-f]{16}")
_OF_PLAN = re.compile(r"plan\.json|pictures\.jsonl|.+\.tfrecord\.json")


def folder_of(output: Path) -> Path:
    """The folder in which the data set of an output grows."""
    return output.with_name(output.name + ENDING)


def plan_folder_of(folder: Path, digest: str) -> Path:
    """The folder, in that of unfinished work, for the pieces of a plan with this digest."""
    return folder / plan_name_of(digest)


def plan_name_of(digest: str) -> str:
    """The name of the folder for the pieces of a plan with this digest."""
    return f"plan-{digest[:16]}"


def plan_folders_in(folder: Path) -> list[Path]:
    """The folders of pieces in that of unfinished work, of whatever plans."""
    return [path for path in folder.iterdir() if _PLAN.fullmatch(path.name) and path.is_dir()]


def take_or_begin(folder: Path, output: Path) -> int:
    """Takes unfinished work, or begins it where nothing is."""
    while True:
        try:
            return take(folder, output)
        except FileNotFoundError:
            _begin(folder, output)


def take(folder: Path, output: Path) -> int:
    """Takes unfinished work for this process, until it closes the descriptor that is returned, or ends.

    Raises:
        FileNotFoundError: There is none.
        InputError: What is there is not this program's or of another output, or another process has it.
    """
    mark = folder / MARK
    try:
        if folder.is_symlink():
            raise _in_the_way(folder)
        descriptor = os.open(mark, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if os.path.lexists(folder):
            raise _in_the_way(folder) from None
        raise
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _in_the_way(folder) from error
        raise
    try:
        if not _is_mark_of(files.read_bounded(mark, _LARGEST_MARK), output):
            raise _in_the_way(folder)
        if not files.lock(descriptor, mark):
            raise InputError(f"{folder} is being written by another process; wait for it or give another --output")
        if not files.is_still(descriptor, mark):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(mark))
        foreign = _foreign_file_in_work(folder)
        if foreign:
            raise InputError(f"{foreign} is in the way of unfinished work; move it, or give another --output")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _begin(folder: Path, output: Path) -> None:
    """Makes the folder of unfinished work, which is marked when it appears; one that is there by then stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = files.temporary_beside(folder)
    try:
        temporary.mkdir()
        content = {"unfinished_data_set": output.name, "made_by": f"dogcat {dogcat.__version__}"}
        files.write_atomically(temporary / MARK, journal.line(content))
        # An empty folder would be replaced.
        if not os.path.lexists(folder):
            os.rename(temporary, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            # The user knows the folder's own name.
            error.filename, error.filename2 = str(folder), None
            raise
    finally:
        if temporary.exists():
            (temporary / MARK).unlink(missing_ok=True)
            temporary.rmdir()


def _in_the_way(folder: Path) -> InputError:
    return InputError(
        f"{folder}: is in the way of unfinished work, since this version of dogcat did not begin it for this output; "
        "move or remove it, or give another --output"
    )


def _is_mark_of(data: bytes, output: Path) -> bool:
    try:
        return journal.parse(data)["unfinished_data_set"] == output.name
    except (ValueError, KeyError):
        return False


def _foreign_file_in_work(folder: Path) -> Path | None:
    """The first in the folder of unfinished work that does not belong there; None where there is none."""
    for name in (NEW, BEFORE):
        if (folder / name).is_dir():
            foreign = data_set_folder.foreign_file(folder / name, data_set_folder.FORMER_FILES)
            if foreign:
                return foreign
    left_by_kill = filter(files.is_temporary, os.listdir(folder))
    plans = plan_folders_in(folder)
    for plan in plans:
        foreign = data_set_folder.foreign_file(plan, tuple(filter(_is_of_plan, os.listdir(plan))))
        if foreign:
            return foreign
    plan_names = (plan.name for plan in plans)
    return data_set_folder.foreign_file(folder, (MARK, NOTE, NEW, BEFORE, *left_by_kill, *plan_names))


def _is_of_plan(name: str) -> bool:
    return _OF_PLAN.fullmatch(name) is not None or files.is_temporary(name)


def is_name_in_work(name: str) -> bool:
    """Whether a name, relative to the place of unfinished work at an address, is that of a file that belongs there."""
    plan, slash, of_plan = name.partition("/")
    return name == MARK or bool(slash and _PLAN.fullmatch(plan) and _is_of_plan(of_plan))


def set_right(folder: Path, output: Path) -> None:
    """Ends or takes back what a call that was killed had begun with the data set that it replaces."""
    new, before = folder / NEW, folder / BEFORE
    if before.exists():
        if new.exists() or not data_set_folder.is_data_set(output):
            data_set_folder.move_back(before, output)
        else:
            # Its shards are in place.
            (folder / NOTE).unlink(missing_ok=True)
            data_set_folder.remove(before)


def remove(folder: Path) -> None:
    """Removes unfinished work, its mark last; files that others have put into it meanwhile stay, with the mark."""
    for name in (NEW, BEFORE):
        if (folder / name).exists():
            data_set_folder.remove(folder / name)
    for plan in plan_folders_in(folder):
        remove_plan(plan)
    for path in list(folder.iterdir()):
        if path.is_dir() and files.is_temporary(path.name):
            remove_moved_plan(path)
        elif data_set_folder.is_of_data_set(path) or path.name == NOTE or files.is_temporary(path.name):
            path.unlink()
    remove_if_empty(folder)


def remove_plan(plan: Path) -> None:
    """Removes a folder of pieces, in which workers may still write: what they do then, they do not find."""
    moved = files.temporary_beside(plan)
    os.rename(plan, moved)
    remove_moved_plan(moved)


def remove_moved_plan(moved: Path) -> None:
    """Removes a folder of pieces that was moved, perhaps by a call that was killed then."""
    for path in list(moved.iterdir()):
        if _is_of_plan(path.name) or data_set_folder.is_of_data_set(path):
            # A worker removes its own temporary file when it cannot give it its name.
            path.unlink(missing_ok=True)
    # NFS keeps files that somebody has open, under other names.
    with contextlib.suppress(OSError):
        moved.rmdir()


def remove_if_empty(folder: Path) -> None:
    """Removes the folder of unfinished work where nothing but the mark is in it."""
    if os.listdir(folder) == [MARK]:
        # Under its name it is marked to the end.
        gone = files.temporary_beside(folder)
        os.rename(folder, gone)
        (gone / MARK).unlink()
        gone.rmdir()
