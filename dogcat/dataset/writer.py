"""Writes a data set: the plan's pictures through worker processes into shards; goes on after being killed."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

import numpy as np

import dogcat
from dogcat.core import files, tables
from dogcat.core.calls import Calls
from dogcat.core.options import InputError, is_address
from dogcat.core.places import Address, Place
from dogcat.core.progress import pictures_bar
from dogcat.dataset import encoding, manifest, raw_layout, shard_index, shard_plan, tfrecord
from dogcat.dataset.encoding import Chunk, Rejection, Task
from dogcat.dataset.options import ShardOptions
from dogcat.dataset.output_folder import usable_output
from dogcat.dataset.remote_staging import RemoteStaging
from dogcat.dataset.shard_index import ShardIndex
from dogcat.dataset.staging import FinishedShard, Staging
from dogcat.pictures import folders
from dogcat.pictures.labels import LabelledKeys

NO_CLASS = "no_class"
REJECTED_FILE = "rejected.csv"

# Pictures for each call of a worker: enough to hide the cost of the call, few enough that the chunks in flight stay
# small.
CHUNK = 8
# At an address: while some are waited for, others are encoded.
_REMOTE_CHUNK = 64
# Pictures encoded beforehand to learn how many bytes one takes, for the number of shards.
_SIZE_SAMPLE = 32
Encode = Callable[[Iterator[list[Task]]], Iterator[Chunk]]
AnyStaging = Union[Staging, RemoteStaging]
# Options that leave the bytes as they are.
_OPTIONS_THAT_SHAPE_NOTHING = {
    *("images", "output", "workers", "overwrite", "labels", "exclude", "classes", "cluster", "only"),
}


class PlannedShard(NamedTuple):
    """A shard's name, its split, and its pictures: indices into the keys, in order."""

    name: str
    split: str
    pictures: np.ndarray


@dataclasses.dataclass(frozen=True)
class Work:
    """A data set that is to be written.

    Attributes:
        folder: The folder that keys are relative to.
        pictures: Keys and labels.
        options: How.
        layout: That of records of raw pixels, where those are wanted.
        plan: Indices into the keys in order, for each split.
        digest: Tells all that shapes the data set's bytes.
    """

    folder: Place
    pictures: LabelledKeys
    options: ShardOptions
    layout: raw_layout.Layout | None
    plan: dict[str, np.ndarray]
    digest: str

    def staging(self) -> AnyStaging:
        """The place in which it grows, to be entered.

        Raises:
            InputError: It cannot be put where it is to be.
        """
        if is_address(self.options.output):
            return RemoteStaging(self.options, self.digest)
        return Staging(usable_output(self.options), self.options, self.digest)

    def planned_shards(self, encode: Encode) -> list[PlannedShard]:
        """Cuts each split into shards, by the size of some pictures that are encoded for it."""
        first_split = next(iter(self.plan.values()))
        sample = list(encode(chunks(self.pictures, [first_split[:_SIZE_SAMPLE]], CHUNK)))
        pictures = sum(len(chunk.index.keys) for chunk in sample)
        return _planned_shards(self.plan, self.options, sum(len(chunk.framed) for chunk in sample) / max(1, pictures))


def prepare(folder: Place, pictures: LabelledKeys, options: ShardOptions) -> Work:
    """Splits and orders the pictures.

    Raises:
        InputError: A class has too few of them, or a name that a data set cannot have.
    """
    manifest.check_classes(pictures.classes)
    layout = None
    if options.encoding == raw_layout.FORMAT:
        layout = raw_layout.layout_for(options.image_size, pictures.keys, pictures.classes)
    plan = _plan(pictures, options)
    _require_enough_pictures(pictures, plan, options)
    return Work(folder, pictures, options, layout, plan, _digest(folder, pictures, options))


