"""Reads TensorFlow's tables of variables: `variables.index` and the `variables.data-*` beside it.

TensorFlow's own reader trusts what an index says where its checksums are right: it allocates whatever length stands
there, and ends the process where a message in it is damaged. Here every length is bounded by the file that it is about,
and what passes is read by TensorFlow as well.

The index is a table of LevelDB (doc/table_format.md there, tensorflow/core/lib/io/format.cc): blocks of sorted keys
with values, a block of the blocks' places, and a footer. Its first key is empty, of a BundleHeaderProto; the others are
names, each of a BundleEntryProto (tensorflow/core/protobuf/tensor_bundle.proto, core/util/tensor_bundle/).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from dogcat.core import files
from dogcat.core.checksums import masked, masked_crc32c
from dogcat.models.messages import BYTES, DAMAGED, FIXED32, VARINT, fields_of, only, varint

# Far above the index of the deepest network of Keras with its optimizer, 400 KiB, and the names in it.
_MOST_INDEX_BYTES, _LONGEST_NAME = 2**22, 2**12
_LARGEST_RANK, _MOST_ELEMENTS, _MOST_SHARDS = 8, 2**40, 10**5
# The objects that a deep network with its optimizer consists of, with their names, take less than 2 MiB.
_MOST_TEXT_BYTES = 2**24

_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER_BYTES = 48
# Behind each block: how it is compressed, and a checksum.
_TRAILER_BYTES = 5
_UNCOMPRESSED = 0

# The fields of the messages; those that are not listed stand in no file of this program.
_HEADER = {1: VARINT, 2: VARINT, 3: BYTES}
_VERSIONS = {1: VARINT}
_ENTRY = {1: VARINT, 2: BYTES, 3: VARINT, 4: VARINT, 5: VARINT, 6: FIXED32}
_SHAPE = {2: BYTES}
_DIMENSION = {1: VARINT}
_LITTLE_ENDIAN, _PRODUCER = 0, 1

TEXT = "string"
# By their numbers in tensorflow/core/framework/types.proto, with the bytes of an element; those of a text are its own.
_TYPES = {
    **{1: ("float32", 4), 2: ("float64", 8), 14: ("bfloat16", 2), 19: ("float16", 2)},
    **{3: ("int32", 4), 4: ("uint8", 1), 5: ("int16", 2), 6: ("int8", 1), 9: ("int64", 8)},
    **{10: ("bool", 1), 17: ("uint16", 2), 22: ("uint32", 4), 23: ("uint64", 8), 7: (TEXT, 0)},
}


class Entry(NamedTuple):
    """A variable: name of its type, shape, and where its bytes are, in which file, with their masked CRC-32C."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int


