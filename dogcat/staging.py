"""The folder in which a data set grows beside its output, and how it takes the output's place: whole, or not at all.

Finished shards are noted in it, so that the same call goes on after them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from dogcat import files, manifest
from dogcat.config import InputError, ShardOptions
from dogcat.encoding import Rejection
from dogcat.interrupts import Terminated
from dogcat.processes import WorkerKilledError

# Names of the files of a data set, finished or not.
_OWN_FILE = re.compile(
    r"(dataset\.json|rejected\.csv|finished\.jsonl|\.lock|(train|validation|test)-\d+-of-\d+\.tfrecord)(\.tmp)?"
)


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

    _NOTE = "finished.jsonl"

    def __init__(self, output: Path, digest: str) -> None:
        """Of the data set `output`; `digest` tells all that shapes its bytes: work of another digest is discarded."""
        self.folder = _with_ending(output, ".partial")
        self.finished: dict[str, FinishedShard] = {}
        self._output = output
        self._digest = digest

    def __enter__(self) -> Staging:
        """Takes the folder for this process, and what it holds of the same plan.

        Raises:
            InputError: Another process has it, or something else is in it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        foreign = _foreign_file(self.folder)
        if foreign:
            raise InputError(f"{foreign} is in the way of unfinished work; move it, or give another --output")
        self._lock = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR)
        if not files.lock(self._lock, self.folder):
            os.close(self._lock)
            raise InputError(f"{self.folder} is being written by another process; wait for it or give another --output")
        self._continue_or_start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Keeps finished shards where the same call may go on, and says so with the error; else removes the folder."""
        try:
            self._keep_or_remove(kind, error)
        finally:
            os.close(self._lock)

    def _keep_or_remove(self, kind: type[BaseException] | None, error: BaseException | None) -> None:
        if kind is None:
            return
        of_no_use = issubclass(kind, InputError) and not issubclass(kind, WorkerKilledError)
        if of_no_use or not self.finished:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        kept = f"{len(self.finished)} finished shards are kept in {self.folder}; the same command goes on after them"
        if isinstance(error, OSError) and error.strerror:
            error.strerror = f"{error.strerror} ({kept})"
        elif issubclass(kind, (KeyboardInterrupt, Terminated)):
            raise kind(kept)
        elif isinstance(error, WorkerKilledError):
            raise WorkerKilledError(f"{error} ({kept})")

    def add(self, part: FinishedShard) -> None:
        """Notes a finished shard."""
        self.finished[part.shard.name] = part
        files.append_durably(self.folder / self._NOTE, _note_line(dataclasses.asdict(part)))

    def put_in_place(self) -> None:
        """Gives the finished data set its name; the one that was there before goes afterwards."""
        files.make_durable(self.folder)
        before = _with_ending(self._output, ".before")
        replaces = self._output.exists()
        if replaces:
            os.replace(self._output, before)
        os.replace(self.folder, self._output)
        files.make_durable(self._output.parent)
        # Only now: killed before, the next call goes on from the note.
        for name in (self._NOTE, ".lock"):
            (self._output / name).unlink(missing_ok=True)
        if replaces:
            shutil.rmtree(before)

    def _continue_or_start(self) -> None:
        plan, parts = self._read_note()
        if plan == self._digest:
            for part in parts:
                path = self.folder / part.shard.name
                if path.exists() and files.sha256_of(path) == part.shard.sha256:
                    self.finished[part.shard.name] = part
            print(f"going on after {len(self.finished)} finished shards in {self.folder}")
        elif parts:
            print(f"discarding unfinished work of other options or pictures in {self.folder}")
        for path in self.folder.iterdir():
            if path.name not in self.finished and path.name not in (".lock", self._NOTE):
                path.unlink()
        lines = [{"plan": self._digest}, *map(dataclasses.asdict, self.finished.values())]
        files.write_atomically(self.folder / self._NOTE, b"".join(map(_note_line, lines)))

    def _read_note(self) -> tuple[str, list[FinishedShard]]:
        """The digest of the plan that unfinished work belongs to, empty if there is none, and its finished shards."""
        path = self.folder / self._NOTE
        if not path.exists():
            return "", []
        # Behind the end of the last line there is nothing, or what a kill left of the next.
        lines = path.read_bytes().split(b"\n")[:-1]
        try:
            plan, *parts = map(json.loads, lines)
            return plan["plan"], [_from_note(part) for part in parts]
        except (ValueError, TypeError, KeyError):
            print(f"beginning anew, since {path} is damaged")
            return "", []


def usable_output(options: ShardOptions) -> Path:
    """The folder of the data set, links followed.

    Raises:
        InputError: A data set cannot be put there, or the folder holds what must not be lost.
    """
    output = Path(os.path.realpath(options.output))
    # What a call that was killed between its last two renames left.
    before = _with_ending(output, ".before")
    if not output.exists() and _is_data_set(before):
        os.replace(before, output)
    if before.exists():
        raise InputError(f"{before} is in the way; move or remove it, or give another --output")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; give a folder with --output")
    if os.path.ismount(output):
        raise InputError(f"{output} is a mount point, which cannot be renamed; give a folder in it with --output")
    images = Path(os.path.realpath(options.images))
    if output == images or output in images.parents:
        raise InputError(f"--output={options.output}: the pictures of --images lie in it; give another folder")
    if not output.is_dir() or not any(output.iterdir()):
        return output
    if not _is_data_set(output):
        raise InputError(f"{output} holds other files; give a new or empty folder with --output")
    if not options.overwrite:
        raise InputError(f"{output} already holds a data set; --overwrite replaces it")
    return output


def _is_data_set(folder: Path) -> bool:
    """Whether a folder holds a data set and nothing else."""
    try:
        manifest.read(folder)
    except InputError:
        return False
    return _foreign_file(folder) is None


def _foreign_file(folder: Path) -> Path | None:
    """The first file in a folder that no data set has, finished or not; None where there is none."""
    return next((path for path in sorted(folder.iterdir()) if not _OWN_FILE.fullmatch(path.name)), None)


def _with_ending(output: Path, ending: str) -> Path:
    return output.with_name(output.name + ending)


def _note_line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def _from_note(content: dict[str, Any]) -> FinishedShard:
    rejections = [Rejection(*rejection) for rejection in content["rejections"]]
    return FinishedShard(manifest.Shard(**content["shard"]), content["counts"], content["channel_sums"], rejections)
