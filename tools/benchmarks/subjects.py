"""The subjects of `tools.benchmark`: each prepares its pictures, has them measured, and says what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from dogcat.core import runtime
from dogcat.dataset.options import ShardOptions

from ..make_tfrecords import make_data_set
from . import (
    bucket,
    clusters,
    device,
    network_rates,
    own_loaders,
    peak_memory,
    predict,
    processes,
    rounds,
    scaling,
    settings,
    train,
    trunk,
)
from .options import BenchmarkOptions
from .peer_loaders import BATCH
from .peer_writers import QUALITY, SIZE
from .rounds import Group, Outcome

# Pictures of a pass from disk, at least.
_FROM_DISK = 8_000
# Pictures of a run, at least: pieces of all kinds are several then.
_IN_PIECES = 2_048
# Pictures that are not all read together.
_SEVERAL_WINDOWS = 8_000


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


def _at_least(count: int, pictures: Path, work: Path) -> Path:
    """A new folder with links to all pictures, to each several times where they are less than `count`."""
    keys = sorted(os.listdir(pictures))
    peak_memory.link_pictures(pictures, keys, max(len(keys), count), work / "pictures")
    return work / "pictures"


def _measure_disk(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    # So many that a pass takes seconds.
    count = own_loaders.prepare(_at_least(_FROM_DISK, pictures, work), work, processes.workers_of(options))
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
    tfrecords = _data_set(options, pictures, work)
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


def _measure_trunk(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    return trunk.measure(_data_set(options, pictures, work), options.steps, options.rounds)


def _data_set(options: BenchmarkOptions, pictures: Path, work: Path) -> Path:
    """A data set to train on."""
    if options.tfrecords:
        return Path(options.tfrecords)
    keys = sorted(os.listdir(pictures))
    # The classes mean nothing: what a step takes does not depend on them.
    peak_memory.link_pictures(pictures, keys, len(keys), work / "named")
    make_data_set(ShardOptions(images=str(work / "named"), output=str(work / "tfrecords")))
    return work / "tfrecords"


def _measure_predict(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    with predict.contestants(pictures, "xception") as contestants:
        measured = rounds.measure(contestants, options.rounds, lambda work, ours: None)
    share = rounds.Figure.of(measured.results[1].ratios)
    conclusions = [f"From files to a CSV dogcat reaches {share} of the rate of the network alone."]
    about = f"{measured.results[0].runs[0].pictures} pictures through Xception, one view, {options.rounds} rounds"
    return Outcome(about, [Group("predicted", measured.results, "files to CSV / it")], conclusions, measured.left_out)


def _measure_settings(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    groups, left_out = [], {}
    with settings.contestants(options.other_python) as contestants:
        for word, title in settings.WORK.items():
            measured = rounds.measure(contestants[word], options.rounds, lambda work, ours: None)
            groups.append(Group(title, measured.results, "dogcat / it"))
            left_out.update(measured.left_out)
    conclusions = [f"{group.title}: {rounds.in_words(group.results)}." for group in groups]
    about = f"Xception, batches of {network_rates.BATCH_SIZE} pictures in memory, {options.rounds} rounds"
    return Outcome(about, groups, conclusions, left_out)


def _measure_scaling(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    linked = _at_least(_SEVERAL_WINDOWS, pictures, work)
    tfrecords = work / "tfrecords"
    make_data_set(ShardOptions(images=str(linked), output=str(tfrecords), unlabeled=True, image_size=scaling.SIZE))
    measurements = scaling.measure(tfrecords, options.seconds, options.rounds)
    about = (
        f"JPEG from record to batch, a wait of {scaling.WAIT_US} us for each picture in place of decoding, "
        f"{runtime.available_cores()} cores, {options.rounds} rounds"
    )
    return Outcome(about, [], [scaling.table(measurements)], {}, measurements)


def _measure_device(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    own_loaders.prepare(_at_least(device.PICTURES, pictures, work), work, processes.workers_of(options))
    measurements = device.measure(work, options.seconds, options.rounds)
    about = (
        f"batches of {BATCH} pictures a device, {device.RATE:,} pictures/s each, {runtime.available_cores()} cores, "
        f"{options.rounds} rounds"
    )
    return Outcome(about, [], [device.table(measurements)], {}, measurements)


def _measure_cluster(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    linked = _at_least(_IN_PIECES, pictures, work)
    with clusters.pinned_workers(work) as (one, many):
        return clusters.measure(linked, work, options.rounds, one, many)


def _measure_memory(options: BenchmarkOptions, pictures: Path, work: Path) -> Outcome:
    measurements = list(peak_memory.measure(pictures, options.numbers, work))
    about = "peak memory of each command's largest process; start and end of the command included in its time"
    return Outcome(about, [], [peak_memory.table(measurements)], {}, measurements)


# What can be measured, by the word on the command line.
SUBJECTS: dict[str, Callable[[BenchmarkOptions, Path, Path], Outcome]] = {
    "shards": _measure_shards,
    "load": _measure_load,
    "disk": _measure_disk,
    "bucket": _measure_bucket,
    "augment": _measure_augment,
    "train": _measure_train,
    "trunk": _measure_trunk,
    "predict": _measure_predict,
    "settings": _measure_settings,
    "scaling": _measure_scaling,
    "device": _measure_device,
    "cluster": _measure_cluster,
    "memory": _measure_memory,
}
