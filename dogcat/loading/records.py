"""Where the records of a split lie, and what is known of each: told by the indexes beside its shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.core import cache, commands, files, places
from dogcat.core.cache import Entry
from dogcat.core.options import InputError, is_address
from dogcat.core.places import Place
from dogcat.core.progress import pictures_bar
from dogcat.dataset import manifest, shard_index, shard_plan, stored_picture, tfrecord
from dogcat.dataset.manifest import Manifest, Shard
from dogcat.dataset.shard_index import ShardIndex
from dogcat.pictures.labels import UNLABELED

# Bytes of all kept indexes together, those used longest ago go first.
_MOST_KEPT = 2**30


class DamagedShardError(InputError):
    """A shard is not what the manifest says."""

    def __init__(self, path: str, what: str, record: int | None = None) -> None:
        """Takes the file, what is wrong, and the place of the record in the file, where one is concerned."""
        place = "" if record is None else f"record {record}: "
        folder = path.rpartition("/")[0]
        more = f"{commands.spelled('inspect-tfrecords')} {folder} --verify says more"
        if is_address(path):
            more = "copy it there again"
        super().__init__(f"{path} is damaged: {place}{what}; {more}")


class Records(NamedTuple):
    """The records of a split, in the order of the shards.

    Attributes:
        paths: The shards that hold them.
        shard_of: Number of each record's shard in `paths`, int64 [records].
        offsets: Where each begins in it, in bytes; int64 [records].
        lengths: Bytes of its data; int64 [records].
        labels: Its label; int32 [records].
        keys: Its key.
    """

    paths: list[str]
    shard_of: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    keys: list[str]

    def first(self, count: int) -> Records:
        """The first `count` of them."""
        return Records(
            self.paths,
            self.shard_of[:count],
            self.offsets[:count],
            self.lengths[:count],
            self.labels[:count],
            self.keys[:count],
        )

    def number_in_shard(self, place: int) -> int:
        """Which record of its shard is at a place, from 0."""
        return place - int(np.searchsorted(self.shard_of, self.shard_of[place]))

    def pixels(self, place: int) -> np.ndarray:
        """One picture, read and decoded by itself, without TensorFlow: uint8 [height, width, 3].

        Raises:
            InputError: Its record is damaged.
        """
        path = self.paths[self.shard_of[place]]
        start, length = int(self.offsets[place]), int(self.lengths[place])
        framed = places.read_range(places.place_of(path), start, length + tfrecord.FRAME_BYTES)
        wrong = tfrecord.frame_damage(framed, start, length)
        try:
            if wrong:
                raise ValueError(wrong)
            picture = stored_picture.parse_picture(framed[tfrecord.HEADER_BYTES : -tfrecord.FOOTER_BYTES])
            return stored_picture.pixels_of(picture)
        except ValueError as error:
            raise DamagedShardError(path, str(error), self.number_in_shard(place)) from error


def of_split(folder: Place, made: Manifest, split: str) -> Records:
    """The records of a split, of each shard the first `Shard.records`.

    Raises:
        InputError: An index is missing or not what the manifest says.
    """
    shards = [shard for shard in made.splits[split].shards if shard.records]
    for shard, wrong in zip(shards, manifest.wrong_files(folder, shards)):
        if wrong:
            raise DamagedShardError(str(folder / shard.name), f"it {wrong}")
    if all(shard.index for shard in shards):
        found = places.each(lambda shard: shard_index.read(folder, shard), shards, folder)
    elif isinstance(folder, Path):
        found = _made_once(folder, shards)
    else:
        raise InputError(
            f"{folder}: is of the first version of the format, which has no indexes, and is read from a folder of "
            "this machine alone; copy it here"
        )
    indexes = [_checked(index, folder, shard, made, split) for index, shard in zip(found, shards)]
    return joined([str(folder / shard.name) for shard in shards], indexes, [shard.records for shard in shards])


def joined(paths: list[str], indexes: Sequence[ShardIndex], counts: Sequence[int]) -> Records:
    """The first `counts` records of each of some shards, as those of a split."""
    parts = list(zip(indexes, counts))
    nothing = np.empty(0, np.int64)
    return Records(
        paths,
        np.repeat(np.arange(len(paths)), counts),
        np.concatenate([nothing, *(index.offsets[:count] for index, count in parts)]),
        np.concatenate([nothing, *(index.lengths[:count] for index, count in parts)]),
        np.concatenate([np.empty(0, np.int32), *(index.labels[:count] for index, count in parts)]),
        [key for index, count in parts for key in index.keys[:count]],
    )


def _checked(index: ShardIndex, folder: Place, shard: Shard, made: Manifest, split: str) -> ShardIndex:
    """The index, if what it says can be that of a shard of this split."""
    path = shard_index.path_beside(folder / shard.name)
    least = UNLABELED if not made.classes or split == shard_plan.TEST else 0
    wrong = np.flatnonzero((index.labels < least) | (index.labels >= len(made.classes)))
    if wrong.size:
        label = index.labels[wrong[0]]
        raise DamagedShardError(
            str(path), f"its label is {label}, the data set has {len(made.classes)} classes", wrong[0]
        )
    largest = tfrecord.largest_data(made.image_size)
    if index.lengths.max(initial=0) > largest:
        longest = int(index.lengths.argmax())
        what = f"it has {index.lengths[longest]} bytes, more than such a picture can have"
        raise DamagedShardError(str(path), what, longest)
    return index


def _made_once(folder: Path, shards: list[Shard]) -> Iterator[ShardIndex]:
    """Indexes of shards that have none, from the cache, or read once and kept there."""
    kept = cache.cache_folder() / "indexes"
    with pictures_bar(sum(shard.records for shard in shards), "indexing") as progress:
        for shard in shards:
            entry = Entry(kept, [shard.sha256, shard.bytes], shard_index.SUFFIX)
            index = _kept(entry, shard)
            if index is None:
                index = _read_through(folder / shard.name, shard)
                _keep(entry, index)
            progress.update(shard.records)
            yield index


def _keep(entry: Entry, index: ShardIndex) -> None:
    try:
        with entry.writing() as file:
            file.write(index.to_bytes())
    except OSError as error:
        files.note(f"no index is kept, since {entry.path.parent} cannot be written: {error.strerror}")
    cache.remove_oldest(entry.path.parent, shard_index.SUFFIX, _MOST_KEPT)


def _kept(entry: Entry, shard: Shard) -> ShardIndex | None:
    file = entry.open()
    if file is None:
        return None
    with file:
        try:
            return shard_index.parse(file.read(shard.bytes), shard)
        except ValueError:
            entry.say_damaged()
    return None


def _read_through(path: Path, shard: Shard) -> ShardIndex:
    """The index of a shard, from its records.

    Raises:
        InputError: A record is damaged.
    """
    lengths, labels, keys = [], [], []
    for record in tfrecord.read_records(path):
        if record.data is None or not record.trusted:
            raise DamagedShardError(str(path), record.damage, record.number)
        try:
            picture = stored_picture.parse_picture(record.data)
        except ValueError as error:
            raise DamagedShardError(str(path), str(error), record.number) from error
        lengths.append(len(record.data))
        labels.append(picture.label)
        keys.append(picture.key)
    if len(keys) < shard.records:
        raise DamagedShardError(str(path), f"it has {len(keys)} records, the manifest says {shard.records}")
    return ShardIndex(np.array(lengths, np.int64), np.array(labels, np.int64).astype(np.int32), keys)
