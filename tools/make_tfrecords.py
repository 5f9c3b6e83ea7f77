"""Makes a data set of TFRecord shards from a folder of labelled pictures.

The class of a picture is its folder's name (cat/1.jpg, dog/2.jpg) or what its own name begins with
(cat.1.jpg, dog.2.jpg). Pictures that cannot be used are left out and listed in rejected.csv with the reason.
The data set appears at --output when it is complete, with the manifest dataset.json.
"""

from __future__ import annotations

import collections
import concurrent.futures
import concurrent.futures.process
import csv
import dataclasses
import io
import itertools
import multiprocessing
import multiprocessing.connection
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import dogcat
from dogcat import examples, flags, folders, images, manifest, records, shards
from dogcat.config import InputError, ShardOptions, available_cores
from dogcat.progress import pictures_bar

# Pictures for each call of a worker: enough to hide the cost of the call, few enough that stopping is
# quick and that the chunks in flight stay small.
CHUNK = 8
# Chunks in flight for each worker: no worker waits, and memory does not grow with the folder.
CHUNKS_IN_FLIGHT = 4
# Pictures encoded beforehand to learn how many bytes one takes, for the number of shards.
SIZE_SAMPLE = 32

UNREADABLE = "unreadable"
NO_CLASS = "no_class"


@dataclasses.dataclass(frozen=True)
class Source:
    """The pictures to write: keys below `folder`, and their classes."""

    folder: Path
    keys: list[str]
    labels: np.ndarray
    classes: list[str]


