"""Writes a data set: the plan's pictures through worker processes into shards; goes on after being killed."""

from __future__ import annotations

import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import dataclasses
import hashlib
import itertools
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import dogcat
from dogcat import encoding, manifest, raw, records, runtime, shards, tables
from dogcat.config import InputError, ShardOptions, available_cores
from dogcat.encoding import Chunk, Rejection, Task
from dogcat.labels import LabelledKeys
from dogcat.progress import pictures_bar
from dogcat.staging import FinishedShard, Staging, WorkerKilledError, usable_output

NO_CLASS = "no_class"
REJECTED_FILE = "rejected.csv"

# Pictures for each call of a worker: enough to hide the cost of the call, few enough that the chunks in flight stay
# small.
_CHUNK = 8
# Chunks in flight for each worker: no worker waits, and memory does not grow with the folder.
_CHUNKS_IN_FLIGHT = 4
# Pictures encoded beforehand to learn how many bytes one takes, for the number of shards.
_SIZE_SAMPLE = 32
# Options that leave the bytes as they are.
_OPTIONS_THAT_SHAPE_NOTHING = {"images", "output", "workers", "overwrite", "labels", "exclude", "classes"}


def write_data_set(folder: Path, pictures: LabelledKeys, options: ShardOptions) -> manifest.Manifest:
    """Writes the data set, or goes on with one that an earlier call with the same input began.

    Args:
        folder: The folder that keys are relative to.
        pictures: Keys and labels.
        options: How.

    Raises:
        InputError: The output is in the way or being written by another process, or no picture of a class is usable.
        OSError: A folder cannot be read or written.
    """
    output = usable_output(options)
    plan = _plan(pictures, options)
    layout = None
    if options.encoding == raw.FORMAT:
        layout = raw.layout_for(options.image_size, pictures.keys, pictures.classes)
    _require_training_pictures(pictures, plan, options)
    with Staging(output, _digest(folder, pictures, options)) as staging:
        parts = _write_shards(folder, pictures, plan, options, layout, staging)
        rejections = [
            Rejection(key, NO_CLASS, "neither folder nor name tells the class") for key in pictures.unlabelled
        ]
        rejections += [rejection for finished in parts.values() for part in finished for rejection in part.rejections]
        made = _manifest(pictures, options, layout, parts, rejections)
        _require_pictures(made, options.images)
        records.write_atomically(staging.folder / REJECTED_FILE, _rejected_csv(rejections))
        records.write_atomically(staging.folder / manifest.FILE_NAME, made.to_json().encode())
        staging.put_in_place()
    return made


def _plan(pictures: LabelledKeys, options: ShardOptions) -> dict[str, np.ndarray]:
    """Indices into the keys in order, for each split."""
    if options.unlabeled:
        return {shards.TEST: shards.order(pictures.keys, options.seed)}
    return shards.split_and_order(pictures.keys, pictures.labels, options.validation, options.seed)


def _require_training_pictures(pictures: LabelledKeys, plan: dict[str, np.ndarray], options: ShardOptions) -> None:
    """Raises InputError where the plan leaves a class no training picture."""
    for label, name in enumerate(pictures.classes):
        if label not in pictures.labels[plan[shards.TRAIN]]:
            raise InputError(
                f"--validation={options.validation}: leaves none of class {name} for training; use a smaller share"
            )


def _digest(folder: Path, pictures: LabelledKeys, options: ShardOptions) -> str:
    """A hash of all that shapes the bytes; of the pictures themselves their size and time of change."""
    shaping = {k: v for k, v in dataclasses.asdict(options).items() if k not in _OPTIONS_THAT_SHAPE_NOTHING}
    hash_ = hashlib.sha256(json.dumps([dogcat.__version__, shaping, pictures.classes]).encode())
    for key, label in zip(pictures.keys, pictures.labels):
        try:
            status = os.stat(folder / key)
        except OSError:
            # A broken link: it will be rejected as unreadable.
            continue
        hash_.update(os.fsencode(f"{key}\0{label}\0{status.st_size}\0{status.st_mtime_ns}\0"))
    return hash_.hexdigest()


