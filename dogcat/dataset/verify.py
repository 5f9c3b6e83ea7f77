"""Checks a data set against its manifest: shards, checksums, records, pictures. No TensorFlow."""

from __future__ import annotations

import array
import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from dogcat.core import progress, runtime
from dogcat.core.text import printable
from dogcat.dataset import example_proto, manifest, raw_layout, shard_plan, stored_picture, tfrecord
from dogcat.dataset.manifest import Manifest, Shard
from dogcat.dataset.tfrecord import Record
from dogcat.pictures.labels import UNLABELED

# Records for each task of a thread: enough to hide the cost of handing over, few enough that those in flight stay
# small.
_CHUNK = 16
_CHUNKS_IN_FLIGHT = 3
# So much more than the manifest says, beside as much again, is still read of a shard.
_READ_ALL_THE_SAME = 2**30

_Item = TypeVar("_Item")


class Problem(NamedTuple):
    """Something that is wrong, at one place.

    Attributes:
        shard: Name of the file; the manifest's where a whole split is concerned.
        what: What is wrong.
        record: Place of the record in the shard, from 0; None where the whole file is concerned.
        offset: Where that record begins in the file, in bytes.
        filename: Key of the record's picture, where it can be read.
    """

    shard: str
    what: str
    record: int | None = None
    offset: int | None = None
    filename: str | None = None

    def __str__(self) -> str:
        """The problem on one line."""
        place = [printable(self.shard)]
        if self.record is not None:
            place.append(f"record {self.record} at byte {self.offset}")
        if self.filename is not None:
            place.append(printable(self.filename))
        return f"{', '.join(place)}: {printable(self.what)}"


class CheckedRecord(NamedTuple):
    """What a record turned out to be.

    Attributes:
        number: Its place in the file.
        whole: Whether its data can be trusted.
        label: Its label, if it is one of the data set's; else None.
        key_hash: Hash of its picture's key, if it has one.
        problem: What is wrong with it, or None.
    """

    number: int
    whole: bool
    label: int | None
    key_hash: int | None
    problem: Problem | None


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
            self.key_hashes.append(checked.key_hash)
        if checked.problem:
            self.problems.append(checked.problem)


def check_sizes(folder: Path, made: Manifest) -> list[Problem]:
    """Compares the shards' sizes with the manifest, without reading them."""
    problems = []
    for _, shard in _shards(made):
        wrong = manifest.wrong_file(folder / shard.name, shard)
        if wrong:
            problems.append(Problem(shard.name, wrong))
    return problems


def verify(folder: Path, made: Manifest, workers: int = 0) -> list[Problem]:
    """Reads a data set completely and compares it with its manifest.

    Memory does not grow with the data set but for 16 bytes a record.

    Args:
        folder: The data set.
        made: Its manifest.
        workers: Number of threads that decode; 0: one for each processor core.

    Returns:
        What is wrong, in the order of the shards; each damaged record once.
    """
    problems = list(_foreign_shards(folder, made))
    if not any(part.pictures for part in made.splits.values()):
        problems.append(Problem(manifest.FILE_NAME, "lists no pictures"))
    checked_shards = []
    with _Checker(folder, made, workers or runtime.available_cores()) as checker:
        for split, shard in _shards(made):
            path = folder / shard.name
            # One of another size is read all the same, since that tells more, unless it would take hours.
            if not path.is_file() or path.stat().st_size > 2 * shard.bytes + _READ_ALL_THE_SAME:
                problems.append(Problem(shard.name, manifest.wrong_file(path, shard)))
                continue
            try:
                checked = checker.check_shard(split, shard)
            except OSError as error:
                problems.append(Problem(shard.name, f"cannot be read: {error.strerror}"))
                continue
            problems += [*_check_file(checked, made), *checked.problems]
            checked_shards.append(checked)
    contents = _by_content(checked_shards, made)
    return problems + _duplicate_keys(folder, list(contents.values())) + _check_counts(contents, made)


