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
from pathlib import Path
from typing import Any

from dogcat.core import files, journal
from dogcat.core.calls import WorkLostError
from dogcat.core.interrupts import Terminated
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.dataset import data_set_folder, manifest, output_folder, shard_index, unfinished_work
from dogcat.dataset.encoding import Rejection
from dogcat.dataset.options import ShardOptions
from dogcat.dataset.unfinished_work import BEFORE, MARK, NEW, NOTE

# Of a shard's note: one in which every picture is rejected fits in.
_LARGEST_NOTE = 2**28


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
        plan_folder: Where workers elsewhere write the shards of this plan; made by whoever needs it.
        finished: Shards on disk that belong to this plan, by name.
    """

    def __init__(self, output: Path, options: ShardOptions, digest: str) -> None:
        """Takes the place of the data set.

        Args:
            output: What `output_folder.usable_output` gave.
            options: What that was given.
            digest: Tells all that shapes the data set's bytes: work of another digest is discarded.
        """
        self.folder = unfinished_work.folder_of(output)
        self.plan_folder = unfinished_work.plan_folder_of(self.folder, digest)
        self.finished: dict[str, FinishedShard] = {}
        self._output = output
        self._options = options
        self._digest = digest
        self._is_complete = False
        self._stays = False

    def __enter__(self) -> Staging:
        """Takes the folder for this process, and what it holds of the same plan.

        Raises:
            InputError: Another process has it, or something else is in it.
        """
        self._lock = unfinished_work.take_or_begin(self.folder, self._output)
        try:
            # Another call may have been killed since that was done first.
            unfinished_work.set_right(self.folder, self._output)
            output_folder.require_usable(self._output, self._options)
            self._continue_or_start()
        except BaseException:
            unfinished_work.remove_if_empty(self.folder)
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
        if kind is None and (self._is_complete or not self._stays):
            unfinished_work.remove(self.folder)
            return
        if kind is None or self._stays:
            return
        finished = self._count_finished()
        if (is_of_no_use(kind) and not self._is_complete) or not finished:
            # It has failed already, of which the user is told.
            with contextlib.suppress(OSError):
                unfinished_work.remove(self.folder)
            return
        tell_what_is_kept(kind, error, finished, self.folder)

    def add(self, part: FinishedShard) -> None:
        """Notes a finished shard."""
        self.finished[part.shard.name] = part
        files.append_durably(self.folder / NOTE, journal.line(dataclasses.asdict(part)))

    def share_plan(self) -> str:
        """Where workers elsewhere find the plan that is in `plan_folder`."""
        return str(self.plan_folder)

    def take(self, name: str) -> FinishedShard:
        """Takes a shard that a worker has finished from the plan's folder; the caller notes it."""
        part = noted_piece(self.plan_folder / name)
        if part is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.plan_folder / name))
        index = shard_index.path_beside(Path(name)).name
        for file in (index, name):
            os.replace(self.plan_folder / file, self.folder / file)
        return part

    def keep(self) -> None:
        """Lets the folder stay for other processes to go on with, until the data set is in its place."""
        self._stays = True

    def put_in_place(self) -> None:
        """Gives the finished data set its name; the one that was there before goes afterwards.

        Raises:
            InputError: Something else has come to be there meanwhile.
            OSError: A folder cannot be renamed; the data set that was there before is there still.
        """
        self._is_complete = True
        output_folder.require_usable(self._output, self._options)
        new, before = self.folder / NEW, self.folder / BEFORE
        new.mkdir()
        for path in list(filter(data_set_folder.is_of_data_set, self.folder.iterdir())):
            os.replace(path, new / path.name)
        files.make_durable(new)
        if data_set_folder.is_data_set(self._output):
            data_set_folder.move_aside(self._output, before)
        try:
            os.rename(new, self._output)
        except BaseException:
            if before.exists():
                data_set_folder.move_back(before, self._output)
            raise
        files.make_durable(self._output.parent)

    def _continue_or_start(self) -> None:
        new = self.folder / NEW
        if new.exists():
            # It was complete, and did not come to take its place.
            for path in list(new.iterdir()):
                os.replace(path, self.folder / path.name)
            new.rmdir()
        plan, parts = self._read_note()
        if plan == self._digest:
            for part in parts:
                if is_whole(self.folder, part.shard):
                    self.finished[part.shard.name] = part
            tell(f"going on after {self._count_finished()} finished shards in {self.folder}")
        elif parts or self._other_plans():
            tell(f"discarding unfinished work of other options or pictures in {self.folder}")
        for other in self._other_plans():
            unfinished_work.remove_plan(other)
        kept = {MARK, NOTE, *self.finished}
        kept.update(shard_index.path_beside(Path(name)).name for name in self.finished)
        for path in list(self.folder.iterdir()):
            if path.is_dir() and path != self.plan_folder:
                unfinished_work.remove_moved_plan(path)
            elif path != self.plan_folder and path.name not in kept:
                path.unlink()
        lines = [{"plan": self._digest}, *map(dataclasses.asdict, self.finished.values())]
        files.write_atomically(self.folder / NOTE, b"".join(map(journal.line, lines)))

    def _count_finished(self) -> int:
        """Number of shards of this plan, those that workers have finished and nobody has taken included."""
        pieces = self.plan_folder.glob("*.tfrecord")
        return len(self.finished) + sum(noted_piece(path) is not None for path in pieces)

    def _other_plans(self) -> list[Path]:
        return [plan for plan in unfinished_work.plan_folders_in(self.folder) if plan != self.plan_folder]

    def _read_note(self) -> tuple[str, list[FinishedShard]]:
        """The digest of the plan that unfinished work belongs to, empty if there is none, and its finished shards."""
        path = self.folder / NOTE
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
            tell(f"beginning anew, since {path} is damaged")
            return "", []


