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

trunk: steps of Xception from layer 96 and from 116, pictures mirrored half of the time, through the pipeline: on what
the frozen layers gave once, which is kept in memory, and whole ones.

predict: pictures a second from files to a CSV by Xception, and by the network alone on a batch that stays in memory, in
one process, 512 pictures at most; loading and compiling the network do not count.

scaling: shuffled batches from JPEG through the trainer's graph, with a wait in place of decoding, by 1 to 64 threads:
whether anything but cores is a limit.

settings: batches of Xception forward and steps of training from layer 96, as dogcat sets up TensorFlow and with other
precisions, without oneDNN, with XLA, and with nothing set, each in a process of its own; with --other_python by another
TensorFlow too.

device: the trainer's pipeline with steps that only wait, as long as 1, 4 and 8 GPUs of 2,000 pictures/s each take:
how long these would wait for pictures, and how many cores they want.

cluster: shards, features and predictions in pieces by one and by two workers of Dask, each a process on a core of its
own, without their start; needs the extra `cluster`.

memory: peak memory and time of writing, reading, training and predicting at the numbers of pictures of --sizes.

all: each of these, for which it needs the extra `cluster`, too. With --peers the peers take part, from an environment
of their own that `make peers` makes.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from dogcat.core import files, flags, runtime
from dogcat.core.options import InputError
from dogcat.core.progress import pictures_bar
from dogcat.pictures import decode, folders
from dogcat.pictures.geometry import MAX_PIXELS

from .benchmarks import clusters, rounds
from .benchmarks.options import BenchmarkOptions
from .benchmarks.rounds import Outcome
from .benchmarks.subjects import SUBJECTS
from .checkup import packages

# Load of a core, of the last minute, up to which a machine counts as idle.
_IDLE_LOAD = 0.25


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
    if options.subject in ("cluster", "all"):
        clusters.require()
    machine = {
        "processor": runtime.processor_name(),
        "cores": runtime.available_cores(),
        "python": platform.python_version(),
        "tensorflow": packages.tensorflow()[1],
        "keras": packages.version_of("keras"),
    }
    print("{processor}, {cores} cores; Python {python}, TensorFlow {tensorflow}, Keras {keras}".format(**machine))
    load = _warn_of_load()
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="dogcat-benchmark-") as name:
        pictures = Path(name, "pictures")
        count = _gather_pictures(Path(options.images), options.pictures, pictures)
        for subject in SUBJECTS if options.subject == "all" else [options.subject]:
            print(f"\n{subject}")
            with tempfile.TemporaryDirectory(dir=name) as work:
                try:
                    outcome = SUBJECTS[subject](options, pictures, Path(work))
                except rounds.CannotRun as problem:
                    raise InputError(f"{options.images}: dogcat itself cannot be measured: {problem}") from problem
            print("", outcome.about, *outcome.tables(), *outcome.conclusions, sep="\n")
            outcomes[subject] = outcome
    report = {
        **machine,
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
