"""Measures the project against its physical limit and its peers, side by side on the same pictures.

shards: pictures of --images made into shards a second. Each run is timed in a fresh process, from the call to its
return: the start and the end of its worker processes count, the imports before the call do not. The pictures are in
memory by then, since all of them are read once beforehand. With --peers the limit (OpenCV alone, nothing written), FFCV
and WebDataset take part, from an environment of their own that `make peers` makes.

load: pictures a second that a training program gets, shuffled, as uint8 batches of 128, from JPEG and from raw pixels.
Each run is a process of its own; before it is timed it gives every picture once, and number and mean of the pixels
are compared with ours.

train: steps of Xception from layer 96 on the data set of --tfrecords, through the pipeline and on a batch that stays in
memory, in one process: what the input costs a run.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from dogcat import flags, folders, images, records, runtime
from dogcat.config import MAX_PIXELS, BenchmarkOptions, InputError, available_cores
from dogcat.progress import pictures_bar
from tools import benchmark_load, benchmark_train
from tools import benchmark_rounds as rounds
from tools.benchmark_loaders import BATCH
from tools.benchmark_peers import QUALITY, SIZE, Work

_PEERS_SCRIPT = Path(__file__).with_name("benchmark_peers.py")
# A contestant's bytes for each picture may differ from ours by this factor: containers and encoders differ, but a
# writer that keeps another size or quality does other work.
_PLAUSIBLE_SIZE = 2.0
# Load of a core, of the last minute, up to which a machine counts as idle.
_IDLE_LOAD = 0.25
# Means of all pixels may differ by this: the fast inverse transform, which is the default of TensorFlow's decoder and
# the only one in FFCV, makes pictures 0.8 of 255 darker.
_ROUNDING = 1.5
# Those that load raw pixels, ours first.
_RAW_LOADERS = ("dogcat-raw", "tf-data-raw", "ffcv-raw")


def benchmark(options: BenchmarkOptions) -> dict[str, Any]:
    """Measures the subject, prints the table, writes what the options ask for; returns what --json holds.

    Raises:
        InputError: A file or folder that an option names cannot be used, or ours does not do its work.
    """
    for name in ("json", "chart"):
        folder = Path(getattr(options, name)).parent
        options.require(name, folder.is_dir(), f"{folder} is no folder; make it, or name another file")
    if options.peers:
        found = shutil.which(options.peers_python) is not None
        options.require("peers_python", found, "no such program; `make peers` makes .venv-peers/bin/python")
    return _SUBJECTS[options.subject](options)


def _benchmark_shards(options: BenchmarkOptions) -> dict[str, Any]:
    workers = options.workers or available_cores()
    load = _warn_of_load()
    with tempfile.TemporaryDirectory(prefix="dogcat-benchmark-") as folder:
        pictures = Path(folder, "pictures")
        count = _gather_pictures(Path(options.images), options.pictures, pictures)
        try:
            measured = rounds.measure(
                _shard_contestants(options, pictures, workers),
                options.rounds,
                lambda work, ours: _check_work(work, ours, count),
            )
        except rounds.CannotRun as problem:
            raise InputError(f"{options.images}: dogcat itself cannot be measured: {problem}") from problem
    processor = runtime.processor_name()
    about = f"{count} pictures into shards, workers: {workers}, {options.rounds} rounds, {processor}"
    conclusion = _conclude(measured.results)
    print(f"\n{about}\n{SIZE}x{SIZE} JPEG of quality {QUALITY}; start of the workers included\n")
    print(rounds.table(measured.results, "dogcat / it"))
    print(f"\n{conclusion}")
    if not options.peers:
        print("not compared: OpenCV (the limit), FFCV, WebDataset; `make peers`, then --peers, adds them")
    figures = {"load_before": load, "workers": workers, "pictures": count, "conclusion": conclusion}
    return _report(options, measured, figures, about)


def _benchmark_load(options: BenchmarkOptions) -> dict[str, Any]:
    workers = options.workers or available_cores()
    load = _warn_of_load()
    with tempfile.TemporaryDirectory(prefix="dogcat-benchmark-") as name:
        folder = Path(name)
        _gather_pictures(Path(options.images), options.pictures, folder / "pictures")
        count = benchmark_load.prepare(folder / "pictures", folder, workers)
        try:
            measured = rounds.measure(
                _load_contestants(options, folder, workers),
                options.rounds,
                lambda work, ours: _check_loaded(work, ours, count),
            )
        except rounds.CannotRun as problem:
            raise InputError(f"{options.images}: dogcat itself cannot be measured: {problem}") from problem
    about = (
        f"{count} pictures of {SIZE}x{SIZE}, batches of {BATCH}, {options.rounds} rounds, {runtime.processor_name()}"
    )
    from_raw = [result for result in measured.results if result.contestant.name in _RAW_LOADERS]
    from_jpeg = [result for result in measured.results if result.contestant.name not in _RAW_LOADERS]
    print(f"\n{about}")
    for title, results in (("from JPEG", from_jpeg), ("from raw pixels", from_raw)):
        print(f"\n{title}\n{rounds.table(rounds.compared(results), 'dogcat / it')}")
    if not options.peers:
        print(
            "\nnot compared: FFCV, DALI, WebDataset, PyTorch, MosaicML streaming; `make peers`, then --peers, adds them"
        )
    in_groups = rounds.Results([*rounds.compared(from_jpeg), *rounds.compared(from_raw)], measured.left_out)
    return _report(options, in_groups, {"load_before": load, "workers": workers, "pictures": count}, about)


def _load_contestants(options: BenchmarkOptions, folder: Path, workers: int) -> list[rounds.Contestant]:
    own, peers = (sys.executable, "tools.benchmark_load"), (options.peers_python, "tools.benchmark_loaders")
    ours = [
        ("dogcat-jpeg", "dogcat, JPEG", ""),
        ("decode", "decode alone, simplejpeg", "the limit: nothing is read or shuffled"),
        ("tf-data-jpeg", "tf.data", "interleave, shuffle, map decode, batch"),
        ("keras-directory", "image_dataset_from_directory", "from files"),
        ("keras-generator", "ImageDataGenerator", "from files, 1 thread"),
        ("dogcat-raw", "dogcat, raw", ""),
        ("tf-data-raw", "tf.data, raw", "interleave, shuffle, map decode_raw, batch"),
    ]
    theirs = [
        ("dali", "DALI on the CPU", "from files"),
        ("ffcv-jpg", "FFCV, jpg", ""),
        ("torch", "PyTorch DataLoader", "from files; Pillow decodes"),
        ("webdataset", "WebDataset", "Pillow decodes"),
        ("streaming", "MosaicML streaming", "Pillow decodes"),
        ("ffcv-raw", "FFCV, raw", ""),
    ]
    listed = [(own, *about) for about in ours] + [(peers, *about) for about in theirs if options.peers]

    def contestant(program: tuple[str, str], name: str, title: str, note: str) -> rounds.Contestant:
        python, module = program
        # Nothing that PYTHONPATH names for this environment gets into the other.
        search_path = str(Path(__file__).parents[1])
        if program == own:
            search_path = os.pathsep.join(filter(None, (search_path, os.environ.get("PYTHONPATH"))))
        command = [python, "-s", "-m", module, name, str(folder), str(workers), str(options.seconds)]
        run = functools.partial(_run_command, command, search_path)
        return rounds.Contestant(name, title, note, run, ours=name.startswith("dogcat"))

    return [contestant(*about) for about in listed]


def _check_loaded(work: Work, ours: Work, pictures: int) -> None:
    """Raises CannotRun for a loader that does not give every picture once, or other pixels."""
    if work.checked != pictures:
        raise rounds.CannotRun(f"it gave {work.checked} pictures of {pictures} in a pass")
    if abs(work.mean - ours.mean) > _ROUNDING:
        raise rounds.CannotRun(f"the mean of its pixels is {work.mean}, ours is {ours.mean}: not the same pictures")


def _benchmark_train(options: BenchmarkOptions) -> dict[str, Any]:
    load = _warn_of_load()
    measured = rounds.measure(
        benchmark_train.contestants(Path(options.tfrecords), options.steps), options.rounds, lambda work, ours: None
    )
    processor = runtime.processor_name()
    about = f"{options.steps} steps of Xception from layer 96 a run, {options.rounds} rounds, {processor}"
    # How much longer a step takes that waits for its input.
    longer = rounds.Figure.of([1 / ratio for ratio in measured.results[1].ratios])
    conclusion = (
        f"A step through the pipeline takes {longer.median:.3f} times as long as one on a batch in memory "
        f"({longer.low:.3f} to {longer.high:.3f})."
    )
    print(f"\n{about}\n")
    print(rounds.table(measured.results, "pipeline / it"))
    print(f"\n{conclusion}")
    return _report(options, measured, {"load_before": load, "steps": options.steps, "conclusion": conclusion}, about)


def _report(options: BenchmarkOptions, measured: rounds.Results, figures: dict[str, Any], about: str) -> dict[str, Any]:
    """Writes what the options ask for; returns what --json holds."""
    report = {
        "subject": options.subject,
        "processor": runtime.processor_name(),
        "cores": available_cores(),
        "python": platform.python_version(),
        "rounds": options.rounds,
        **figures,
        "contestants": [rounds.as_json(result) for result in measured.results],
        "left_out": measured.left_out,
    }
    if options.json:
        records.write_atomically(Path(options.json), (json.dumps(report, indent=2) + "\n").encode())
    if options.chart:
        rounds.draw_chart(measured.results, about, Path(options.chart))
    return report


# What can be measured, by the word on the command line.
_SUBJECTS: dict[str, Callable[[BenchmarkOptions], dict[str, Any]]] = {
    "shards": _benchmark_shards,
    "load": _benchmark_load,
    "train": _benchmark_train,
}


def _warn_of_load() -> float:
    """Says so where the processor has not been idle; returns the load of the last minute."""
    load = round(os.getloadavg()[0], 2)
    if load > _IDLE_LOAD * available_cores():
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
        images.decode(path.read_bytes(), MAX_PIXELS)
        with Image.open(path) as image:
            image.load()
            return image.format == "JPEG" and image.mode == "RGB"
    # What Pillow raises of a damaged file is not bounded; images.decode has the list.
    except Exception:
        return False


def _shard_contestants(options: BenchmarkOptions, pictures: Path, workers: int) -> list[rounds.Contestant]:
    own = [sys.executable, "-m", "tools.benchmark_own"]
    # Isolated: nothing that PYTHONPATH names for this environment gets into the other.
    peer = [options.peers_python, "-I", str(_PEERS_SCRIPT)]

    def contestant(command: list[str], name: str, title: str, note: str) -> rounds.Contestant:
        return rounds.Contestant(
            name, title, note, lambda: _run(command, name, pictures, workers), ours=name == "dogcat"
        )

    contestants = [
        contestant(own, "dogcat", "dogcat", ""),
        contestant(own, "pillow", "plain Pillow", "in a pool of processes, TFRecords"),
    ]
    if options.peers:
        contestants += [
            contestant(peer, "opencv", "OpenCV", "the limit: nothing is written"),
            contestant(peer, "ffcv", "FFCV", "DatasetWriter, jpg; Pillow decodes"),
            contestant(peer, "webdataset", "WebDataset", "ShardWriter, 1 process; Pillow decodes"),
        ]
    return contestants


def _run(command: list[str], name: str, pictures: Path, workers: int) -> Work:
    """One run in a process and a folder of its own.

    Raises:
        CannotRun: The contestant is not installed, or it failed.
    """
    root = str(Path(__file__).parents[1])
    search_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryDirectory(prefix="dogcat-benchmark-") as folder:
        # Else the disk would still be busy with what the run before has written.
        os.sync()
        return _run_command([*command, name, str(pictures), str(workers), folder], search_path)


def _run_command(command: list[str], search_path: str) -> Work:
    """What a contestant's process says that it did.

    Raises:
        CannotRun: As of `_run`.
    """
    environment = {**os.environ, "PYTHONPATH": search_path}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise rounds.CannotRun(message)
    answer = json.loads(done.stdout.splitlines()[-1])
    if "cannot_import" in answer:
        raise rounds.CannotRun(f"cannot be imported by {command[0]}: {answer['cannot_import']}")
    return Work(**answer)


def _check_work(work: Work, ours: Work, pictures: int) -> None:
    """Raises CannotRun for a run that did other work than was asked for."""
    if work.pictures != pictures:
        raise rounds.CannotRun(f"it made {work.pictures} pictures of {pictures}")
    factor = work.bytes / ours.bytes
    if not 1 / _PLAUSIBLE_SIZE <= factor <= _PLAUSIBLE_SIZE:
        raise rounds.CannotRun(f"its pictures have {factor:.2f} times the bytes of ours: not the same work")


def _conclude(results: list[rounds.Result]) -> str:
    """The result in a sentence."""
    ours, *others = results
    parts = []
    for result in others:
        against = "the limit" if result.contestant.name == "opencv" else result.label
        if result.ratio:
            parts.append(f"{result.ratio.median:.2f} times the speed of {against}")
        else:
            parts.append(f"unclear against {against}")
    return f"{ours.label} writes {ours.rate.median:,.0f} pictures a second: {', '.join(parts)}."


def main(options: BenchmarkOptions) -> None:
    """Measures and prints."""
    benchmark(options)


if __name__ == "__main__":
    flags.run(main, BenchmarkOptions)
