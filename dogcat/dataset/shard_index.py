"""The index of a shard, a file beside it: the length, the label and the key of each record. No TensorFlow.

So a data set is opened without reading its shards. Records lie end to end, so their lengths tell where each begins.
The layout is in docs/format.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dogcat.core import places
from dogcat.core.options import InputError
from dogcat.core.places import AnyPlace, Place
from dogcat.dataset import tfrecord
from dogcat.dataset.manifest import Shard

SUFFIX = ".index"
_COUNT_BYTES = 8


class ShardIndex(NamedTuple):
    """What is known of each record of a shard, in their order.

    Attributes:
        lengths: Bytes of each record's data, int64 [records].
        labels: Label of each, int32 [records].
        keys: Key of each.
    """

    lengths: np.ndarray
    labels: np.ndarray
    keys: list[str]

    @property
    def offsets(self) -> np.ndarray:
        """Where each record begins in the shard, in bytes; int64 [records]."""
        ends = np.cumsum(self.lengths + tfrecord.FRAME_BYTES)
        return ends - self.lengths - tfrecord.FRAME_BYTES

    @property
    def shard_bytes(self) -> int:
        """The size of the shard."""
        return int(self.lengths.sum()) + len(self.lengths) * tfrecord.FRAME_BYTES

    def to_bytes(self) -> bytes:
        """The content of the file: the number of records, then a column after the other, little-endian."""
        keys = list(map(os.fsencode, self.keys))
        columns = (
            np.array([len(keys)], "<u8"),
            self.lengths.astype("<u4"),
            self.labels.astype("<i4"),
            np.array(list(map(len, keys)), "<u4"),
        )
        return b"".join([*(column.tobytes() for column in columns), *keys])


def joined(parts: Iterable[ShardIndex]) -> ShardIndex:
    """The index of records that follow one another, from those of its parts."""
    parts = list(parts)
    return ShardIndex(
        np.concatenate([np.empty(0, np.int64), *(part.lengths for part in parts)]),
        np.concatenate([np.empty(0, np.int32), *(part.labels for part in parts)]),
        [key for part in parts for key in part.keys],
    )


def parse(data: bytes, shard: Shard) -> ShardIndex:
    """Reads the content of the file beside a shard.

    Raises:
        ValueError: It is not that of such a shard.
    """
    records = int.from_bytes(data[:_COUNT_BYTES], "little")
    first_key = _COUNT_BYTES + 3 * 4 * records
    if len(data) < first_key:
        raise ValueError(f"it has {len(data)} bytes, too few for {records} records")
    lengths, labels, key_lengths = (
        np.frombuffer(data, kind, records, _COUNT_BYTES + 4 * records * column)
        for column, kind in enumerate(("<u4", "<i4", "<u4"))
    )
    edges = [first_key, *(first_key + np.cumsum(key_lengths, dtype=np.int64)).tolist()]
    if edges[-1] != len(data):
        raise ValueError(f"its keys end at byte {edges[-1]} of {len(data)}")
    keys = [os.fsdecode(data[start:end]) for start, end in zip(edges, edges[1:])]
    index = ShardIndex(lengths.astype(np.int64), labels.astype(np.int32), keys)
    if index.shard_bytes != shard.bytes or records < shard.records:
        raise ValueError(
            f"it is of {records} records in {index.shard_bytes} bytes, the shard has {shard.records} in {shard.bytes}"
        )
    return index


def read(folder: Place, shard: Shard) -> ShardIndex:
    """Reads the index beside a shard, whose hash the manifest has.

    Raises:
        InputError: It is missing, or not what the manifest says.
        OSError: It cannot be read.
    """
    path = path_beside(folder / shard.name)
    advice = "copy it again, or make the data set again"
    try:
        # Of each record it has less than the record itself.
        data = places.read_bounded(path, shard.bytes + _COUNT_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; {advice}") from None
    if hashlib.sha256(data).hexdigest() != shard.index:
        raise InputError(f"{path} is damaged: its sha256 is not what the manifest says; {advice}")
    try:
        return parse(data, shard)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; {advice}") from error


def path_beside(shard: AnyPlace) -> AnyPlace:
    """Where the index of a shard is.

    TensorFlow Datasets takes whatever ends as a shard does in one word for a shard.
    """
    return shard.with_name(shard.name + SUFFIX)
