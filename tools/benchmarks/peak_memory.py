"""Peak memory and time a picture of writing, reading, training and predicting, as the number of pictures grows.

Each command runs as a user would start it, on links to the same pictures, made small, with a small network: what grows
with the number of pictures is what is kept for each of them, and that does not depend on their size.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from dogcat.core import runtime
from dogcat.dataset import manifest, shard_plan
from dogcat.pictures import folders

from .rounds import CannotRun

# Pixels; enough for the network below.
_SIZE = 32
_BACKBONE = "mobilenetv2"
_BATCH_SIZE = 128
# Steps of training, whatever the number of pictures.
_STEPS = 100
# Runs a command and prints the largest resident memory of one of its processes. A process of its own, since Linux
# counts for a command what the process that started it held, and this one may hold TensorFlow.
_LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A command on a number of pictures.

    Attributes:
        command: What was done.
        pictures: Pictures of the data set.
        peak_mib: Largest resident memory of one of its processes, in MiB.
        seconds: From start to end.
        worked_on: Pictures that went through in that time.
        first_batch_seconds: Of reading, from opening the data set to its first batch.
    """

    command: str
    pictures: int
    peak_mib: float
    seconds: float
    worked_on: int
    first_batch_seconds: float | None = None


def measure(images: Path, sizes: Sequence[int], work: Path) -> Iterable[Measurement]:
    """Runs the commands on growing numbers of pictures.

    Args:
        images: Folder of pictures that can be read, told apart by name or folder into two classes or more.
        sizes: Numbers of pictures, in rising order.
        work: An empty folder.

    Yields:
        A measurement for each command and number.

    Raises:
        CannotRun: A command failed.
    """
    keys = folders.list_images(images).keys
    model = None
    for size in sizes:
        folder = work / str(size)
        link_pictures(images, keys, size, folder / "images")
        records = folder / "tfrecords"
        peak, seconds, _ = _run(
            "tools.make_tfrecords", f"--images={folder / 'images'}", f"--output={records}", f"--image_size={_SIZE}"
        )
        yield Measurement("write", size, peak, seconds, size)
        peak, seconds, printed = _run("tools.benchmarks.peak_memory", str(records))
        first_batch, read = printed.split()
        yield Measurement("read", size, peak, seconds, int(read), float(first_batch))
        runs = folder / "runs"
        peak, seconds, _ = _run(
            "dogcat.train",
            *(f"--tfrecords={records}", f"--runs={runs}", f"--backbone={_BACKBONE}", "--weights=none", "--head=random"),
            *("--unfreeze_from=auto", "--epochs=1", f"--steps_per_epoch={_STEPS}", f"--batch_size={_BATCH_SIZE}"),
        )
        steps = min(_STEPS, manifest.load(records).splits[shard_plan.TRAIN].pictures // _BATCH_SIZE)
        yield Measurement("train", size, peak, seconds, steps * _BATCH_SIZE)
        model = model or runs / "latest"
        peak, seconds, _ = _run(
            "dogcat.predict",
            *(f"--model={model}", f"--images={folder / 'images'}", f"--output={folder / 'submission.csv'}"),
            *("--tta=none", f"--batch_size={_BATCH_SIZE}"),
        )
        yield Measurement("predict", size, peak, seconds, size)


def link_pictures(images: Path, keys: Sequence[str], size: int, target: Path) -> None:
    """Links `size` pictures into a new folder, again and again if there are fewer, one class and the other in turn."""
    target.mkdir(parents=True)
    for number in range(size):
        key = keys[number % len(keys)]
        os.symlink((images / key).resolve(), target / f"{'dog' if number % 2 else 'cat'}.{number}.jpg")


def _run(module: str, *arguments: str) -> tuple[float, float, str]:
    """Runs a command: the peak memory of one of its processes in MiB, seconds, what it printed.

    Raises:
        CannotRun: It failed.
    """
    started = time.perf_counter()
    command = [sys.executable, "-c", _LAUNCHER, sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    seconds = time.perf_counter() - started
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise CannotRun(f"{module} ended with {done.returncode}: {said[-1]}")
    printed, _, peak = done.stdout.rstrip().rpartition("\n")
    kibibyte = 1 if sys.platform == "darwin" else 1024
    return int(peak) * kibibyte / 2**20, seconds, printed


def table(measurements: Sequence[Measurement]) -> str:
    """A line for each command and number of pictures, the first number's peak being 1."""
    lines = [f"{'':8}{'pictures':>10}{'peak MiB':>10}{'of first':>10}{'s':>8}{'ms a picture':>14}"]
    for command in dict.fromkeys(measurement.command for measurement in measurements):
        of_command = [measurement for measurement in measurements if measurement.command == command]
        for measured in of_command:
            share = measured.peak_mib / of_command[0].peak_mib
            line = (
                f"{command:8}{measured.pictures:>10,}{measured.peak_mib:>10.0f}{share:>10.2f}{measured.seconds:>8.1f}"
            )
            line += f"{1000 * measured.seconds / measured.worked_on:>14.2f}"
            if measured.first_batch_seconds is not None:
                line += f"  first batch after {measured.first_batch_seconds:.2f} s"
            lines.append(line)
    return "\n".join(lines)


def _read(folder: Path) -> None:
    """Reads an epoch as training does; prints the seconds to the first batch, and the number of pictures."""
    runtime.prepare()
    from dogcat.loading import pipeline, readers

    started = time.perf_counter()
    split = readers.open_split(folder, manifest.load(folder), shard_plan.TRAIN)
    order = pipeline.TrainingOrder(_BATCH_SIZE, len(split.labels) // _BATCH_SIZE, seed=0)
    batches = iter(pipeline.train_dataset(split, order).take(order.steps))
    next(batches)
    first_batch = time.perf_counter() - started
    print(first_batch, _BATCH_SIZE * (1 + sum(1 for _ in batches)))


if __name__ == "__main__":
    _read(Path(sys.argv[1]))
