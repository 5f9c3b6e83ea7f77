"""A data set in pieces, a shard each, that any process may write that sees the folders: on this machine or another.

The plan is written once, into a folder inside that of unfinished work: options, classes and the pictures of each shard.
A piece reads its part of it, writes the shard under a name of its own, then gives it its name and leaves a note. Done
twice, or killed in the middle, it does no harm; and the bytes are those of one process.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import dogcat
from dogcat.core import files, journal
from dogcat.core.calls import WorkLostError
from dogcat.dataset import encoding, raw_layout, writer
from dogcat.dataset.encoding import Chunk, Task
from dogcat.dataset.options import ShardOptions
from dogcat.dataset.staging import FinishedShard, note_piece, noted_piece
from dogcat.dataset.writer import PlannedShard, Work
from dogcat.pictures.labels import LabelledKeys

PLAN = "plan.json"
PICTURES = "pictures.jsonl"

# What decides the bytes of a shard besides this program.
_LIBRARIES = ("pillow", "simplejpeg", "cykooz.resizer")
_LARGEST_PLAN = 2**28


def write_plan(work: Work, folder: Path) -> list[PlannedShard]:
    """Writes the plan for whoever writes pieces; one that is there is the same.

    Args:
        work: What is to be written.
        folder: `Staging.plan_folder`.
    """

    def encode(chunks: Iterator[list[Task]]) -> Iterator[Chunk]:
        return (encoding.encode_chunk(work.folder, tasks, work.options, work.layout) for tasks in chunks)

    planned = work.planned_shards(encode)
    folder.mkdir(exist_ok=True)
    images = work.folder.absolute()
    shards = []
    with files.open_atomically(folder / PICTURES) as file:
        for shard in planned:
            keys = [work.pictures.keys[index] for index in shard.pictures]
            line = journal.line({"keys": keys, "labels": work.pictures.labels[shard.pictures].tolist()})
            shards.append([shard.name, shard.split, len(keys), file.tell(), len(line)])
            file.write(line)
    plan = {
        "made_with": _versions(),
        "digest": work.digest,
        "images": str(images),
        "witness": _witness(images, work.pictures.keys),
        "options": {**dataclasses.asdict(work.options), "images": str(images)},
        "layout": work.layout,
        "classes": work.pictures.classes,
        "unlabelled": work.pictures.unlabelled,
        "chosen_by": work.pictures.chosen_by,
        "shards": shards,
    }
    files.write_atomically(folder / PLAN, journal.line(plan))
    return planned


def _versions() -> dict[str, str]:
    return {"dogcat": dogcat.__version__, **{name: importlib.metadata.version(name) for name in _LIBRARIES}}


def _witness(images: Path, keys: list[str]) -> list[Any] | None:
    """A picture and its size, by which a process knows that it sees the same folder; None if none can be read."""
    for key in keys:
        try:
            return [key, os.stat(images / key).st_size]
        except OSError:
            # A link that leads nowhere.
            continue
    return None


class Piece(NamedTuple):
    """A shard of a plan: its name, its split, how many pictures, and where in the file of pictures these stand."""

    name: str
    split: str
    pictures: int
    offset: int
    length: int


class Plan:
    """A plan on disk, as a process elsewhere sees it.

    Attributes:
        folder: Where it is.
        options: Those of the data set.
        layout: As of `Work`.
        digest: As of `Work`.
        shards: All of them, in order.
    """

    def __init__(self, folder: Path) -> None:
        """Reads it.

        Raises:
            WorkLostError: It is not there, or of another version.
        """
        self.folder = folder
        try:
            self._content = journal.parse(files.read_bounded(folder / PLAN, _LARGEST_PLAN))
        except FileNotFoundError as error:
            raise WorkLostError(f"{_here()} does not see {folder / PLAN}; mount it there by the same path") from error
        except ValueError as error:
            raise WorkLostError(f"{folder / PLAN} is damaged; remove {folder.parent} and begin anew") from error
        here = _versions()
        for name, version in self._content["made_with"].items():
            if here.get(name) != version:
                raise WorkLostError(
                    f"{_here()} has {name} {here.get(name)}, the plan was made with {version}; install that there"
                )
        self.options = ShardOptions(**self._content["options"])
        layout = self._content["layout"]
        self.layout = raw_layout.Layout(*layout) if layout else None
        self.digest = self._content["digest"]
        self.shards = [Piece(*shard) for shard in self._content["shards"]]

    def require_images(self) -> None:
        """Raises WorkLostError where this process does not see the pictures."""
        images, witness = Path(self._content["images"]), self._content["witness"]
        try:
            seen = os.stat(images / witness[0]).st_size == witness[1] if witness else images.is_dir()
        except OSError:
            seen = False
        if not seen:
            raise WorkLostError(f"{_here()} does not see the pictures in {images}; mount them there by the same path")

    def write(self, number: int) -> str:
        """Writes a shard and its note; returns its name."""
        shard = self.shards[number]
        with files.open_regular(self.folder / PICTURES) as file:
            file.seek(shard.offset)
            tasks = journal.parse(file.read(shard.length))
        classes = self._content["classes"]
        pictures = LabelledKeys(tasks["keys"], np.array(tasks["labels"], np.int32), classes, [])
        images = Path(self._content["images"])
        all_pictures = np.arange(len(pictures.keys))
        chunks = (
            encoding.encode_chunk(images, tasks, self.options, self.layout)
            for tasks in writer.chunks(pictures, [all_pictures])
        )
        path = self.folder / shard.name
        part = writer.write_shard(path, chunks, len(classes), lambda pictures: None)
        # Had they gone meanwhile, all the rest would be unreadable.
        self.require_images()
        note_piece(path, part)
        return shard.name

    def is_written(self, number: int) -> bool:
        """Whether a shard is there, whole."""
        part = self.finished(number)
        return part is not None and files.sha256_of(self.folder / part.shard.name) == part.shard.sha256

    def finished(self, number: int) -> FinishedShard | None:
        """What is noted of a shard that is there; None: it is to be written."""
        return noted_piece(self.folder / self.shards[number].name)

    def work(self, options: ShardOptions) -> Work:
        """What the data set is made of, without the pictures of the shards."""
        content = self._content
        nothing = np.empty(0, np.int32)
        pictures = LabelledKeys([], nothing, content["classes"], content["unlabelled"], content["chosen_by"])
        return Work(Path(content["images"]), pictures, options, self.layout, {}, self.digest)


def check_worker(folder: str) -> None:
    """Raises WorkLostError where this process cannot write pieces of the plan in a folder."""
    plan = Plan(Path(folder))
    plan.require_images()
    probe = files.temporary_beside(Path(folder) / PLAN)
    try:
        files.create(probe).close()
        probe.unlink()
    except OSError as error:
        raise WorkLostError(f"{_here()} cannot write into {folder}: {error.strerror}") from error


def write_piece(folder: str, number: int) -> str:
    """Writes a shard of a plan, unless it is there.

    Args:
        folder: The plan's.
        number: The shard's place in the plan.

    Returns:
        The shard's name.

    Raises:
        WorkLostError: This process does not fit.
        OSError: The shard cannot be written.
    """
    plan = Plan(Path(folder))
    plan.require_images()
    return plan.shards[number].name if plan.is_written(number) else plan.write(number)


def _here() -> str:
    return f"process {os.getpid()} of {socket.gethostname()}"
