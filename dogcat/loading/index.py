"""Where each picture of a split lies in its shards, told by one pass over the records' beginnings. No TensorFlow.

Lengths are read record by record, and all that stands behind them in many records at once, so that little of each
record is read and nothing decoded. What is found must be laid out as the shard tool writes it: anything else is
refused, and no picture is ever taken from a wrong place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NoReturn, TypeVar

import numpy as np

from dogcat.core import commands
from dogcat.core.options import InputError
from dogcat.dataset import example_proto, raw_layout, shard_plan, tfrecord
from dogcat.dataset.manifest import Manifest, Shard
from dogcat.loading.byte_ranges import ByteRanges, RangeFile, Spans
from dogcat.pictures.labels import UNLABELED

# Tags of the fields on the way to a value: field number and wire type 2. The list of a feature is of bytes or int64.
_FIRST, _SECOND, _INT64_LIST = 0x0A, 0x12, 0x1A

_ODD = "it is not as tools.make_tfrecords writes it"

# What stands before an encoded picture, apart from the name of its class; and behind it, the path of its file.
_HEAD_BYTES, _TAIL_BYTES = 512, 8192
# Memory for what is read of many records at once.
_CHUNK_BYTES = 4 * 2**20
# Records are read ahead by so much while their lengths are told.
_AHEAD_BYTES = 8 * 2**20

_Found = TypeVar("_Found")


class DamagedShardError(InputError):
    """A shard is not what the manifest says."""

    def __init__(self, path: Path, what: str, record: int | None = None) -> None:
        """Takes the file, what is wrong, and the place of the record in the file, where one is concerned."""
        place = "" if record is None else f"record {record}: "
        more = f"{commands.spelled('inspect-tfrecords')} {path.parent} --verify says more"
        super().__init__(f"{path} is damaged: {place}{what}; {more}")


class ShardIndex:
    """A shard that is open, and what lies where in it.

    Attributes:
        file: The file.
        data: Where the data of each record are.
        encoded: Where each picture is.
        labels: int32 [records].
    """

    def __init__(self, folder: Path, shard: Shard, made: Manifest, split: str) -> None:
        """Opens the shard and finds the first `shard.records` pictures of it.

        Args:
            folder: The data set's folder.
            shard: What the manifest says of it.
            made: The manifest.
            split: The split that lists it.

        Raises:
            InputError: The file is not what the manifest says.
        """
        self.file = RangeFile(folder / shard.name)
        if self.file.size != shard.bytes:
            raise DamagedShardError(self.file.path, f"it has {self.file.size} bytes, the manifest says {shard.bytes}")
        self._made = made
        self._layout = raw_layout.layout_of(made.options)
        self._labels = range(len(made.classes))
        if not made.classes or split == shard_plan.TEST:
            self._labels = range(UNLABELED, len(made.classes))
        # Of each record: start and length of the data, start and length of the picture, label.
        found = [np.empty((0, 5), np.int64)]
        heads = self._raw_heads(shard.records) if self._layout else self._heads(shard.records)
        first = 0
        for starts, lengths, rows in heads:
            encoded, labels = self._each_right(self._pictures, first, rows, lengths)
            found.append(np.column_stack((starts, lengths, starts + encoded.starts, encoded.lengths, labels)))
            first += len(rows)
        all_of = np.concatenate(found)
        self.data = Spans(all_of[:, 0], all_of[:, 1])
        self.encoded = Spans(all_of[:, 2], all_of[:, 3])
        self.labels = all_of[:, 4].astype(np.int32)

    def keys(self) -> list[str]:
        """The key of each record.

        Raises:
            InputError: The file is not what the manifest says.
        """
        # Names of features are sorted, so that the key stands behind the picture, but for raw pixels, which are last.
        if self._layout:
            starts, lengths = self.data
            width = self._layout.pixels_offset - tfrecord.HEADER_BYTES
        else:
            starts = self.encoded.starts + self.encoded.lengths
            lengths = self.data.starts + self.data.lengths - starts
            width = min(int(lengths.max(initial=1)), _TAIL_BYTES)
        keys: list[str] = []
        for first in range(0, len(starts), _rows(width)):
            part = slice(first, first + _rows(width))
            rows = np.zeros((len(starts[part]), width), np.uint8)
            for number, (start, length) in enumerate(zip(starts[part].tolist(), lengths[part].tolist())):
                self._read_head(first + number, start, rows[number, :length])
            keys += self._each_right(self._keys, first, rows, lengths[part])
        return keys

    def _heads(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of chunks of records: where their data begin, their lengths, and the first bytes of their data."""
        width = _HEAD_BYTES + max((len(os.fsencode(name)) for name in self._made.classes), default=0)
        largest = tfrecord.largest_data(self._made.image_size)
        at = asked = 0
        for first in range(0, count, _rows(width)):
            rows = np.zeros((min(_rows(width), count - first), tfrecord.HEADER_BYTES + width), np.uint8)
            starts, lengths = np.empty((2, len(rows)), np.int64)
            for number, row in enumerate(rows):
                if at + _AHEAD_BYTES // 2 > asked:
                    self.file.read_ahead(asked, min(_AHEAD_BYTES, self.file.size - asked))
                    asked += _AHEAD_BYTES
                self._read_head(first + number, at, row[: max(0, self.file.size - at)])
                header = row[: tfrecord.HEADER_BYTES].tobytes()
                length = int.from_bytes(header[:8], "little")
                if header != tfrecord.frame_header(length):
                    self._refuse(first + number, "its length does not match the checksum")
                if length > largest:
                    self._refuse(first + number, f"it has {length} bytes, more than such a picture can have")
                starts[number], lengths[number] = at + tfrecord.HEADER_BYTES, length
                at += length + tfrecord.FRAME_BYTES
                if at > self.file.size:
                    self._refuse(first + number, "it ends behind the end of the file")
            yield starts, lengths, rows[:, tfrecord.HEADER_BYTES :]

    def _raw_heads(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The same of records of raw pixels, of which all that stands before the pixels is read."""
        assert self._layout
        record_bytes, width = self._layout
        pixels_start = raw_layout.pixels_start(self._made.image_size)
        length = record_bytes - tfrecord.FRAME_BYTES
        for first in range(0, count, _rows(width)):
            begins = np.arange(first, min(first + _rows(width), count)) * record_bytes
            # Little is read of each record; to wait for one after the other would take four times as long.
            ByteRanges([self.file], [Spans(begins, np.full_like(begins, width))]).prefetch(np.arange(len(begins)))
            rows = np.empty((len(begins), width), np.uint8)
            for number, begin in enumerate(begins.tolist()):
                self._read_head(first + number, begin, rows[number])
            for place, wanted in ((0, tfrecord.frame_header(length)), (width - len(pixels_start), pixels_start)):
                differ = (rows[:, place : place + len(wanted)] != np.frombuffer(wanted, np.uint8)).any(axis=1)
                if differ.any():
                    what = f"it is not one of {record_bytes} bytes with pixels at {width}"
                    self._refuse(first + int(differ.argmax()), what)
            starts = begins + tfrecord.HEADER_BYTES
            yield starts, np.full_like(begins, length), rows[:, tfrecord.HEADER_BYTES :]

    def _read_head(self, record: int, start: int, memory: np.ndarray) -> None:
        try:
            self.file.read_into(start, memory)
        except ValueError as error:
            self._refuse(record, str(error))

    def _each_right(
        self, parse: Callable[[_Rows], _Found], first: int, rows: np.ndarray, lengths: np.ndarray
    ) -> _Found:
        """What `parse` finds in records from the `first` on, or a line that names the one that is wrong."""
        # A place behind the end of what was read is an IndexError.
        try:
            return parse(_Rows(rows, lengths))
        except (ValueError, IndexError):
            for number in range(len(rows)):
                try:
                    parse(_Rows(rows[number : number + 1], lengths[number : number + 1]))
                except IndexError:
                    self._refuse(first + number, _ODD)
                except ValueError as error:
                    self._refuse(first + number, str(error))
            self._refuse(first, "it differs in its features from those behind it")

    def _pictures(self, rows: _Rows) -> tuple[Spans, np.ndarray]:
        """Where the pictures are in their records' data, and their labels."""
        at, length = rows.field(rows.begins, _FIRST)
        _require(at + length == rows.ends, "it is not one message")
        labels = rows.integers(rows.find(at, example_proto.LABEL, _INT64_LIST))
        _require(
            (labels >= self._labels.start) & (labels < self._labels.stop),
            f"its label is {labels[0]}, the data set has {len(self._made.classes)} classes",
        )
        encoded = rows.find(at, example_proto.ENCODED, _FIRST)
        return Spans(encoded.starts - rows.begins, encoded.lengths), labels

    def _keys(self, rows: _Rows) -> list[str]:
        at = rows.field(rows.begins, _FIRST)[0] if self._layout else rows.begins
        starts, lengths = rows.find(at, example_proto.FILENAME, _FIRST)
        _require(starts + lengths <= rows.limits, _ODD)
        return [
            os.fsdecode(rows.content[start : start + length].tobytes())
            for start, length in zip(starts.tolist(), lengths.tolist())
        ]

    def _refuse(self, record: int, what: str) -> NoReturn:
        raise DamagedShardError(self.file.path, what, record)


class _Rows:
    """The first bytes of many messages, one in a row; each method raises ValueError or IndexError where one is odd.

    `example_proto.decode_example` reads any message of this kind, but only a whole one, and takes some hundred times as
    long; these are in the order in which the shard tool writes them, and most of each is not read at all.

    Attributes:
        content: uint8 [rows * width].
        begins: Where each row begins in it, int64 [rows].
        limits: Where what was read of each message ends in it, likewise.
        ends: Where the whole of each message would end.
    """

    def __init__(self, rows: np.ndarray, lengths: np.ndarray) -> None:
        """Takes uint8 [rows, width], and the whole length of each message."""
        count, width = rows.shape
        self.content = rows.reshape(-1)
        self.begins = np.arange(count) * width
        self.limits = self.begins + np.minimum(lengths, width)
        self.ends = self.begins + lengths

    def find(self, at: np.ndarray, wanted: str, kind: int) -> Spans:
        """Where the value of a feature lies in `content`, given where the entries of each message begin."""
        while True:
            _require(at < self.ends, f"it lacks {wanted}")
            at, length = self.field(at, _FIRST)
            following = at + length
            at, length = self.field(at, _FIRST)
            size = int(length[0])
            _require((length == size) & (at + size <= self.limits), _ODD)
            name = self.content[at[0] : at[0] + size]
            _require(self.content[at[:, None] + np.arange(size)] == name, _ODD)
            if name.tobytes() == wanted.encode():
                at, _ = self.field(at + size, _SECOND)
                at, _ = self.field(at, kind)
                at, length = self.field(at, _FIRST)
                _require(at + length == following, f"{wanted} is not one value")
                return Spans(at, length)
            at = following

    def integers(self, spans: Spans) -> np.ndarray:
        """The values of features of one integer, int64 [rows]."""
        values, ends = self._varints(spans.starts)
        _require(ends == spans.starts + spans.lengths, _ODD)
        return values

    def field(self, at: np.ndarray, tag: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the bytes of a field begin that itself begins at each place, and how many they are."""
        _require((at < self.limits) & (self.content[at] == tag), _ODD)
        length, at = self._varints(at + 1)
        _require((at <= self.limits) & (length >= 0) & (length <= self.ends - at), _ODD)
        return at, length

    def _varints(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads a varint at each place: the values, and the places behind them."""
        values = np.zeros(len(at), np.int64)
        going_on = np.ones(len(at), bool)
        for shift in range(0, 70, 7):
            byte = self.content[at].astype(np.int64)
            values |= np.where(going_on, (byte & 0x7F) << shift, 0)
            at = at + going_on
            going_on &= byte >= 0x80
            if not going_on.any():
                return values, at
        raise ValueError(_ODD)


def of_split(folder: Path, made: Manifest, split: str) -> list[ShardIndex]:
    """The shards of a split.

    Raises:
        InputError: A shard is not what the manifest says.
    """
    return [ShardIndex(folder, shard, made, split) for shard in made.splits[split].shards if shard.records]


def _rows(width: int) -> int:
    """Number of rows that are read together."""
    return max(1, _CHUNK_BYTES // width)


def _require(right: np.ndarray, wrong: str) -> None:
    if not right.all():
        raise ValueError(wrong)
