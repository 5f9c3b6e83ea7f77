"""How long fast devices would wait for their input: the trainer's pipeline, with steps that only wait as they would."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from dogcat.core import runtime
from dogcat.dataset import manifest, shard_plan

from .peer_loaders import BATCH

# Pictures of a second that one device trains on: about what an H100 does with Xception from layer 96 at 299x299.
RATE = 2_000
DEVICES = (1, 4, 8)
# So many that the largest global batch comes from several.
PICTURES = 4 * max(DEVICES) * BATCH
_ENCODINGS = {"jpeg": "JPEG", "raw": "raw pixels"}
# Steps before the time begins: those whose batches are made ahead, and some more.
_BEFORE = 4


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Devices that train from pictures of one kind: medians of the rounds.

    Attributes:
        encoding: How the pictures are stored.
        devices: Number of devices.
        pictures_per_second: What they got.
        waiting: Share of the time in which they waited for pictures.
        processor_us: Time of all cores for a picture, in microseconds.
    """

    encoding: str
    devices: int
    pictures_per_second: float
    waiting: float
    processor_us: float

    @property
    def cores(self) -> float:
        """Cores that would be busy if the devices never waited."""
        return self.processor_us * RATE * self.devices / 1e6


def measure(
    folder: Path, seconds: float, rounds: int, devices: Sequence[int] = DEVICES, batch_size: int = BATCH
) -> list[Measurement]:
    """Measures each kind of pictures and each number of devices in turn, round after round, in this process.

    Args:
        folder: What `own_loaders.prepare` made, of a global batch of pictures at least.
        seconds: Of each run.
        rounds: Number of rounds.
        devices: Numbers of devices.
        batch_size: Pictures of a device's share of a batch.
    """
    runtime.prepare()
    runs: dict[tuple[str, int], list[tuple[float, float, float]]] = {
        (encoding, number): [] for encoding in _ENCODINGS for number in devices
    }
    for round_ in range(rounds):
        for (encoding, number), found in runs.items():
            found.append(_run(folder / encoding, number, seconds, batch_size))
            rate, waiting, _ = found[-1]
            print(
                f"round {round_ + 1} of {rounds}: {_ENCODINGS[encoding]}, devices: {number}, {rate:,.0f} pictures/s, "
                f"waiting {waiting:.0%}"
            )
    return [
        Measurement(encoding, number, *(statistics.median(each) for each in zip(*found)))
        for (encoding, number), found in runs.items()
    ]


def _run(folder: Path, devices: int, seconds: float, batch_size: int) -> tuple[float, float, float]:
    """Pictures a second, share of the time in which the devices waited, processor microseconds a picture."""
    import tensorflow as tf

    from dogcat.loading import pipeline, readers

    split = readers.open_split(folder, manifest.load(folder), shard_plan.TEST)
    together = devices * batch_size
    order = pipeline.TrainingOrder(together, len(split.labels) // together, seed=0)
    context = tf.distribute.InputContext(num_replicas_in_sync=devices)
    shares = iter(pipeline.train_dataset(split, order, context=context))
    step = batch_size / RATE
    for _ in range(_BEFORE * devices):
        next(shares)
    count, waited = 0, 0.0
    started, busy = time.perf_counter(), time.process_time()
    while count == 0 or time.perf_counter() - started < seconds:
        asked = time.perf_counter()
        count += sum(len(next(shares)[0]) for _ in range(devices))
        waited += time.perf_counter() - asked
        time.sleep(step)
    taken = time.perf_counter() - started
    return count / taken, waited / taken, 1e6 * (time.process_time() - busy) / count


def table(measurements: Iterable[Measurement]) -> str:
    """A line for each kind of pictures and number of devices."""
    lines = [
        f"{'':12}{'devices':>8}{'wanted':>9}{'pictures/s':>12}{'waiting':>9}{'us a picture':>14}{'cores wanted':>14}"
    ]
    for each in measurements:
        wanted = RATE * each.devices
        lines.append(
            f"{_ENCODINGS[each.encoding]:12}{each.devices:>8}{wanted:>9,}{each.pictures_per_second:>12,.0f}"
            f"{each.waiting:>9.0%}{each.processor_us:>14.0f}{each.cores:>14.1f}"
        )
    return "\n".join(lines)