def is_of_no_use(kind: type[BaseException]) -> bool:
    """Whether finished shards are of no use after an error, since the same call would end with it again."""
    return issubclass(kind, InputError) and not issubclass(kind, WorkLostError)


def tell_what_is_kept(kind: type[BaseException], error: BaseException | None, finished: int, place: object) -> None:
    """Adds to an error, if need be by raising it anew, how many finished shards are kept where."""
    kept = f"{finished} finished shards are kept in {place}; the same command goes on after them"
    if isinstance(error, OSError) and error.strerror:
        error.strerror = f"{error.strerror} ({kept})"
    elif issubclass(kind, (KeyboardInterrupt, Terminated)):
        raise kind(kept)
    elif isinstance(error, InputError):
        raise kind(f"{error} ({kept})")


def is_whole(folder: Path, shard: manifest.Shard) -> bool:
    """Whether a shard and its index are on disk as the note says."""
    path = folder / shard.name
    hashes = {path: shard.sha256, shard_index.path_beside(path): shard.index}
    return all(file.exists() and files.sha256_of(file) == hash for file, hash in hashes.items())


def note_piece(shard: Path, part: FinishedShard) -> None:
    """Notes a finished shard for whoever puts the data set together."""
    files.write_atomically(shard.with_name(note_name(shard.name)), note_of(part))


def noted_piece(shard: Path) -> FinishedShard | None:
    """What is noted of a shard that is there; None where it is not, or the note is damaged."""
    if not (shard.exists() and shard_index.path_beside(shard).exists()):
        return None
    try:
        return parse_note(files.read_bounded(shard.with_name(note_name(shard.name)), _LARGEST_NOTE))
    # An InputError is a ValueError: a note that is too large, or not a file.
    except (FileNotFoundError, ValueError):
        return None


def note_name(shard: str) -> str:
    """The name of a shard's note."""
    return f"{shard}.json"


def is_note(name: str) -> bool:
    """Whether `note_name` gives such names."""
    return name.endswith(".tfrecord.json")


def note_of(part: FinishedShard) -> bytes:
    """What `parse_note` reads."""
    return journal.line(dataclasses.asdict(part))


def parse_note(data: bytes) -> FinishedShard | None:
    """What is noted of a shard; None: the note is damaged."""
    try:
        return _from_note(journal.parse(data))
    except (ValueError, TypeError, KeyError):
        return None


def _from_note(content: dict[str, Any]) -> FinishedShard:
    rejections = [Rejection(*rejection) for rejection in content["rejections"]]
    return FinishedShard(manifest.Shard(**content["shard"]), content["counts"], content["channel_sums"], rejections)
