"""Measures the project against its physical limit and its peers, side by side on the same pictures.

shards: pictures of --images made into shards a second. Each run is timed in a fresh process, from the call to its
return: the start and the end of its worker processes count, the imports before the call do not. The pictures are in
memory by then, since all of them are read once beforehand.

load: pictures a second that a training program gets, shuffled, as uint8 batches of 128, from JPEG and from raw pixels.
Each run is a process of its own; before it is timed it gives every picture once, and number and mean of the pixels
are compared with ours.

disk: one pass over the same, with nothing of the shards in memory, from opening them to the last batch.

bucket: the same as load from shards in a bucket that answers late, and from those on this machine.

augment: loaded from JPEG, each picture warped on the processor: shear, zoom, flip.

train: steps of Xception from layer 96, through the pipeline and on a batch that stays in memory, and their augmentation
alone, in one process: what the input costs a run.

predict: pictures a second from files to a CSV by Xception, and by the network alone on a batch that stays in memory, in
one process, 512 pictures at most; loading and compiling the network do not count.

scaling: shuffled batches from JPEG through the trainer's graph, with a wait in place of decoding, by 1 to 64 threads:
whether anything but cores is a limit.

memory: peak memory and time of writing, reading, training and predicting at the numbers of pictures of --sizes.

all: each of these. With --peers the peers take part, from an environment of their own that `make peers` makes.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from dogcat.core import files, flags, runtime
from dogcat.core.options import InputError
from dogcat.core.progress import pictures_bar
from dogcat.dataset.options import ShardOptions
from dogcat.pictures import decode, folders
from dogcat.pictures.geometry import MAX_PIXELS

from .benchmarks import bucket, own_loaders, peak_memory, predict, processes, rounds, scaling, train
from .benchmarks.options import BenchmarkOptions
from .benchmarks.peer_loaders import BATCH
from .benchmarks.peer_writers import QUALITY, SIZE
from .benchmarks.rounds import Group, Outcome
from .make_tfrecords import make_data_set

# Load of a core, of the last minute, up to which a machine counts as idle.
_IDLE_LOAD = 0.25
# Pictures of a pass from disk, at least.
_FROM_DISK = 8_000
# Pictures that are not all read together.
_SEVERAL_WINDOWS = 8_000


def benchmark(options: BenchmarkOptions) -> dict[str, Any]:
    """Measures what the options name, prints tables, writes the files; returns what --json holds.

    Raises:
        InputError: A file or folder that an option names cannot be used, or ours does not do its work.
    """
    for name in ("json", "chart"):
        path = Path(getattr(options, name))
        options.require(name, path.parent.is_dir(), f"{path.parent} is not a folder; make it, or name another file")
        is_in_the_way = bool(getattr(options, name)) and files.is_in_the_way(path)
        options.require(name, not is_in_the_way, "is not a regular file; name another")
    if options.peers:
        found = shutil.which(options.peers_python) is not None
        options.require("peers_python", found, "no such program; `make peers` makes .venv-peers/bin/python")
    load = _warn_of_load()
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="dogcat-benchmark-") as name:
        pictures = Path(name, "pictures")
        count = _gather_pictures(Path(options.images), options.pictures, pictures)
        for subject in _SUBJECTS if options.subject == "all" else [options.subject]:
            print(f"\n{subject}")
            with tempfile.TemporaryDirectory(dir=name) as work:
                try:
                    outcome = _SUBJECTS[subject](options, pictures, Path(work))
                except rounds.CannotRun as problem:
                    raise InputError(f"{options.images}: dogcat itself cannot be measured: {problem}") from problem
            print("", outcome.about, *outcome.tables(), *outcome.conclusions, sep="\n")
            outcomes[subject] = outcome
    report = {
        "processor": runtime.processor_name(),
        "cores": runtime.available_cores(),
        "python": platform.python_version(),
        # Which tells TensorFlow's too, without importing it.
        "keras": importlib.metadata.version("keras"),
        "load_before": load,
        "pictures": count,
        "rounds": options.rounds,
        "subjects": {subject: outcome.as_json() for subject, outcome in outcomes.items()},
    }
    # A bar alone compares nothing.
    drawn = [group for outcome in outcomes.values() for group in outcome.groups if len(group.results) > 1]
    with files.FileSet() as written:
        if options.json:
            written.write(Path(options.json), (json.dumps(report, indent=2) + "\n").encode())
        if options.chart:
            title = f"dogcat on {runtime.processor_name()}, {runtime.available_cores()} cores"
            form = Path(options.chart).suffix.removeprefix(".")
            written.write(Path(options.chart), rounds.draw_chart(drawn, title, form))
    return report


def _measure_shards(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    count = len(list(pictures.iterdir()))
    measured = rounds.measure(
        processes.shard_writers(options, pictures),
        options.rounds,
        lambda work, ours: processes.check_shards(work, ours, count),
    )
    about = (
        f"{count} pictures into shards, {SIZE}x{SIZE} JPEG of quality {QUALITY}, workers: "
        f"{processes.workers_of(options)}, {options.rounds} rounds; start of the workers included"
    )
    conclusions = [f"dogcat writes {rounds.in_words(measured.results)}."]
    if not options.peers:
        conclusions.append("not compared: OpenCV (the limit), FFCV, WebDataset; `make peers`, then --peers, adds them")
    group = Group("shards written", measured.results, "dogcat / it")
    return Outcome(about, [group], conclusions, measured.left_out)


def _measure_load(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    count = own_loaders.prepare(pictures, work, processes.workers_of(options))
    outcome = _loaded(processes.jpeg_loaders(options, work), processes.raw_loaders(options, work), options, count)
    if not options.peers:
        outcome.conclusions.append(
            "not compared: FFCV, DALI, WebDataset, PyTorch, MosaicML streaming; `make peers`, then --peers, adds them"
        )
    return outcome


def _measure_disk(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    keys = sorted(os.listdir(pictures))
    # So many that a pass takes seconds.
    peak_memory.link_pictures(pictures, keys, max(len(keys), _FROM_DISK), work / "pictures")
    count = own_loaders.prepare(work / "pictures", work, processes.workers_of(options))
    return _loaded(*processes.loaders_from_disk(options, work), options, count, " not in memory")


def _measure_bucket(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    count = own_loaders.prepare(pictures, work, processes.workers_of(options))
    with bucket.served(work, options.latency / 1000) as (_, environment):
        of_jpeg, of_raw = processes.bucket_loaders(options, work, environment)
        return _loaded(of_jpeg, of_raw, options, count, f", {options.latency:g} ms an answer")


def _loaded(
    of_jpeg: list[rounds.Contestant],
    of_raw: list[rounds.Contestant],
    options: BenchmarkOptions,
    count: int,
    where: str = "",
) -> Outcome:
    """What came of loading `count` pictures by two groups of loaders."""
    measured = rounds.measure(
        [*of_jpeg, *of_raw],
        options.rounds,
        lambda work, ours: processes.check_loaded(work, ours, count),
    )
    groups, conclusions = [], []
    for name, contestants in ((f"JPEG{where}", of_jpeg), (f"raw pixels{where}", of_raw)):
        results = rounds.compared([result for result in measured.results if result.contestant in contestants])
        groups.append(Group(f"loaded from {name}", results, "dogcat / it"))
        conclusions.append(f"dogcat loads from {name} {rounds.in_words(results)}.")
    about = f"{count} pictures of {SIZE}x{SIZE} in batches of {BATCH}, {options.rounds} rounds"
    return Outcome(about, groups, conclusions, measured.left_out)


def _measure_augment(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    count = own_loaders.prepare(pictures, work, processes.workers_of(options))
    measured = rounds.measure(
        processes.augmenting_loaders(options, work),
        options.rounds,
        lambda work, ours: processes.check_loaded(work, ours, count),
    )
    conclusions = [f"dogcat loads and warps {rounds.in_words(measured.results)}."]
    if not options.peers:
        conclusions.append("not compared: DALI; `make peers`, then --peers, adds it")
    group = Group("loaded from JPEG and warped", measured.results, "dogcat / it")
    about = f"{count} pictures of {SIZE}x{SIZE} in batches of {BATCH}, shear, zoom, flip, {options.rounds} rounds"
    return Outcome(about, [group], conclusions, measured.left_out)


def _measure_train(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    tfrecords = Path(options.tfrecords)
    if not options.tfrecords:
        tfrecords = work / "tfrecords"
        named = work / "named"
        keys = sorted(os.listdir(pictures))
        # The classes mean nothing: what a step takes does not depend on them.
        peak_memory.link_pictures(pictures, keys, len(keys), named)
        make_data_set(ShardOptions(images=str(named), output=str(tfrecords)))
    measured = rounds.measure(train.contestants(tfrecords, options.steps), options.rounds, lambda work, ours: None)
    pipeline, memory, augmentation = measured.results
    of_input = rounds.Figure.of([1 / ratio for ratio in memory.ratios])
    of_augmentation = rounds.Figure.of(augmentation.ratios)
    conclusions = [
        f"A step through the pipeline takes {of_input} times as long as one on a batch in memory.",
        f"Augmenting alone takes {of_augmentation} of the time of such a step.",
    ]
    about = f"{options.steps} steps of Xception from layer 96 a run, {options.rounds} rounds"
    groups = [
        Group("trained", [pipeline, memory], "pipeline / it"),
        Group("augmented, nothing else", rounds.compared([augmentation]), ""),
    ]
    return Outcome(about, groups, conclusions, measured.left_out)


def _measure_predict(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    with predict.contestants(pictures, "xception") as contestants:
        measured = rounds.measure(contestants, options.rounds, lambda work, ours: None)
    share = rounds.Figure.of(measured.results[1].ratios)
    conclusions = [f"From files to a CSV dogcat reaches {share} of the rate of the network alone."]
    about = f"{measured.results[0].runs[0].pictures} pictures through Xception, one view, {options.rounds} rounds"
    return Outcome(about, [Group("predicted", measured.results, "files to CSV / it")], conclusions, measured.left_out)


def _measure_scaling(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    keys = sorted(os.listdir(pictures))
    peak_memory.link_pictures(pictures, keys, max(len(keys), _SEVERAL_WINDOWS), work / "pictures")
    tfrecords = work / "tfrecords"
    make_data_set(
        ShardOptions(images=str(work / "pictures"), output=str(tfrecords), unlabeled=True, image_size=scaling.SIZE)
    )
    measurements = scaling.measure(tfrecords, options.seconds, options.rounds)
    about = (
        f"JPEG from record to batch, a wait of {scaling.WAIT_US} us for each picture in place of decoding, "
        f"{runtime.available_cores()} cores, {options.rounds} rounds"
    )
    return Outcome(about, [], [scaling.table(measurements)], {}, measurements)


def _measure_memory(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    measurements = list(peak_memory.measure(pictures, options.numbers, work))
    about = "peak memory of each command's largest process; start and end of the command included in its time"
    return Outcome(about, [], [peak_memory.table(measurements)], {}, measurements)


# What can be measured, by the word on the command line.
_SUBJECTS: dict[str, Callable[[BenchmarkOptions, Path, Path], Outcome]] = {
    "shards": _measure_shards,
    "load": _measure_load,
    "disk": _measure_disk,
    "bucket": _measure_bucket,
    "augment": _measure_augment,
    "train": _measure_train,
    "predict": _measure_predict,
    "scaling": _measure_scaling,
    "memory": _measure_memory,
}


def _warn_of_load() -> float:
    """Says so where the processor has not been idle; returns the load of the last minute."""
    load = round(os.getloadavg()[0], 2)
    if load > _IDLE_LOAD * runtime.available_cores():
        print(f"the processor was not idle in the last minute (load {load}): other programs may lower the figures")
    return load


def _gather_pictures(source: Path, wanted: int, target: Path) -> int:
    """Links pictures that every contestant can read into a new folder; returns their number.

    FFCV stops at a picture that it cannot decode, and OpenCV sees other pixels in a CMYK file: plain JPEGs are the
    same work for all.
    """
    keys = folders.list_images(source).keys
    if 0 < wanted < len(keys):
        # Over the whole folder, since a folder sorted by name begins with one class.
        keys = [keys[place * len(keys) // wanted] for place in range(wanted)]
    target.mkdir()
    count = 0
    with pictures_bar(len(keys), "reading") as progress:
        for key in keys:
            path = (source / key).resolve()
            if _is_plain_jpeg(path):
                (target / f"{count:08d}.jpg").symlink_to(path)
                count += 1
            progress.update()
    if not count:
        raise InputError(f"{source} holds no undamaged JPEG in RGB; give others with --images")
    left_out = f"; {len(keys) - count} others are no undamaged JPEGs in RGB" if count < len(keys) else ""
    print(f"measuring on {count} pictures of {source}{left_out}")
    return count


def _is_plain_jpeg(path: Path) -> bool:
    try:
        decode.decode(path.read_bytes(), MAX_PIXELS)
        with Image.open(path) as image:
            image.load()
            return image.format == "JPEG" and image.mode == "RGB"
    # What Pillow raises of a damaged file is not bounded; images.decode has the list.
    except Exception:
        return False


def main(options: BenchmarkOptions) -> None:
    """Measures and prints."""
    benchmark(options)


if __name__ == "__main__":
    flags.run(main, BenchmarkOptions)