def write_data_set(work: Work, workers: Calls[Chunk]) -> manifest.Manifest:
    """Writes the data set, or goes on with one that an earlier call with the same input began.

    Args:
        work: What is to be written.
        workers: Call `encoding.encode_chunk`.

    Raises:
        InputError: The output is in the way or being written by another process, or no picture of a class is usable.
        OSError: A folder cannot be read or written.
    """

    def encode(chunks: Iterator[list[Task]]) -> Iterator[Chunk]:
        return workers.starmap((work.folder, tasks, work.options, work.layout) for tasks in chunks)

    with work.staging() as staging:

        def write(missing: list[PlannedShard], progress: Any) -> Iterator[FinishedShard]:
            # One sequence for all shards, so that workers go on while a finished one is brought to the disk.
            size = chunk_size(work.folder)
            encoded = encode(chunks(work.pictures, [shard.pictures for shard in missing], size))
            for shard in missing:
                of_shard = itertools.islice(encoded, -(-len(shard.pictures) // size))
                yield write_shard(staging.folder / shard.name, of_shard, len(work.pictures.classes), progress.update)

        parts = write_missing(work.planned_shards(encode), staging, write)
        return complete(work, parts, staging)


def _plan(pictures: LabelledKeys, options: ShardOptions) -> dict[str, np.ndarray]:
    """Indices into the keys in order, for each split."""
    if options.unlabeled:
        return {shard_plan.TEST: shard_plan.order(pictures.keys, options.seed)}
    return shard_plan.split_and_order(pictures.keys, pictures.labels, options.validation, options.seed)


def _require_enough_pictures(pictures: LabelledKeys, plan: dict[str, np.ndarray], options: ShardOptions) -> None:
    """Raises InputError where the plan leaves a class no training picture, or a shard no picture."""
    first_split, order = next(iter(plan.items()))
    if options.shards > len(order):
        raise InputError(
            f"--shards={options.shards}: split {first_split} has {len(order)} pictures; use no more shards"
        )
    for label, name in enumerate(pictures.classes):
        if label not in pictures.labels[plan[shard_plan.TRAIN]]:
            raise InputError(
                f"--validation={options.validation}: leaves none of class {name} for training; use a smaller share"
            )


def _digest(folder: Place, pictures: LabelledKeys, options: ShardOptions) -> str:
    """A hash of all that shapes the bytes; of the pictures themselves their size and time of change."""
    shaping = {k: v for k, v in dataclasses.asdict(options).items() if k not in _OPTIONS_THAT_SHAPE_NOTHING}
    made_from = [dogcat.__version__, shaping, pictures.classes, folders.digest(folder, pictures.keys)]
    return hashlib.sha256(json.dumps(made_from).encode() + pictures.labels.tobytes()).hexdigest()


def write_missing(
    planned: list[PlannedShard],
    staging: AnyStaging,
    write: Callable[[list[PlannedShard], Any], Iterator[FinishedShard]],
) -> dict[str, list[FinishedShard]]:
    """Has the shards written that are not finished; gives all of them, by split, in order.

    Args:
        planned: All of them.
        staging: Where they are.
        write: Writes shards, moves the bar of progress on, and gives each when it is finished, in order.
    """
    missing = [shard for shard in planned if shard.name not in staging.finished]
    parts: dict[str, list[FinishedShard]] = {shard.split: [] for shard in planned}
    with pictures_bar(sum(len(shard.pictures) for shard in planned), "writing") as progress:
        written = write(missing, progress)
        for shard in planned:
            if shard.name in staging.finished:
                progress.update(len(shard.pictures))
            else:
                staging.add(next(written))
            parts[shard.split].append(staging.finished[shard.name])
    return parts


def _planned_shards(plan: dict[str, np.ndarray], options: ShardOptions, bytes_a_picture: float) -> list[PlannedShard]:
    """Cuts each split into shards."""
    planned = []
    for split, order in plan.items():
        count = shard_plan.shard_count(len(order), bytes_a_picture, options.shard_mib)
        if options.shards and split != shard_plan.VALIDATION:
            count = options.shards
        for index, (first, end) in enumerate(shard_plan.shard_bounds(len(order), count)):
            planned.append(PlannedShard(shard_plan.shard_name(split, index, count), split, order[first:end]))
    return planned


def write_shard(path: Path, chunks: Iterable[Chunk], classes: int, done: Callable[[int], Any]) -> FinishedShard:
    """Writes a shard; `done` is called with the number of pictures of each chunk."""
    counts = np.zeros(classes, int)
    channel_sums = np.zeros((3, 3), np.int64)
    rejections: list[Rejection] = []
    parts: list[ShardIndex] = []
    with tfrecord.ShardFile(path) as file:
        for chunk in chunks:
            records = len(chunk.index.keys)
            file.append(chunk.framed, records)
            parts.append(chunk.index)
            if classes:
                counts += np.bincount(chunk.index.labels, minlength=classes).astype(int)
            channel_sums += chunk.channel_sums
            rejections += chunk.rejections
            done(records + len(chunk.rejections))
        sha256 = file.finish()
    index = shard_index.joined(parts).to_bytes()
    files.write_atomically(shard_index.path_beside(path), index)
    shard = manifest.Shard(path.name, file.records, file.bytes, sha256, hashlib.sha256(index).hexdigest())
    return FinishedShard(shard, counts.tolist(), channel_sums.tolist(), rejections)


def chunk_size(folder: Place) -> int:
    """Pictures for each call of a worker, which reads them from a folder or an address."""
    return _REMOTE_CHUNK if isinstance(folder, Address) else CHUNK


def chunks(pictures: LabelledKeys, parts: Iterable[np.ndarray], size: int) -> Iterator[list[Task]]:
    """What is to be encoded for some shards, of indices into the keys, `size` at a time; a chunk lies in one shard."""
    for part in parts:
        for first in range(0, len(part), size):
            indices = part[first : first + size]
            labels = pictures.labels[indices].tolist()
            texts = [pictures.classes[label] if pictures.classes else "" for label in labels]
            yield [Task(pictures.keys[index], label, text) for index, label, text in zip(indices, labels, texts)]


def complete(work: Work, parts: dict[str, list[FinishedShard]], staging: AnyStaging) -> manifest.Manifest:
    """Puts the data set in its place; of the pictures, the keys that have a class are not looked at.

    Raises:
        InputError: No picture of a class is usable.
    """
    rejections = [
        Rejection(key, NO_CLASS, "neither folder nor name tells the class") for key in work.pictures.unlabelled
    ]
    rejections += [rejection for finished in parts.values() for part in finished for rejection in part.rejections]
    made = _manifest(work.pictures, work.options, work.layout, parts, rejections)
    _require_pictures(made, work.options.images)
    files.write_atomically(staging.folder / REJECTED_FILE, _rejected_csv(rejections))
    files.write_atomically(staging.folder / manifest.FILE_NAME, made.to_json().encode())
    staging.put_in_place()
    return made


def _manifest(
    pictures: LabelledKeys,
    options: ShardOptions,
    layout: raw_layout.Layout | None,
    parts: dict[str, list[FinishedShard]],
    rejections: list[Rejection],
) -> manifest.Manifest:
    splits = {}
    for split, finished in parts.items():
        counts = np.sum([part.counts for part in finished], axis=0, dtype=int).tolist()
        splits[split] = manifest.Split(counts, [part.shard for part in finished])
    first = next(iter(parts.values()))
    mean, deviation = encoding.mean_and_deviation(np.sum([part.channel_sums for part in first], axis=0))
    return manifest.Manifest(
        classes=pictures.classes,
        image_size=options.image_size,
        resize=options.resize,
        options={
            "encoding": options.encoding,
            **({"quality": options.quality, "chroma": options.chroma} if options.encoding == "jpeg" else {}),
            "validation": options.validation,
            "seed": options.seed,
            "max_pixels": options.max_pixels,
            **(layout._asdict() if layout else {}),
            **pictures.chosen_by,
        },
        mean=mean,
        deviation=deviation,
        splits=splits,
        rejected=dict(sorted(collections.Counter(rejection.reason for rejection in rejections).items())),
        made_by=f"dogcat {dogcat.__version__}",
    )


def _require_pictures(made: manifest.Manifest, folder: str) -> None:
    """Raises InputError where so many pictures were rejected that the set, or a class, is empty."""
    reasons = ", ".join(f"{reason} {count}" for reason, count in made.rejected.items()) or "none"
    for index, name in enumerate(made.classes):
        if made.splits[shard_plan.TRAIN].counts[index] == 0:
            raise InputError(
                f"{folder}: no picture of class {name} is left for training (rejected: {reasons}); give more pictures"
            )
    if not any(split.pictures for split in made.splits.values()):
        raise InputError(f"{folder}: no picture is usable (rejected: {reasons}); give others")


def _rejected_csv(rejections: list[Rejection]) -> bytes:
    """The rejected pictures as CSV, sorted by key."""
    rejections = sorted(rejections, key=lambda rejection: os.fsencode(rejection.key))
    return tables.as_csv(("path", "reason", "detail"), rejections)