def _write_shards(
    folder: Path,
    pictures: LabelledKeys,
    plan: dict[str, np.ndarray],
    options: ShardOptions,
    layout: raw.Layout | None,
    staging: Staging,
) -> dict[str, list[FinishedShard]]:
    """Writes the shards that are not finished; all of them, by split, in order."""
    first_split = next(iter(plan.values()))
    sample = encoding.encode_chunk(folder, list(_tasks(pictures, first_split[:_SIZE_SAMPLE])), options, layout)
    bytes_a_picture = len(sample.framed) / max(1, len(sample.labels))
    workers = options.workers or available_cores()
    parts: dict[str, list[FinishedShard]] = {}
    # Forked from a process that has imported what they need and holds nothing of this one, so they start at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    executor = concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_prepare_worker)
    with pictures_bar(len(pictures.keys), "writing") as progress:
        try:
            for split, order in plan.items():
                count = shards.shard_count(len(order), bytes_a_picture, options.shard_mib)
                if options.shards and split != shards.VALIDATION:
                    count = max(1, min(options.shards, len(order)))
                elif layout:
                    # A batch from one file is copied once, from several twice.
                    count = 1
                parts[split] = []
                for index, (first, end) in enumerate(shards.shard_bounds(len(order), count)):
                    name = shards.shard_name(split, index, count)
                    if name in staging.finished:
                        progress.update(end - first)
                    else:
                        tasks = _tasks(pictures, order[first:end])
                        chunks = _encode_in_order(executor, folder, tasks, options, layout, workers)
                        staging.add(_write_shard(staging.folder / name, chunks, len(pictures.classes), progress))
                    parts[split].append(staging.finished[name])
        except concurrent.futures.process.BrokenProcessPool as error:
            raise WorkerKilledError(
                f"--workers={workers}: a worker was killed, most likely for want of memory; use fewer"
            ) from error
        except BaseException:
            # Else a worker would finish its chunk of large pictures first.
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise
        finally:
            executor.shutdown(cancel_futures=True)
    return parts


def _write_shard(path: Path, chunks: Iterator[Chunk], classes: int, progress: Any) -> FinishedShard:
    counts = np.zeros(classes, int)
    channel_sums = np.zeros((3, 3), np.int64)
    rejections: list[Rejection] = []
    with records.ShardFile(path) as file:
        for chunk in chunks:
            file.append(chunk.framed, len(chunk.labels))
            if classes:
                counts += np.bincount(chunk.labels, minlength=classes).astype(int)
            channel_sums += chunk.channel_sums
            rejections += chunk.rejections
            progress.update(len(chunk.labels) + len(chunk.rejections))
        sha256 = file.finish()
    shard = manifest.Shard(path.name, file.records, file.bytes, sha256)
    return FinishedShard(shard, counts.tolist(), channel_sums.tolist(), rejections)


def _encode_in_order(
    executor: concurrent.futures.Executor,
    folder: Path,
    tasks: Iterator[Task],
    options: ShardOptions,
    layout: raw.Layout | None,
    workers: int,
) -> Iterator[Chunk]:
    """Encodes pictures in parallel, gives the chunks in order, with a bounded number in flight."""
    chunks = iter(lambda: list(itertools.islice(tasks, _CHUNK)), [])
    pending: collections.deque[concurrent.futures.Future[Chunk]] = collections.deque()

    def submit(count: int) -> None:
        with _interrupts_held():
            for chunk in itertools.islice(chunks, count):
                pending.append(executor.submit(encoding.encode_chunk, folder, chunk, options, layout))

    submit(workers * _CHUNKS_IN_FLIGHT)
    while pending:
        yield pending.popleft().result()
        submit(1)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back for a moment: workers that start meanwhile never see it, and leave it to the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tasks(pictures: LabelledKeys, order: np.ndarray) -> Iterator[Task]:
    for index in order:
        label = int(pictures.labels[index])
        yield Task(pictures.keys[index], label, pictures.classes[label] if pictures.classes else "")


def _prepare_worker() -> None:
    """Sets up the allocator, and ends the worker when the parent dies."""
    runtime.keep_large_blocks()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_and_end() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait_and_end, daemon=True).start()


def _manifest(
    pictures: LabelledKeys,
    options: ShardOptions,
    layout: raw.Layout | None,
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
            "quality": options.quality,
            "chroma": options.chroma,
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
        if made.splits[shards.TRAIN].counts[index] == 0:
            raise InputError(
                f"{folder}: no picture of class {name} is left for training (rejected: {reasons}); give more pictures"
            )
    if not any(split.pictures for split in made.splits.values()):
        raise InputError(f"{folder}: no picture is usable (rejected: {reasons}); give others")


def _rejected_csv(rejections: list[Rejection]) -> bytes:
    """The rejected pictures as CSV, sorted by key."""
    rejections = sorted(rejections, key=lambda rejection: os.fsencode(rejection.key))
    return tables.as_csv(("path", "reason", "detail"), rejections)