class Rejection(NamedTuple):
    """A picture that is left out."""

    key: str
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What a worker made of some pictures: framed records end to end, and who is not among them."""

    framed: bytes
    labels: list[int]
    rejections: list[Rejection]


def encode_chunk(folder: Path, pictures: Sequence[tuple[str, int, str]], options: ShardOptions) -> Chunk:
    """Reads, decodes, resizes and encodes pictures; runs in a worker.

    Args:
        folder: The folder that keys are relative to.
        pictures: (key, label, name of the class) of each.
        options: Size, quality and limits.
    """
    framed, labels, rejections = [], [], []
    for key, label, text in pictures:
        try:
            data = (folder / key).read_bytes()
            picture = images.resize(images.decode(data, options.max_pixels), options.image_size)
        except images.RejectedPicture as rejected:
            rejections.append(Rejection(key, rejected.reason, rejected.detail))
            continue
        except OSError as error:
            rejections.append(Rejection(key, UNREADABLE, str(error.strerror)))
            continue
        example = examples.encode_example(
            encoded=images.encode_jpeg(picture, options.quality),
            format="jpeg",
            height=picture.height,
            width=picture.width,
            filename=os.fsencode(key),
            label=label,
            text=os.fsencode(text),
        )
        framed.append(records.frame(example))
        labels.append(label)
    return Chunk(b"".join(framed), labels, rejections)


def make_data_set(options: ShardOptions) -> manifest.Manifest:
    """Writes the data set; see the module's text.

    Raises:
        InputError: The folder holds no usable pictures of two classes, or --output is in the way.
        OSError: A folder cannot be read or written.
    """
    output = Path(options.output)
    refuse_output_in_the_way(output, options.overwrite)
    listing = folders.list_images(Path(options.images))
    labelled = folders.label_keys(listing)
    if len(labelled.classes) < 2:
        raise InputError(f"{options.images} holds one class only ({labelled.classes[0]}); training needs two")
    source = Source(Path(options.images), labelled.keys, labelled.labels, labelled.classes)
    others = f", and {listing.other} other files" if listing.other else ""
    print(f"reading {len(listing.keys)} pictures{others} in {options.images}")

    # Everything is written beside the output, which then appears by a single rename.
    partial = output.with_name(output.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    try:
        rejections = [
            Rejection(key, NO_CLASS, "neither folder nor name tells the class") for key in labelled.unlabelled
        ]
        splits = write_splits(source, partial, options, rejections)
        counts = collections.Counter(rejection.reason for rejection in rejections)
        made = manifest.Manifest(
            classes=source.classes,
            image_size=options.image_size,
            options={
                "encoding": "jpeg",
                "quality": options.quality,
                "chroma": "420",
                "resize": "stretch",
                "validation": options.validation,
                "seed": options.seed,
                "max_pixels": options.max_pixels,
            },
            splits=splits,
            rejected=dict(sorted(counts.items())),
            made_by=f"dogcat {dogcat.__version__}",
        )
        require_every_class(made, options.images)
        records.write_atomically(partial / "rejected.csv", rejected_csv(rejections))
        records.write_atomically(partial / manifest.FILE_NAME, made.to_json().encode())
        put_in_place(partial, output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return made


def write_splits(
    source: Source, partial: Path, options: ShardOptions, rejections: list[Rejection]
) -> dict[str, manifest.Split]:
    """Writes all shards into `partial`; adds to `rejections`."""
    plan = shards.split_and_order(source.keys, source.labels, options.validation, options.seed)
    sample = encode_chunk(source.folder, list(pictures_of(source, plan[shards.TRAIN][:SIZE_SAMPLE])), options)
    bytes_a_picture = len(sample.framed) / max(1, len(sample.labels))
    splits = {}
    workers = options.workers or available_cores()
    progress = pictures_bar(len(source.keys), "writing")
    # Spawned, not forked: the same on every system, and nothing of the parent is copied along.
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_prepare_worker
    )
    try:
        for split, order in plan.items():
            count = shards.shard_count(len(order), bytes_a_picture, options.shard_mib)
            if options.shards and split == shards.TRAIN:
                count = min(options.shards, len(order))
            totals = np.zeros(len(source.classes), int)
            written = []
            for index, (first, end) in enumerate(shards.shard_bounds(len(order), count)):
                path = partial / shards.shard_name(split, index, count)
                file = records.ShardFile(path)
                for chunk in _encode_in_order(
                    executor, source, order[first:end], options, workers * CHUNKS_IN_FLIGHT
                ):
                    file.append(chunk.framed, len(chunk.labels))
                    totals += np.bincount(chunk.labels, minlength=len(totals)).astype(int)
                    rejections.extend(chunk.rejections)
                    progress.update(len(chunk.labels) + len(chunk.rejections))
                sha256 = file.finish()
                written.append(manifest.Shard(path.name, file.records, file.bytes, sha256))
            splits[split] = manifest.Split(totals.tolist(), written)
    except concurrent.futures.process.BrokenProcessPool as error:
        raise InputError(
            f"--workers={workers}: a worker was killed, most likely for want of memory; use fewer"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
        progress.close()
    return splits


def _encode_in_order(
    executor: concurrent.futures.Executor,
    source: Source,
    order: np.ndarray,
    options: ShardOptions,
    in_flight: int,
) -> Iterator[Chunk]:
    """Encodes pictures in parallel, gives the chunks in order, with a bounded number in flight."""
    pictures = pictures_of(source, order)
    chunks = iter(lambda: list(itertools.islice(pictures, CHUNK)), [])
    pending = collections.deque(
        executor.submit(encode_chunk, source.folder, chunk, options)
        for chunk in itertools.islice(chunks, in_flight)
    )
    while pending:
        yield pending.popleft().result()
        for chunk in itertools.islice(chunks, 1):
            pending.append(executor.submit(encode_chunk, source.folder, chunk, options))


def pictures_of(source: Source, order: np.ndarray) -> Iterator[tuple[str, int, str]]:
    """(key, label, name of the class) of the pictures in `order`."""
    for index in order:
        label = int(source.labels[index])
        yield source.keys[index], label, source.classes[label]


def _prepare_worker() -> None:
    """Leaves Ctrl-C to the parent, and ends the worker when the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def refuse_output_in_the_way(output: Path, overwrite: bool) -> None:
    """Raises InputError where `output` holds what must not be lost."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; give a folder with --output")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / manifest.FILE_NAME).is_file():
        raise InputError(f"{output} holds other files; give a new or empty folder with --output")
    if not overwrite:
        raise InputError(f"{output} already holds a data set; --overwrite replaces it")


def put_in_place(partial: Path, output: Path) -> None:
    """Gives the finished data set its name; the one that was there before goes afterwards."""
    before = output.with_name(output.name + ".before")
    if output.exists():
        os.replace(output, before)
    os.replace(partial, output)
    if before.exists():
        shutil.rmtree(before)


def require_every_class(made: manifest.Manifest, folder: str) -> None:
    """Raises InputError where so many pictures were rejected that a class is missing."""
    for index, name in enumerate(made.classes):
        if made.splits[shards.TRAIN].counts[index] == 0:
            reasons = ", ".join(f"{reason} {count}" for reason, count in made.rejected.items())
            raise InputError(
                f"{folder}: no picture of class {name} is left for training "
                f"(rejected: {reasons or 'none'}); give more pictures"
            )


def rejected_csv(rejections: list[Rejection]) -> bytes:
    """The rejected pictures as CSV, sorted by key; names keep their bytes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "reason", "detail"))
    rejections = sorted(rejections, key=lambda rejection: os.fsencode(rejection.key))
    writer.writerows(rejections)
    return text.getvalue().encode("utf-8", "surrogateescape")


def describe(made: manifest.Manifest, output: str) -> str:
    """The data set in a few lines."""
    lines = [f"wrote {output}"]
    for split, part in made.splits.items():
        counts = ", ".join(f"{name} {count}" for name, count in zip(made.classes, part.counts))
        mib = sum(shard.bytes for shard in part.shards) / 2**20
        files = "1 shard" if len(part.shards) == 1 else f"{len(part.shards)} shards"
        lines.append(f"  {split}: {part.pictures} pictures ({counts}), {files}, {mib:.1f} MiB")
    if made.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in made.rejected.items())
        lines.append(f"  left out: {reasons}; named in {output}/rejected.csv")
    return "\n".join(lines)


def main(options: ShardOptions) -> None:
    """Makes the data set and says what to do next."""
    print(describe(make_data_set(options), options.output))
    where = "" if options.output == ShardOptions.output else f" --tfrecords={options.output}"
    print(f"next: python -m dogcat.train{where} --unfreeze_from=96 --optimizer=sgd")


if __name__ == "__main__":
    flags.run(main, ShardOptions)