class Bundle:
    """Variables on disk.

    Attributes:
        entries: The variables by name, in the order of their names.
    """

    def __init__(self, prefix: Path, largest: int) -> None:
        """Reads an index, and looks for what it tells of in the files beside it.

        Args:
            prefix: What the names of the files have in common, like `variables/variables`.
            largest: The most bytes that a variable other than a text may have.

        Raises:
            InputError: A file is not a regular one, or the index larger than any of a network.
            ValueError: The files are damaged, or TensorFlow would not read them.
            OSError: One cannot be read.
        """
        self._prefix = prefix
        self._shards = 1
        self.entries: dict[str, Entry] = {}
        index = prefix.with_name(f"{prefix.name}.index")
        data = files.read_bounded(index, _MOST_INDEX_BYTES)
        try:
            self._read_index(data, largest)
        except (ValueError, struct.error) as error:
            raise ValueError(f"{index.name} {error if isinstance(error, ValueError) else DAMAGED}") from error
        self._require_room()

    def data(self, name: str) -> bytes:
        """The bytes of a variable, little-endian, or those of a text.

        Raises:
            ValueError: They do not match their checksum.
            OSError: They cannot be read.
        """
        entry = self.entries[name]
        path = self._file(entry.shard)
        with files.naming(path), files.open_regular(path) as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        crc, start = (_crc_of_length(data), varint(data, 0)[1]) if entry.dtype == TEXT else (0, 0)
        if len(data) != entry.size or masked(google_crc32c.extend(crc, data[start:])) != entry.crc:
            raise ValueError(f"{path.name}: the variable {name[-100:]!r} does not match its checksum")
        return data[start + 4 :] if entry.dtype == TEXT else data

    def _file(self, shard: int) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}.data-{shard:05d}-of-{self._shards:05d}")

    def _read_index(self, data: bytes, largest: int) -> None:
        table = _table(data)
        key, value = next(table, (None, b""))
        if key != b"":
            raise ValueError("has no header")
        header = fields_of(value, _HEADER)
        self._shards = only(header, 1)
        version = fields_of(only(header, 3, b""), _VERSIONS)
        layout = only(header, 2), only(version, 1)
        if not 1 <= self._shards < _MOST_SHARDS or layout != (_LITTLE_ENDIAN, _PRODUCER):
            raise ValueError("has a header that TensorFlow does not write here")
        for key, value in table:
            name = key.decode("utf-8")
            try:
                self.entries[name] = _entry(value, self._shards, largest)
            except ValueError as error:
                raise ValueError(f"has the variable {name[-100:]!r}, which {error}") from error

    def _require_room(self) -> None:
        """Raises ValueError where two variables share bytes, or one has bytes outside of its file."""
        shard, end, size = -1, 0, 0
        places = sorted((entry.shard, entry.offset, entry.size, name) for name, entry in self.entries.items())
        for own, offset, length, name in places:
            path = self._file(own)
            if own != shard:
                with files.open_regular(path) as file:
                    shard, end, size = own, 0, file.seek(0, 2)
            if offset < end:
                raise ValueError(f"{path.name}: the variable {name[-100:]!r} shares bytes with another")
            end = offset + length
            if end > size:
                raise ValueError(f"{path.name} is cut off: it has {size:,} bytes, and {name[-100:]!r} ends at {end:,}")
            if self.entries[name].dtype == TEXT:
                with files.open_regular(path) as file:
                    file.seek(offset)
                    _require_text(file.read(min(length, 16)), length, name)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table, in their order.

    Raises:
        ValueError, struct.error: It is damaged.
    """
    footer = data[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or footer[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("is not a table of variables, or cut off")
    data = data[:-_FOOTER_BYTES]
    at, others = 0, []
    for _ in range(2):
        offset, at = varint(footer, at)
        size, at = varint(footer, at)
        others.append(_block(data, offset, size))
    last, end = None, 0
    for bound, place in others[1]:
        offset, at = varint(place, 0)
        size, at = varint(place, at)
        if at != len(place) or offset < end:
            raise ValueError(DAMAGED)
        end = offset + size
        pairs = _block(data, offset, size)
        # By these bounds TensorFlow looks for a key.
        if not pairs or pairs[-1][0] > bound or (last is not None and pairs[0][0] <= last):
            raise ValueError("has keys that are not in order")
        last = bound
        yield from pairs


def _block(data: bytes, offset: int, size: int) -> list[tuple[bytes, bytes]]:
    """Keys and values of a block, in their order."""
    end = offset + size
    if end + _TRAILER_BYTES > len(data):
        raise ValueError(DAMAGED)
    compression, crc = struct.unpack_from("<BI", data, end)
    if masked_crc32c(data[offset : end + 1]) != crc:
        raise ValueError("does not match its checksums")
    if compression != _UNCOMPRESSED:
        raise ValueError("is compressed")
    block = data[offset:end]
    [restarts] = struct.unpack_from("<I", block, size - 4) if size >= 4 else [0]
    end = size - 4 - 4 * restarts
    if not restarts or end < 0:
        raise ValueError(DAMAGED)
    pairs: list[tuple[bytes, bytes]] = []
    key, at = b"", 0
    # Where a key is stored whole.
    whole = {0}
    while at < end:
        start = at
        shared, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or shared + own > _LONGEST_NAME or at + own + length > end:
            raise ValueError(DAMAGED)
        if not shared:
            whole.add(start)
        before, key = key, key[:shared] + block[at : at + own]
        if pairs and key <= before:
            raise ValueError("has keys that are not in order, or one twice")
        at += own + length
        pairs.append((key, block[at - length : at]))
    starts = struct.unpack_from(f"<{restarts}I", block, end)
    if starts[0] or not whole.issuperset(starts) or any(one >= other for one, other in zip(starts, starts[1:])):
        raise ValueError(DAMAGED)
    return pairs


def _entry(data: bytes, shards: int, largest: int) -> Entry:
    """A variable of an index of `shards` files."""
    fields = fields_of(data, _ENTRY)
    kind = _TYPES.get(only(fields, 1))
    if kind is None:
        raise ValueError("has no type of numbers that a model stores")
    dtype, item = kind
    dimensions = fields_of(only(fields, 2, b""), _SHAPE, repeated={2}).get(2, [])
    shape = tuple(only(fields_of(dimension, _DIMENSION), 1) for dimension in dimensions)
    shard, offset, size = (only(fields, number) for number in (3, 4, 5))
    if len(shape) > _LARGEST_RANK or math.prod(max(1, length) for length in shape) > _MOST_ELEMENTS:
        raise ValueError("has a shape that no variable has")
    if dtype == TEXT and (shape or size > _MOST_TEXT_BYTES):
        raise ValueError("is more than one text, or a longer one than TensorFlow writes")
    if dtype != TEXT and math.prod(shape) * item != size:
        raise ValueError(f"has {size:,} bytes, which its shape has not")
    if dtype != TEXT and size > largest:
        raise ValueError(f"has {size:,} bytes, more than any of the model")
    if shard >= shards:
        raise ValueError(f"is in file {shard} of {shards}")
    return Entry(dtype, shape, shard, offset, size, only(fields, 6))


def _require_text(start: bytes, size: int, name: str) -> None:
    """Raises ValueError where a text that is stored in `size` bytes, which begin with `start`, is longer or shorter."""
    length, at = varint(start, 0)
    if at + 4 + length != size or start[at : at + 4] != struct.pack("<I", masked(_crc_of_length(start))):
        raise ValueError(f"the length of the text {name[-100:]!r} is damaged")


def _crc_of_length(text: bytes) -> int:
    return google_crc32c.value(struct.pack("<I", varint(text, 0)[0]))
