"""How the trainer's graph for JPEG scales with cores: from record to batch, with a wait in place of decoding.

A wait takes no core, so that a machine of few cores shows what many would do, as long as few are enough for the rest
of the way and for setting up the waits.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dogcat.core import runtime
from dogcat.dataset import manifest, shard_plan

from .peer_loaders import BATCH

# Pixels; so small that batches take next to nothing.
SIZE = 32
THREADS = (1, 2, 4, 8, 16, 32, 64)
# What decoding a JPEG of 299x299 takes a core of an Intel Xeon with AMX.
WAIT_US = 419
# As many neighbours as are read in one go of such JPEGs.
_BLOCK = 32
# Batches before the time begins: those that are made ahead, and some more.
_BEFORE = 4


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What some threads did: medians of the rounds.

    Attributes:
        threads: Their number.
        waits: Whether each picture is waited for; else what is measured is the rest of the way.
        pictures_per_second: Rate.
        share: That of the ideal, which is the rate of one thread times their number; without a wait None.
        processor_us: Time of all cores for a picture, in microseconds.
        cores: Cores that were busy.
    """

    threads: int
    waits: bool
    pictures_per_second: float
    share: float | None
    processor_us: float
    cores: float


def measure(folder: Path, seconds: float, rounds: int, threads: Sequence[int] = THREADS) -> list[Measurement]:
    """Measures the way without a wait, then each number of threads in turn, round after round, in this process.

    Args:
        folder: A data set of JPEG without labels, a batch of pictures at least.
        seconds: Of each run.
        rounds: Number of rounds.
        threads: Numbers of threads, of which the first is 1.
    """
    runtime.prepare()
    plan = [(runtime.available_cores(), False), *((number, True) for number in threads)]
    runs: dict[tuple[int, bool], list[tuple[float, float]]] = {each: [] for each in plan}
    for round_ in range(rounds):
        for number, waits in plan:
            rate, cores = _run(folder, seconds, number, waits)
            runs[number, waits].append((rate, cores))
            print(f"round {round_ + 1} of {rounds}: {_title(number, waits)} {rate:,.0f} pictures/s")
    measured = []
    for number, waits in plan:
        rates = [rate for rate, _ in runs[number, waits]]
        of_one = [rate for rate, _ in runs[threads[0], True]]
        share = statistics.median(rate / (number * one) for rate, one in zip(rates, of_one)) if waits else None
        processor_us = statistics.median(1e6 * cores / rate for rate, cores in runs[number, waits])
        cores = statistics.median(cores for _, cores in runs[number, waits])
        measured.append(Measurement(number, waits, statistics.median(rates), share, processor_us, cores))
    return measured


def _title(threads: int, waits: bool) -> str:
    return f"{threads} threads" if waits else "no wait"


def _run(folder: Path, seconds: float, threads: int, waits: bool) -> tuple[float, float]:
    """Pictures a second, and the number of cores that were busy."""
    import tensorflow as tf

    from dogcat.loading import pipeline, records
    from dogcat.loading.encoded_pictures import EncodedPictures

    class WaitingPictures(EncodedPictures):
        """Pictures of which each is black, after a wait."""

        def decode(self, encoded: Any) -> Any:
            waited_for = _waited_for(encoded) if waits else encoded
            # Never more than 0, which TensorFlow does not know beforehand.
            black = tf.cast(tf.strings.length(waited_for) < 0, tf.uint8)
            return tf.fill((self.image_size, self.image_size, 3), black)

    made = manifest.load(folder)
    pictures = WaitingPictures(records.of_split(folder, made, shard_plan.TEST), made.encoding, made.image_size)
    pictures.threads = threads
    order = pipeline.TrainingOrder(BATCH, len(pictures.labels) // BATCH, seed=0, block=_BLOCK)
    batches = iter(pipeline.train_dataset(pictures, order))
    for _ in range(_BEFORE):
        next(batches)
    started, busy = time.perf_counter(), time.process_time()
    count = len(next(batches)[0])
    while time.perf_counter() - started < seconds:
        count += len(next(batches)[0])
    taken = time.perf_counter() - started
    return count / taken, (time.process_time() - busy) / taken


def _waited_for(value: Any) -> Any:
    """The same string, after the wait of an operation; it takes a core some 0.2 ms to be set up."""
    import tensorflow as tf

    one = tf.data.Dataset.from_tensors(value)
    sleeping = tf.raw_ops.SleepDataset(
        input_dataset=tf.data.experimental.to_variant(one),
        sleep_microseconds=tf.constant(WAIT_US, tf.int64),
        output_types=[tf.string],
        output_shapes=[()],
    )
    return tf.data.experimental.from_variant(sleeping, one.element_spec).get_single_element()


def table(measurements: Iterable[Measurement]) -> str:
    """A line for each number of threads."""
    lines = [f"{'':10}{'pictures/s':>12}{'of ideal':>10}{'processor us a picture':>24}{'cores busy':>12}"]
    for each in measurements:
        share = "" if each.share is None else f"{each.share:.2f}"
        lines.append(
            f"{_title(each.threads, each.waits):10}{each.pictures_per_second:>12,.0f}{share:>10}"
            f"{each.processor_us:>24.0f}{each.cores:>12.2f}"
        )
    return "\n".join(lines)
