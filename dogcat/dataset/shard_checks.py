"""Reads shards of a data set, and checks everything that can be told from one shard alone."""

from __future__ import annotations

import array
import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from dogcat.core import progress
from dogcat.dataset import record_checks, tfrecord
from dogcat.dataset.manifest import Manifest, Shard
from dogcat.dataset.problems import Problem
from dogcat.dataset.record_checks import CheckedRecord
from dogcat.dataset.tfrecord import Record
from dogcat.pictures.labels import UNLABELED

# Records for each task of a thread: enough to hide the cost of handing over, few enough that those in flight stay
# small.
_CHUNK = 16
_CHUNKS_IN_FLIGHT = 3

_Item = TypeVar("_Item")


@dataclasses.dataclass
class CheckedShard:
    """What a shard turned out to hold.

    Attributes:
        split: The split that lists it.
        shard: What the manifest says of it.
        size: Size of the file in bytes, when it had been read.
        sha256: Hash of the file, hex; empty where it could not be read to its end.
        whole: Number of records whose data can be trusted.
        damaged: Number of other records.
        labels: Number of records of each label.
        lengths: Bytes of each record's data, and
        labels_in_order: its label, -1 without one: for records with a key.
        numbers: Place in the file of each record with a key.
        key_hashes: Hash of the key of each of `numbers`.
        problems: What is wrong with single records.
    """

    split: str
    shard: Shard
    size: int
    sha256: str = ""
    whole: int = 0
    damaged: int = 0
    labels: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    lengths: array.array[int] = dataclasses.field(default_factory=lambda: array.array("I"))
    labels_in_order: array.array[int] = dataclasses.field(default_factory=lambda: array.array("i"))
    numbers: array.array[int] = dataclasses.field(default_factory=lambda: array.array("Q"))
    key_hashes: array.array[int] = dataclasses.field(default_factory=lambda: array.array("Q"))
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def add(self, checked: CheckedRecord) -> None:
        """Counts a record."""
        self.whole += checked.whole
        self.damaged += not checked.whole
        if checked.label is not None:
            self.labels[checked.label] += 1
        if checked.key_hash is not None:
            self.numbers.append(checked.number)
            self.lengths.append(checked.length)
            self.labels_in_order.append(UNLABELED if checked.label is None else checked.label)
            self.key_hashes.append(checked.key_hash)
        if checked.problem:
            self.problems.append(checked.problem)


class ShardChecker:
    """Reads shards in one thread, and checks their records in several; decoding leaves Python's lock."""

    def __init__(self, folder: Path, made: Manifest, workers: int) -> None:
        """Takes the data set, its manifest and the number of threads that decode."""
        self._folder = folder
        self._made = made
        self._workers = workers
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)
        self._bar = progress.pictures_bar(sum(split.pictures for split in made.splits.values()), "verifying")

    def __enter__(self) -> ShardChecker:
        """Gives itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the threads and the line of progress."""
        self._pool.shutdown()
        self._bar.close()

    def check_shard(self, split: str, shard: Shard) -> CheckedShard:
        """Reads a shard and checks everything that can be told from it alone.

        Raises:
            OSError: It cannot be read.
        """
        path = self._folder / shard.name
        result = CheckedShard(split, shard, path.stat().st_size)
        largest = tfrecord.largest_data(self._made.image_size)
        digest = hashlib.sha256()
        in_flight: collections.deque[concurrent.futures.Future[list[CheckedRecord]]] = collections.deque()
        for chunk in _chunks(tfrecord.read_records(path, digest, largest), _CHUNK):
            in_flight.append(self._pool.submit(self._check_records, chunk, split, shard.name))
            if len(in_flight) > self._workers * _CHUNKS_IN_FLIGHT:
                self._take(in_flight.popleft().result(), result)
        for future in in_flight:
            self._take(future.result(), result)
        result.sha256 = digest.hexdigest()
        # What it has gained meanwhile was not read.
        result.size = path.stat().st_size
        return result

    def _check_records(self, chunk: list[Record], split: str, shard: str) -> list[CheckedRecord]:
        return [record_checks.check_record(shard, record, split, self._made) for record in chunk]

    def _take(self, checked: list[CheckedRecord], result: CheckedShard) -> None:
        for one in checked:
            result.add(one)
        self._bar.update(len(checked))


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