def check_record(shard: str, record: Record, split: str, made: Manifest) -> CheckedRecord:
    """Checks one record, its picture included.

    Args:
        shard: Name of the file it is from.
        record: The record.
        split: The split that lists the shard.
        made: The manifest.
    """
    label = key_hash = filename = None
    wrong = [record.damage] if record.damage else []
    try:
        if record.data is not None:
            picture = stored_picture.parse_picture(record.data)
            filename = picture.key
            if record.trusted:
                key_hash = _hash_key(picture.key)
                label_is_right, found = _check_picture(picture, split, made)
                found += _check_layout(record.data, made)
                label = picture.label if label_is_right else None
                # The damage of a record is told once, whatever follows from it.
                wrong = wrong or found
    except ValueError as error:
        wrong = wrong or [str(error)]
    problem = Problem(shard, "; ".join(wrong), record.number, record.offset, filename) if wrong else None
    return CheckedRecord(record.number, record.trusted, label, key_hash, problem)


class _Checker:
    """Reads shards in one thread, and checks their records in several; decoding leaves Python's lock."""

    def __init__(self, folder: Path, made: Manifest, workers: int) -> None:
        self._folder = folder
        self._made = made
        self._workers = workers
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)
        self._bar = progress.pictures_bar(sum(split.pictures for split in made.splits.values()), "verifying")

    def __enter__(self) -> _Checker:
        return self

    def __exit__(self, *error: object) -> None:
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
        return [check_record(shard, record, split, self._made) for record in chunk]

    def _take(self, checked: list[CheckedRecord], result: CheckedShard) -> None:
        for one in checked:
            result.add(one)
        self._bar.update(len(checked))


def _check_picture(picture: stored_picture.StoredPicture, split: str, made: Manifest) -> tuple[bool, list[str]]:
    """Compares a picture with the manifest: whether its label is one of the data set's, and what is wrong."""
    wrong = []
    if not picture.key:
        wrong.append(f"{example_proto.FILENAME} is empty")
    size = made.image_size
    if (picture.height, picture.width) != (size, size):
        found = f"{picture.height}x{picture.width}"
        wrong.append(f"{example_proto.HEIGHT} x {example_proto.WIDTH} is {found}, not {size}x{size}")
    if picture.format != made.encoding and picture.format in manifest.FORMATS:
        wrong.append(f"{example_proto.FORMAT} is {picture.format}, the manifest says {made.encoding}")
    label_is_right = 0 <= picture.label < len(made.classes)
    if label_is_right:
        text = made.classes[picture.label]
    else:
        text = ""
        label_is_right = picture.label == UNLABELED and split == shard_plan.TEST
    if not label_is_right:
        wrong.append(f"{example_proto.LABEL} is {picture.label}, the manifest has {len(made.classes)} classes")
    elif picture.text != text:
        found = f"{printable(picture.text)!r}, label {picture.label} is {printable(text)!r}"
        wrong.append(f"{example_proto.TEXT} is {found}")
    try:
        height, width, _ = stored_picture.pixels_of(picture).shape
        if (height, width) != (size, size):
            wrong.append(f"the picture has {height}x{width} pixels, not {size}x{size}")
    except ValueError as error:
        wrong.append(str(error))
    return label_is_right, wrong


def _check_layout(data: bytes, made: Manifest) -> list[str]:
    """What is wrong with the length of a record of raw pixels, and with their place in it."""
    layout = raw_layout.layout_of(made.options)
    if not layout:
        return []
    if len(data) + tfrecord.FRAME_BYTES != layout.record_bytes:
        return [f"has {len(data) + tfrecord.FRAME_BYTES} bytes, the manifest says {layout.record_bytes}"]
    pixels_at = layout.pixels_offset - tfrecord.HEADER_BYTES
    if not data[:pixels_at].endswith(raw_layout.pixels_start(made.image_size)):
        return [f"its pixels do not begin at {layout.pixels_offset}, where the manifest says"]
    return []


def _foreign_shards(folder: Path, made: Manifest) -> Iterator[Problem]:
    listed = {shard.name for _, shard in _shards(made)}
    for path in sorted(folder.glob("*.tfrecord")):
        if path.name not in listed:
            yield Problem(path.name, "is not in the manifest")


