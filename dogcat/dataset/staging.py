"""The folder in which a data set grows beside its output, and how it takes the output's place: whole, or not at all.

Finished shards are noted in it, so that the same call goes on after them. A mark in it tells that it is this program's,
and of which output. At the end the data set moves into a folder of its own inside, the one that it replaces moves in
beside it, and the new one takes the old one's name. Wherever that is broken off, the next call sets it right.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
from pathlib import Path
from typing import Any

import dogcat
from dogcat.core import files, journal
from dogcat.core.interrupts import Terminated
from dogcat.core.options import InputError
from dogcat.core.processes import WorkerKilledError
from dogcat.dataset import manifest
from dogcat.dataset.encoding import Rejection
from dogcat.dataset.options import ShardOptions

_MARK = ".dogcat-unfinished.json"
_LARGEST_MARK = 2**16
_NOTE = "finished.jsonl"
# The finished data set, and the one that it replaces.
_NEW, _BEFORE = "data", "before"
# Of Linux: what is mounted where.
_MOUNTS = Path("/proc/self/mountinfo")
# Former versions moved the data set that was to be replaced aside to this name, unmarked.
_FORMER_BEFORE = ".before"

_OF_DATA_SET = re.compile(r"dataset\.json|rejected\.csv|(train|validation|test)-\d+-of-\d+\.tfrecord")
# Former versions, killed at the right moment, left these two beside them.
_FORMER_FILES = (_NOTE, ".lock")


@dataclasses.dataclass(frozen=True)
class FinishedShard:
    """A shard on disk, and what its pictures add to the manifest."""

    shard: manifest.Shard
    counts: list[int]
    channel_sums: list[list[int]]
    rejections: list[Rejection]


class Staging:
    """The folder in which a data set grows, and the note of its finished shards, a JSON line each behind the plan's.

    Attributes:
        folder: `<output>.partial`.
        finished: Shards on disk that belong to this plan, by name.
    """

    def __init__(self, output: Path, options: ShardOptions, digest: str) -> None:
        """Takes the place of the data set.

        Args:
            output: What `usable_output` gave.
            options: What that was given.
            digest: Tells all that shapes the data set's bytes: work of another digest is discarded.
        """
        self.folder = _folder_of(output)
        self.finished: dict[str, FinishedShard] = {}
        self._output = output
        self._options = options
        self._digest = digest
        self._is_complete = False

    def __enter__(self) -> Staging:
        """Takes the folder for this process, and what it holds of the same plan.

        Raises:
            InputError: Another process has it, or something else is in it.
        """
        self._lock = _take_or_begin(self.folder, self._output)
        try:
            # Another call may have been killed since that was done first.
            _set_right(self.folder, self._output)
            _require_usable(self._output, self._options)
            self._continue_or_start()
        except BaseException:
            _remove_if_empty(self.folder)
            os.close(self._lock)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Keeps finished shards where the same call may go on, and says so with the error; else removes the folder."""
        try:
            self._keep_or_remove(kind, error)
        finally:
            os.close(self._lock)

    def _keep_or_remove(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        if kind is None:
            _remove(self.folder)
            return
        of_no_use = issubclass(kind, InputError) and not issubclass(kind, WorkerKilledError) and not self._is_complete
        if of_no_use or not self.finished:
            # It has failed already, of which the user is told.
            with contextlib.suppress(OSError):
                _remove(self.folder)
            return
        kept = f"{len(self.finished)} finished shards are kept in {self.folder}; the same command goes on after them"
        if isinstance(error, OSError) and error.strerror:
            error.strerror = f"{error.strerror} ({kept})"
        elif issubclass(kind, (KeyboardInterrupt, Terminated)):
            raise kind(kept)
        elif isinstance(error, InputError):
            raise kind(f"{error} ({kept})")

    def add(self, part: FinishedShard) -> None:
        """Notes a finished shard."""
        self.finished[part.shard.name] = part
        files.append_durably(self.folder / _NOTE, journal.line(dataclasses.asdict(part)))

    def put_in_place(self) -> None:
        """Gives the finished data set its name; the one that was there before goes afterwards.

        Raises:
            InputError: Something else has come to be there meanwhile.
            OSError: A folder cannot be renamed; the data set that was there before is there still.
        """
        self._is_complete = True
        _require_usable(self._output, self._options)
        new, before = self.folder / _NEW, self.folder / _BEFORE
        new.mkdir()
        for path in list(filter(_is_of_data_set, self.folder.iterdir())):
            os.replace(path, new / path.name)
        files.make_durable(new)
        if _is_data_set(self._output):
            _move_aside(self._output, before)
        try:
            os.rename(new, self._output)
        except BaseException:
            if before.exists():
                _move_back(before, self._output)
            raise
        files.make_durable(self._output.parent)

    def _continue_or_start(self) -> None:
        new = self.folder / _NEW
        if new.exists():
            # It was complete, and did not come to take its place.
            for path in list(new.iterdir()):
                os.replace(path, self.folder / path.name)
            new.rmdir()
        plan, parts = self._read_note()
        if plan == self._digest:
            for part in parts:
                path = self.folder / part.shard.name
                if path.exists() and files.sha256_of(path) == part.shard.sha256:
                    self.finished[part.shard.name] = part
            print(f"going on after {len(self.finished)} finished shards in {self.folder}")
        elif parts:
            print(f"discarding unfinished work of other options or pictures in {self.folder}")
        for path in list(self.folder.iterdir()):
            if path.name not in self.finished and path.name not in (_MARK, _NOTE):
                path.unlink()
        lines = [{"plan": self._digest}, *map(dataclasses.asdict, self.finished.values())]
        files.write_atomically(self.folder / _NOTE, b"".join(map(journal.line, lines)))

    def _read_note(self) -> tuple[str, list[FinishedShard]]:
        """The digest of the plan that unfinished work belongs to, empty if there is none, and its finished shards."""
        path = self.folder / _NOTE
        if not path.exists():
            return "", []
        # A kill may have cut the last line short.
        lines = path.read_bytes().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            del lines[-1]
        try:
            plan, *parts = map(journal.parse, lines)
            return plan["plan"], [_from_note(part) for part in parts]
        except (ValueError, TypeError, KeyError):
            print(f"beginning anew, since {path} is damaged")
            return "", []


def usable_output(options: ShardOptions) -> Path:
    """The folder of the data set, links followed; sets right first what a call that was killed left there.

    Raises:
        InputError: A data set cannot be put there, or the folder holds what must not be lost.
    """
    output = Path(os.path.realpath(options.output))
    folder = _folder_of(output)
    if os.path.lexists(folder):
        with contextlib.suppress(FileNotFoundError):
            lock = _take(folder, output)
            try:
                _set_right(folder, output)
                _remove_if_empty(folder)
            finally:
                os.close(lock)
    before = _with_ending(output, _FORMER_BEFORE)
    if os.path.lexists(before):
        raise InputError(
            f"{before}: is in the way, since former versions of dogcat moved data sets aside to such a name; rename or "
            "remove it, or give another --output"
        )
    _require_usable(output, options)
    return output


def _require_usable(output: Path, options: ShardOptions) -> None:
    """Raises InputError where a data set cannot be put there, or the folder holds what must not be lost."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; give a folder with --output")
    if _is_mount_point(output):
        raise InputError(f"{output} is a mount point, which cannot be renamed; give a folder in it with --output")
    images = Path(os.path.realpath(options.images))
    if output == images or output in images.parents:
        raise InputError(f"--output={options.output}: the pictures of --images lie in it; give another folder")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not _is_data_set(output):
        raise InputError(f"{output} holds other files; give a new or empty folder with --output")
    if not options.overwrite:
        raise InputError(f"{output} already holds a data set; --overwrite replaces it")


def _folder_of(output: Path) -> Path:
    return _with_ending(output, ".partial")


def _with_ending(output: Path, ending: str) -> Path:
    return output.with_name(output.name + ending)


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


def _is_data_set(folder: Path) -> bool:
    """Whether a folder holds a data set and nothing else."""
    try:
        manifest.read(folder)
    except InputError:
        return False
    return _foreign_file(folder, _FORMER_FILES) is None


def _is_of_data_set(path: Path) -> bool:
    return _OF_DATA_SET.fullmatch(path.name) is not None and path.is_file()


def _foreign_file(folder: Path, more: tuple[str, ...]) -> Path | None:
    """The first in a folder that is no file of a data set and none of the names `more`; None where there is none."""
    return next(
        (path for path in sorted(folder.iterdir()) if not _is_of_data_set(path) and path.name not in more), None
    )


def _foreign_file_in_work(folder: Path) -> Path | None:
    """The first in the folder of unfinished work that does not belong there; None where there is none."""
    for name in (_NEW, _BEFORE):
        if (folder / name).is_dir():
            foreign = _foreign_file(folder / name, _FORMER_FILES)
            if foreign:
                return foreign
    left_by_kill = filter(files.is_temporary, os.listdir(folder))
    return _foreign_file(folder, (_MARK, _NOTE, _NEW, _BEFORE, *left_by_kill))


def _take(folder: Path, output: Path) -> int:
    """Takes unfinished work for this process, until it closes the descriptor that is returned, or ends.

    Raises:
        FileNotFoundError: There is none.
        InputError: What is there is not this program's or of another output, or another process has it.
    """
    mark = folder / _MARK
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


def _take_or_begin(folder: Path, output: Path) -> int:
    """Takes unfinished work, or begins it where nothing is."""
    while True:
        try:
            return _take(folder, output)
        except FileNotFoundError:
            _begin(folder, output)


def _begin(folder: Path, output: Path) -> None:
    """Makes the folder of unfinished work, which is marked when it appears; one that is there by then stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = files.temporary_beside(folder)
    try:
        temporary.mkdir()
        content = {"unfinished_data_set": output.name, "made_by": f"dogcat {dogcat.__version__}"}
        files.write_atomically(temporary / _MARK, journal.line(content))
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
            (temporary / _MARK).unlink(missing_ok=True)
            temporary.rmdir()


def _set_right(folder: Path, output: Path) -> None:
    """Ends or takes back what a call that was killed had begun with the data set that it replaces."""
    new, before = folder / _NEW, folder / _BEFORE
    if before.exists():
        if new.exists() or not _is_data_set(output):
            _move_back(before, output)
        else:
            # Its shards are in place.
            (folder / _NOTE).unlink(missing_ok=True)
            _remove_data_set(before)


def _move_aside(output: Path, before: Path) -> None:
    """Moves a data set; broken off, `_move_back` undoes it."""
    try:
        os.rename(output, before)
    except OSError as error:
        # Overlay file systems, as containers have, move no folder of a lower layer, but files.
        if error.errno != errno.EXDEV:
            raise
        before.mkdir()
        # The manifest first: what is left is no data set.
        for path in sorted(output.iterdir(), key=lambda path: path.name != manifest.FILE_NAME):
            os.rename(path, before / path.name)
        output.rmdir()


def _move_back(before: Path, output: Path) -> None:
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
    # What `_move_aside` leaves on its way is no data set, but has files of one.
    has_other = not output.is_dir() or _foreign_file(output, _FORMER_FILES) or (output / manifest.FILE_NAME).exists()
    if has_other or any((output / path.name).exists() for path in before.iterdir()):
        raise InputError(f"{output}: is in the way of the data set that was there, which is now {before}; move it away")
    for path in sorted(before.iterdir(), key=lambda path: path.name == manifest.FILE_NAME):
        os.rename(path, output / path.name)
    before.rmdir()


def _remove_data_set(folder: Path) -> None:
    """Removes a folder with the files of a data set; one that holds other files stays, with these."""
    for path in list(folder.iterdir()):
        if _is_of_data_set(path) or path.name in _FORMER_FILES:
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _remove(folder: Path) -> None:
    """Removes unfinished work, its mark last; files that others have put into it meanwhile stay, with the mark."""
    for name in (_NEW, _BEFORE):
        if (folder / name).exists():
            _remove_data_set(folder / name)
    for path in list(folder.iterdir()):
        if _is_of_data_set(path) or path.name == _NOTE or files.is_temporary(path.name):
            path.unlink()
    _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    """Removes the folder of unfinished work where nothing but the mark is in it."""
    if os.listdir(folder) == [_MARK]:
        # Under its name it is marked to the end.
        gone = files.temporary_beside(folder)
        os.rename(folder, gone)
        (gone / _MARK).unlink()
        gone.rmdir()


def _from_note(content: dict[str, Any]) -> FinishedShard:
    rejections = [Rejection(*rejection) for rejection in content["rejections"]]
    return FinishedShard(manifest.Shard(**content["shard"]), content["counts"], content["channel_sums"], rejections)
