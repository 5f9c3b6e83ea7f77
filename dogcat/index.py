"""Where each picture of a split lies in its shards, told by one pass over the records' beginnings. No TensorFlow.

Shards are mapped into memory; lengths are read record by record, and all that stands behind them in all records at
once, so that a page of each record is touched and nothing decoded. What is found must be laid out as the shard tool
writes it: anything else is refused, and no picture is ever taken from a wrong place.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np

from dogcat import examples, raw, records
from dogcat.config import InputError
from dogcat.manifest import Manifest, Shard
from dogcat.mapped_file import MappedFile, MappedStretches, Spans

# Tags of the fields on the way to a value: field number and wire type 2. The list of a feature is of bytes or int64.
_FIRST, _SECOND, _INT64_LIST = 0x0A, 0x12, 0x1A


class ShardIndex:
    """A shard, mapped, and what lies where in it.

    Attributes:
        path: The file.
        file: The file, mapped.
        content: Its bytes, uint8 [bytes].
        data: Where the data of each record are.
        encoded: Where each picture is.
        labels: int32 [records].
    """

    def __init__(self, folder: Path, shard: Shard, layout: raw.Layout | None, image_size: int) -> None:
        """Maps the shard and finds the first `shard.records` pictures of it.

        Args:
            folder: The data set's folder.
            shard: What the manifest says of it.
            layout: Of a shard of raw pixels, what the manifest promises.
            image_size: Height and width of the pictures, in pixels.

        Raises:
            InputError: The file is not what the manifest says.
        """
        self.path = folder / shard.name
        size = os.stat(self.path).st_size
        if size != shard.bytes:
            raise self._damaged(f"it has {size} bytes, the manifest says {shard.bytes}")
        self.file = MappedFile(self.path)
        self.content = self.file.content
        try:
            if layout:
                begins = self._raw_begins(layout, image_size, shard.records)
                self.data = Spans(
                    begins + records.HEADER_BYTES, np.full_like(begins, layout.record_bytes - records.FRAME_BYTES)
                )
                self.encoded = Spans(begins + layout.pixels_offset, np.full_like(begins, raw.picture_bytes(image_size)))
            else:
                self.data = _records(self.content, shard.records)
                self.encoded = self.find(examples.ENCODED)
            self.labels = _varints(self.content, self.find(examples.LABEL).starts)[0].astype(np.int32)
        # A place behind the end of the file is an IndexError.
        except (ValueError, IndexError, struct.error) as error:
            raise self._damaged(str(error)) from error

    def keys(self) -> list[str]:
        """The key of each record."""
        starts, lengths = self.find(examples.FILENAME)
        return [
            os.fsdecode(self.content[start : start + length].tobytes())
            for start, length in zip(starts.tolist(), lengths.tolist())
        ]

    def find(self, wanted: str) -> Spans:
        """Where the value of a feature lies, in all records at once.

        Raises:
            ValueError: A record is not as the shard tool writes it.
        """
        content = self.content
        at, ends = self.data.starts, self.data.starts + self.data.lengths
        at, length = _field(content, at, _FIRST)
        _require((at + length == ends).all(), "a record is not one message")
        while True:
            _require((at < ends).all(), f"a record lacks {wanted}")
            at, length = _field(content, at, _FIRST)
            following = at + length
            at, length = _field(content, at, _FIRST)
            name = content[at[0] : at[0] + length[0]]
            _require((length == len(name)).all(), "records differ in their features")
            _require((content[at[:, None] + np.arange(len(name))] == name).all(), "records differ in their features")
            if name.tobytes() == wanted.encode():
                at, _ = _field(content, at + length, _SECOND)
                at, _ = _field(content, at, _FIRST, _INT64_LIST)
                at, length = _field(content, at, _FIRST)
                _require((at + length == following).all(), f"{wanted} is not one value")
                return Spans(at, length)
            at = following

    def _raw_begins(self, layout: raw.Layout, image_size: int, count: int) -> np.ndarray:
        """Where each of the first `count` records of raw pixels begins, int64 [count].

        Raises:
            ValueError: A record is not of the promised length, or its pixels are not at the promised place.
        """
        pixels_start = raw.pixels_start(image_size)
        pixels_end = layout.pixels_offset + raw.picture_bytes(image_size)
        if layout.pixels_offset < len(pixels_start) or layout.record_bytes < pixels_end:
            raise ValueError(
                f"{layout.record_bytes} bytes, from {layout.pixels_offset} on pixels, hold no picture of {image_size}"
            )
        if len(self.content) % layout.record_bytes:
            raise ValueError(f"its {len(self.content)} bytes are no whole number of records of {layout.record_bytes}")
        begins = np.arange(0, len(self.content), layout.record_bytes)
        # Little is read of each record; to wait for one after the other would take four times as long.
        before_pixels = MappedStretches([self.file], [Spans(begins, np.full_like(begins, layout.pixels_offset))])
        before_pixels.announce(np.arange(len(begins)))
        rows = self.content.reshape(-1, layout.record_bytes)
        if len(rows) < count:
            raise ValueError(f"it holds {len(rows)} records, the manifest says {count}")
        length = records.frame_header(layout.record_bytes - records.FRAME_BYTES)
        for place, wanted in ((0, length), (layout.pixels_offset - len(pixels_start), pixels_start)):
            differ = (rows[:, place : place + len(wanted)] != np.frombuffer(wanted, np.uint8)).any(axis=1)
            if differ.any():
                number = int(differ.argmax())
                expected = f"{layout.record_bytes} bytes with pixels at {layout.pixels_offset}"
                raise ValueError(f"record {number} is not one of {expected}")
        return begins[:count]

    def _damaged(self, what: str) -> InputError:
        folder = self.path.parent
        return InputError(
            f"{self.path} is damaged: {what}; python -m tools.inspect_tfrecords {folder} --verify says where"
        )


def of_split(folder: Path, made: Manifest, split: str) -> list[ShardIndex]:
    """The shards of a split.

    Raises:
        InputError: A shard is not what the manifest says.
    """
    layout = raw.layout_of(made.options)
    return [ShardIndex(folder, shard, layout, made.image_size) for shard in made.splits[split].shards if shard.records]


def _records(content: np.ndarray, count: int) -> Spans:
    """Where the data of the first `count` records lie."""
    starts = np.empty(count, np.int64)
    lengths = np.empty(count, np.int64)
    at = 0
    for number in range(count):
        (length,) = struct.unpack_from("<Q", content.data, at)
        end = at + length + records.FRAME_BYTES
        _require(end <= len(content), f"record {number} ends behind the end of the file")
        starts[number], lengths[number] = at + records.HEADER_BYTES, length
        at = end
    return Spans(starts, lengths)


def _field(content: np.ndarray, at: np.ndarray, *tags: int) -> tuple[np.ndarray, np.ndarray]:
    """Reads tag and length of a field at each place; returns where its bytes begin, and how many they are."""
    _require(np.isin(content[at], tags).all(), "a record is not as tools.make_tfrecords writes it")
    length, at = _varints(content, at + 1)
    _require(((length >= 0) & (length <= len(content))).all(), "a length is damaged")
    return at, length


def _varints(content: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reads a varint at each place: the values, and the places behind them."""
    values = np.zeros(len(at), np.int64)
    going_on = np.ones(len(at), bool)
    for shift in range(0, 70, 7):
        byte = content[at].astype(np.int64)
        values |= np.where(going_on, (byte & 0x7F) << shift, 0)
        at = at + going_on
        going_on &= byte >= 0x80
        if not going_on.any():
            return values, at
    raise ValueError("a number is longer than 10 bytes")


def _require(right: bool | np.bool_, wrong: str) -> None:
    if not right:
        raise ValueError(wrong)
