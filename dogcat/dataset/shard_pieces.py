"""A data set in pieces, a shard each, that any process may write that sees the folders: on this machine or another.

The plan is written once, into a folder inside that of unfinished work: options, classes and the pictures of each shard.
A piece reads its part of it, writes the shard under a name of its own, then gives it its name and leaves a note. Done
twice, or killed in the middle, it does no harm; and the bytes are those of one process.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.core import files, journal
from dogcat.core.calls import WorkLostError
from dogcat.core.places import Place, place_of
from dogcat.dataset import encoding, plan_folders, raw_layout, writer
from dogcat.dataset.encoding import Chunk, Task
from dogcat.dataset.options import ShardOptions
from dogcat.dataset.staging import FinishedShard
from dogcat.dataset.writer import PlannedShard, Work
from dogcat.pictures import elsewhere, folders
from dogcat.pictures.elsewhere import this_process
from dogcat.pictures.labels import LabelledKeys

PLAN = "plan.json"
PICTURES = "pictures.jsonl"


def write_plan(work: Work, folder: Path) -> list[PlannedShard]:
    """Writes the plan for whoever writes pieces; one that is there is the same.

    Args:
        work: What is to be written.
        folder: `plan_folder` of its staging.
    """

    def encode(chunks: Iterator[list[Task]]) -> Iterator[Chunk]:
        return (encoding.encode_chunk(work.folder, tasks, work.options, work.layout) for tasks in chunks)

    planned = work.planned_shards(encode)
    folder.mkdir(exist_ok=True)
    shards = []
    with files.open_atomically(folder / PICTURES) as file:
        for shard in planned:
            keys = [work.pictures.keys[index] for index in shard.pictures]
            line = journal.line({"keys": keys, "labels": work.pictures.labels[shard.pictures].tolist()})
            shards.append([shard.name, shard.split, len(keys), file.tell(), len(line)])
            file.write(line)
    plan = {
        "seen": elsewhere.seen_here(work.folder, work.pictures.keys, folders.size_of),
        "digest": work.digest,
        "options": {**dataclasses.asdict(work.options), "images": elsewhere.everywhere(work.folder)},
        "layout": work.layout,
        "classes": work.pictures.classes,
        "unlabelled": work.pictures.unlabelled,
        "chosen_by": work.pictures.chosen_by,
        "shards": shards,
    }
    files.write_atomically(folder / PLAN, journal.line(plan))
    return planned


class Piece(NamedTuple):
    """A shard of a plan: its name, its split, how many pictures, and where in the file of pictures these stand."""

    name: str
    split: str
    pictures: int
    offset: int
    length: int


class Plan:
    """A plan on disk or at an address, as a process elsewhere sees it.

    Attributes:
        folder: Where it is.
        seen: What the process that made it has and sees of the pictures.
        options: Those of the data set.
        layout: As of `Work`.
        digest: As of `Work`.
        shards: All of them, in order.
    """

    def __init__(self, folder: Place) -> None:
        """Reads it.

        Raises:
            WorkLostError: It is not there.
        """
        self.folder = folder
        self._folder = plan_folders.plan_folder_at(folder)
        try:
            data = self._folder.read(PLAN)
        except FileNotFoundError as error:
            raise WorkLostError(
                f"{this_process()} does not see {folder / PLAN}; mount it there by the same path"
            ) from error
        try:
            self._content = journal.parse(data)
        except ValueError as error:
            raise WorkLostError(f"{folder / PLAN} is damaged; remove {folder} and begin anew") from error
        versions, *place = self._content["seen"]
        self.seen = elsewhere.Seen(tuple(map(tuple, versions)), *place)
        self.options = ShardOptions(**self._content["options"])
        layout = self._content["layout"]
        self.layout = raw_layout.Layout(*layout) if layout else None
        self.digest = self._content["digest"]
        self.shards = [Piece(*shard) for shard in self._content["shards"]]

    def write(self, number: int) -> str:
        """Writes a shard and its note; returns its name."""
        shard = self.shards[number]
        tasks = journal.parse(self._folder.read_range(PICTURES, shard.offset, shard.length))
        classes = self._content["classes"]
        pictures = LabelledKeys(tasks["keys"], np.array(tasks["labels"], np.int32), classes, [])
        images = place_of(self.seen.folder)
        all_pictures = np.arange(len(pictures.keys))
        chunks = (
            encoding.encode_chunk(images, tasks, self.options, self.layout)
            for tasks in writer.chunks(pictures, [all_pictures], writer.chunk_size(images))
        )

        def write_to(path: Path) -> FinishedShard:
            part = writer.write_shard(path, chunks, len(classes), lambda pictures: None)
            # Had they gone meanwhile, all the rest would be unreadable.
            self.require_here()
            return part

        self._folder.write(shard.name, write_to)
        return shard.name

    def require_here(self) -> None:
        """Raises WorkLostError where this process has other versions, or does not see the pictures."""
        self.seen.require(folders.size_of)

    def require_writable(self) -> None:
        """Raises WorkLostError where this process cannot write into the plan's folder."""
        try:
            self._folder.try_writing()
        except OSError as error:
            raise WorkLostError(f"{this_process()} cannot write into {self.folder}: {error.strerror}") from error

    def is_written(self, number: int) -> bool:
        """Whether a shard is there, whole."""
        return self._folder.is_written(self.shards[number].name)

    def finished(self, number: int) -> FinishedShard | None:
        """What is noted of a shard that is there; None: it is to be written."""
        return self._folder.noted(self.shards[number].name)

    def work(self, options: ShardOptions) -> Work:
        """What the data set is made of, without the pictures of the shards."""
        content = self._content
        nothing = np.empty(0, np.int32)
        pictures = LabelledKeys([], nothing, content["classes"], content["unlabelled"], content["chosen_by"])
        return Work(place_of(self.seen.folder), pictures, options, self.layout, {}, self.digest)


def check_worker(folder: str) -> None:
    """Raises WorkLostError where this process cannot write pieces of the plan in a folder."""
    plan = Plan(place_of(folder))
    plan.require_here()
    plan.require_writable()


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
    plan = Plan(place_of(folder))
    plan.require_here()
    return plan.shards[number].name if plan.is_written(number) else plan.write(number)
