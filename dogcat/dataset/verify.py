"""Checks a data set against its manifest: shards, checksums, records, pictures. No TensorFlow."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dogcat.core import places, runtime
from dogcat.core.options import InputError
from dogcat.core.places import Place
from dogcat.core.text import printable
from dogcat.dataset import manifest, record_checks, shard_index, stored_picture, tfrecord
from dogcat.dataset.manifest import Manifest, Shard
from dogcat.dataset.problems import Problem
from dogcat.dataset.shard_checks import WRONG_LABEL, CheckedShard, ShardChecker
from dogcat.pictures.labels import UNLABELED

# So much more than the manifest says, beside as much again, is still read of a shard.
_READ_ALL_THE_SAME = 2**30


def check_sizes(folder: Place, made: Manifest) -> list[Problem]:
    """Compares the shards' sizes with the manifest without reading them, and looks for their indexes."""

    def problems_of(shard: Shard) -> list[Problem]:
        path = folder / shard.name
        found = [Problem(shard.name, wrong)] if (wrong := manifest.wrong_file(path, shard)) else []
        index = shard_index.path_beside(path)
        if shard.index and not places.is_file(index):
            found.append(Problem(index.name, "is missing"))
        return found

    shards = [shard for _, shard in _shards(made)]
    return [problem for found in places.each(problems_of, shards, folder) for problem in found]


def verify(folder: Path, made: Manifest, workers: int = 0) -> list[Problem]:
    """Reads a data set completely and compares it with its manifest.

    Memory does not grow with the data set but for 24 bytes a record.

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
    with ShardChecker(folder, made, workers or runtime.available_cores()) as checker:
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
            problems += [*_check_file(checked, made), *_check_index(folder, checked), *checked.problems]
            checked_shards.append(checked)
    contents = _by_content(checked_shards, made)
    return problems + _duplicate_keys(folder, list(contents.values())) + _check_counts(contents, made)


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


def _check_index(folder: Path, checked: CheckedShard) -> Iterator[Problem]:
    """Compares the index beside a shard with the manifest, and with the records, where these are as it says."""
    shard = checked.shard
    if not shard.index:
        return
    path = shard_index.path_beside(folder / shard.name)
    try:
        index = shard_index.read(folder, shard)
    except InputError as error:
        yield Problem(path.name, str(error).removeprefix(str(path)).removeprefix(":").lstrip())
        return
    except OSError as error:
        yield Problem(path.name, f"cannot be read: {error.strerror}")
        return
    if checked.sha256 != shard.sha256 or len(checked.numbers) != shard.records:
        return
    if len(index.keys) != shard.records:
        yield Problem(path.name, f"lists {len(index.keys)} records, {shard.name} has {shard.records}")
        return
    labels = np.asarray(checked.labels_in_order)
    # A record whose label is wrong has been told already.
    labels = np.where(labels == WRONG_LABEL, index.labels, labels)
    found = [checked.lengths, labels, checked.key_hashes]
    listed = [index.lengths, index.labels, np.array([record_checks.hash_key(key) for key in index.keys], np.uint64)]
    for what, of_records, of_index in zip(("length", "label", "key"), found, listed):
        differ = np.flatnonzero(np.asarray(of_records) != of_index)
        if differ.size:
            yield Problem(path.name, f"the {what} of record {differ[0]} is not that of the record in {shard.name}")


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


def _shards(made: Manifest) -> Iterator[tuple[str, Shard]]:
    """Each shard with the name of its split."""
    return ((split, shard) for split, part in made.splits.items() for shard in part.shards)
