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
from typing import Any, Callable, NamedTuple

import numpy as np

import dogcat
from dogcat.core import files, tables
from dogcat.core.options import InputError
from dogcat.core.processes import Workers
from dogcat.core.progress import pictures_bar
from dogcat.dataset import encoding, manifest, raw_layout, shard_index, shard_plan, tfrecord
from dogcat.dataset.encoding import Chunk, Rejection, Task
from dogcat.dataset.options import ShardOptions
from dogcat.dataset.output_folder import usable_output
from dogcat.dataset.shard_index import ShardIndex
from dogcat.dataset.staging import FinishedShard, Staging
from dogcat.pictures import folders
from dogcat.pictures.labels import LabelledKeys

NO_CLASS = "no_class"
REJECTED_FILE = "rejected.csv"

# Pictures for each call of a worker: enough to hide the cost of the call, few enough that the chunks in flight stay
# small.
_CHUNK = 8
# Pictures encoded beforehand to learn how many bytes one takes, for the number of shards.
_SIZE_SAMPLE = 32
# Options that leave the bytes as they are.
_OPTIONS_THAT_SHAPE_NOTHING = {"images", "output", "workers", "overwrite", "labels", "exclude", "classes"}


def write_data_set(
    folder: Path, pictures: LabelledKeys, options: ShardOptions, workers: Workers[Chunk]
) -> manifest.Manifest:
    """Writes the data set, or goes on with one that an earlier call with the same input began.

    Args:
        folder: The folder that keys are relative to.
        pictures: Keys and labels.
        options: How.
        workers: Call `encoding.encode_chunk`.

    Raises:
        InputError: The output is in the way or being written by another process, or no picture of a class is usable.
        OSError: A folder cannot be read or written.
    """
    manifest.check_classes(pictures.classes)
    output = usable_output(options)
    plan = _plan(pictures, options)
    layout = None
    if options.encoding == raw_layout.FORMAT:
        layout = raw_layout.layout_for(options.image_size, pictures.keys, pictures.classes)
    _require_enough_pictures(pictures, plan, options)
    with Staging(output, options, _digest(folder, pictures, options)) as staging:

        def encode(chunks: Iterator[list[Task]]) -> Iterator[Chunk]:
            return workers.starmap((folder, tasks, options, layout) for tasks in chunks)

        parts = _write_shards(pictures, plan, options, staging, encode)
        rejections = [
            Rejection(key, NO_CLASS, "neither folder nor name tells the class") for key in pictures.unlabelled
        ]
        rejections += [rejection for finished in parts.values() for part in finished for rejection in part.rejections]
        made = _manifest(pictures, options, layout, parts, rejections)
        _require_pictures(made, options.images)
        files.write_atomically(staging.folder / REJECTED_FILE, _rejected_csv(rejections))
        files.write_atomically(staging.folder / manifest.FILE_NAME, made.to_json().encode())
        staging.put_in_place()
    return made


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


def _digest(folder: Path, pictures: LabelledKeys, options: ShardOptions) -> str:
    """A hash of all that shapes the bytes; of the pictures themselves their size and time of change."""
    shaping = {k: v for k, v in dataclasses.asdict(options).items() if k not in _OPTIONS_THAT_SHAPE_NOTHING}
    made_from = [dogcat.__version__, shaping, pictures.classes, folders.digest(folder, pictures.keys)]
    return hashlib.sha256(json.dumps(made_from).encode() + pictures.labels.tobytes()).hexdigest()


class _PlannedShard(NamedTuple):
    """A shard's name, its split, and its pictures: indices into the keys, in order."""

    name: str
    split: str
    pictures: np.ndarray


def _write_shards(
    pictures: LabelledKeys,
    plan: dict[str, np.ndarray],
    options: ShardOptions,
    staging: Staging,
    encode: Callable[[Iterator[list[Task]]], Iterator[Chunk]],
) -> dict[str, list[FinishedShard]]:
    """Writes the shards that are not finished; all of them, by split, in order."""
    first_split = next(iter(plan.values()))
    sample = list(encode(_chunks(pictures, [first_split[:_SIZE_SAMPLE]])))
    bytes_a_picture = sum(len(chunk.framed) for chunk in sample) / max(
        1, sum(len(chunk.index.keys) for chunk in sample)
    )
    planned = _planned_shards(plan, options, bytes_a_picture)
    missing = [shard.pictures for shard in planned if shard.name not in staging.finished]
    # One sequence for all shards, so that workers go on while a finished one is brought to the disk.
    chunks = encode(_chunks(pictures, missing))
    parts: dict[str, list[FinishedShard]] = {split: [] for split in plan}
    with pictures_bar(len(pictures.keys), "writing") as progress:
        for shard in planned:
            if shard.name in staging.finished:
                progress.update(len(shard.pictures))
            else:
                of_shard = itertools.islice(chunks, -(-len(shard.pictures) // _CHUNK))
                path = staging.folder / shard.name
                staging.add(_write_shard(path, of_shard, len(pictures.classes), progress))
            parts[shard.split].append(staging.finished[shard.name])
    return parts


def _planned_shards(plan: dict[str, np.ndarray], options: ShardOptions, bytes_a_picture: float) -> list[_PlannedShard]:
    """Cuts each split into shards."""
    planned = []
    for split, order in plan.items():
        count = shard_plan.shard_count(len(order), bytes_a_picture, options.shard_mib)
        if options.shards and split != shard_plan.VALIDATION:
            count = options.shards
        for index, (first, end) in enumerate(shard_plan.shard_bounds(len(order), count)):
            planned.append(_PlannedShard(shard_plan.shard_name(split, index, count), split, order[first:end]))
    return planned


def _write_shard(path: Path, chunks: Iterator[Chunk], classes: int, progress: Any) -> FinishedShard:
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
            progress.update(records + len(chunk.rejections))
        sha256 = file.finish()
    index = shard_index.joined(parts).to_bytes()
    files.write_atomically(shard_index.path_beside(path), index)
    shard = manifest.Shard(path.name, file.records, file.bytes, sha256, hashlib.sha256(index).hexdigest())
    return FinishedShard(shard, counts.tolist(), channel_sums.tolist(), rejections)


def _chunks(pictures: LabelledKeys, parts: Iterable[np.ndarray]) -> Iterator[list[Task]]:
    """What is to be encoded for some shards, of indices into the keys; a chunk lies in one shard."""
    for part in parts:
        for first in range(0, len(part), _CHUNK):
            indices = part[first : first + _CHUNK]
            labels = pictures.labels[indices].tolist()
            texts = [pictures.classes[label] if pictures.classes else "" for label in labels]
            yield [Task(pictures.keys[index], label, text) for index, label, text in zip(indices, labels, texts)]


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