def _check_file(checked: CheckedShard, made: Manifest) -> Iterator[Problem]:
    """Compares a file as a whole with the manifest."""
    shard = checked.shard
    if checked.sha256 == shard.sha256 and checked.size == shard.bytes and checked.whole == shard.records:
        return
    owner = next((other for _, other in _shards(made) if other.sha256 == checked.sha256), shard)
    if owner is not shard and checked.sha256 != shard.sha256:
        yield Problem(shard.name, f"has the content of {owner.name}")
        return
    if checked.size != shard.bytes:
        yield Problem(shard.name, f"has {checked.size} bytes, the manifest says {shard.bytes}")
    elif checked.sha256 != shard.sha256:
        yield Problem(shard.name, f"its sha256 is {checked.sha256}, the manifest says {shard.sha256}")
    # A damaged stretch may be a record, or be junk between records.
    if not checked.whole <= shard.records <= checked.whole + checked.damaged:
        found = f"{checked.whole} whole" + (f" and {checked.damaged} damaged" if checked.damaged else "")
        yield Problem(shard.name, f"holds {found} records, the manifest says {shard.records}")


def _by_content(checked_shards: list[CheckedShard], made: Manifest) -> dict[str, CheckedShard]:
    """What was found of each shard of the manifest, by its name, wherever the file lies.

    So two shards that changed places make no duplicates and no wrong counts beside what is said of them, and
    neither does a copy of a shard.
    """
    own = {checked.shard.name: checked for checked in checked_shards if checked.sha256 == checked.shard.sha256}
    names = {shard.sha256: shard.name for _, shard in _shards(made)}
    for checked in checked_shards:
        own.setdefault(names.get(checked.sha256, checked.shard.name), checked)
    return own


def _check_counts(contents: dict[str, CheckedShard], made: Manifest) -> list[Problem]:
    """Compares the number of pictures of each class in each split."""
    problems = []
    for split, part in made.splits.items():
        found: collections.Counter[int] = collections.Counter()
        for shard in part.shards:
            if shard.name in contents:
                found.update(contents[shard.name].labels)
        of_label = dict(enumerate(part.counts)) if made.classes else {UNLABELED: part.pictures}
        expected = collections.Counter(of_label)
        # Records that could not be read, which have been told, may be what is missing.
        unread = max(0, part.pictures - sum(found.values()))
        missing = sum((expected - found).values())
        if found - expected or missing > unread or len(part.counts) != len(made.classes):
            names = dict(enumerate(made.classes))
            counts = ", ".join(
                f"{printable(names.get(label, 'without a label'))} {found[label]} instead of {expected[label]}"
                for label in sorted({*found, *expected})
                if found[label] != expected[label]
            )
            problems.append(Problem(manifest.FILE_NAME, f"the pictures of {split}: {counts or 'no counts'}"))
    return problems


def _duplicate_keys(folder: Path, checked_shards: list[CheckedShard]) -> list[Problem]:
    """Finds pictures whose key an earlier record has."""
    if not checked_shards:
        return []
    hashes = np.concatenate([np.asarray(checked.key_hashes, np.uint64) for checked in checked_shards])
    shard_of = np.repeat(np.arange(len(checked_shards)), [len(checked.key_hashes) for checked in checked_shards])
    number_of = np.concatenate([np.asarray(checked.numbers, np.int64) for checked in checked_shards])
    order = np.argsort(hashes, kind="stable")
    same_as_before = np.flatnonzero(hashes[order][1:] == hashes[order][:-1]) + 1
    # The hashes say where to look; the keys decide.
    suspects: dict[int, set[int]] = collections.defaultdict(set)
    for place in np.union1d(same_as_before, same_as_before - 1):
        suspects[int(shard_of[order[place]])].add(int(number_of[order[place]]))
    problems = []
    first: dict[str, tuple[str, int]] = {}
    for index in sorted(suspects):
        name = checked_shards[index].shard.name
        for record in tfrecord.read_records(folder / name):
            if record.number in suspects[index] and record.data is not None:
                key = stored_picture.parse_picture(record.data).key
                if key in first:
                    what = "the same key as {}, record {}".format(*first[key])
                    problems.append(Problem(name, what, record.number, record.offset, key))
                else:
                    first[key] = (name, record.number)
    return problems


def _hash_key(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(key), digest_size=8).digest(), "little")


def _shards(made: Manifest) -> Iterator[tuple[str, Shard]]:
    """Each shard with the name of its split."""
    return ((split, shard) for split, part in made.splits.items() for shard in part.shards)


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
