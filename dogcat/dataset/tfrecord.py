"""TFRecord files: framing with checksums, and shards that appear whole or not at all.

A record is: length (uint64, little-endian), masked CRC-32C of those 8 bytes (uint32), the data, masked
CRC-32C of the data (uint32): tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from dogcat.core import files
from dogcat.core.checksums import masked_crc32c

FRAME_BYTES = 16
HEADER_BYTES = 12
FOOTER_BYTES = 4

# What is looked through at a time for the next record after a damaged one.
_SCAN_BYTES = 1 << 20
# Data behind a damaged length are read back up to this size, so that a long stretch of junk costs no memory.
_LARGEST_RECOVERED = 64 << 20
# More than an encoder makes of noise, and than all that stands beside a picture.
_BYTES_A_PIXEL = 16
_LARGEST_REST = 1 << 20
# What a system reads at a call.
_LARGEST_DATA = 2**31 - 2**20


def frame(data: bytes) -> bytes:
    """A record as it stands in the file: `data` with its length and checksums, 16 bytes longer."""
    return b"".join((frame_header(len(data)), data, struct.pack("<I", masked_crc32c(data))))


def frame_header(length: int) -> bytes:
    """The 12 bytes in front of data of this length."""
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc32c(packed))


def frame_damage(framed: bytes, start: int, length: int) -> str:
    """What is wrong with a framed record that was read at a place, in words; empty: nothing.

    Args:
        framed: What was read, up to `length + FRAME_BYTES` bytes.
        start: Where it begins, in bytes.
        length: Bytes of its data, as the index says.
    """
    if len(framed) < length + FRAME_BYTES:
        return f"it ends at byte {start + len(framed)}, and the record at {start + length + FRAME_BYTES}"
    if framed[:HEADER_BYTES] != frame_header(length):
        return "its length is not what the index says"
    checksum = masked_crc32c(framed[HEADER_BYTES:-FOOTER_BYTES])
    return "" if struct.pack("<I", checksum) == framed[-FOOTER_BYTES:] else "the data do not match their checksum"


def largest_data(image_size: int) -> int:
    """More bytes than the data of any record of such a picture have, whatever its format."""
    return _BYTES_A_PIXEL * image_size * image_size + _LARGEST_REST


class Digest(Protocol):
    """What `hashlib.sha256()` and its like can do."""

    def update(self, data: bytes, /) -> None:
        """Adds bytes."""


class Record(NamedTuple):
    """A record as it was found in a file.

    Attributes:
        number: Its place in the file, from 0; behind damage, as far as records could be told apart.
        offset: Where it begins in the file, in bytes.
        data: Its data; None where they could not be told from what surrounds them.
        damage: What is wrong, in words; empty if nothing is.
        trusted: Whether `data` match their checksum.
    """

    number: int
    offset: int
    data: bytes | None
    damage: str
    trusted: bool


def read_records(path: Path, digest: Digest | None = None, largest: int = _LARGEST_DATA) -> Iterator[Record]:
    """Reads a file record by record, goes on behind damage, and keeps one record in memory.

    A record whose data are damaged ends where its length says, unless another begins before. Behind a damaged
    length the next record begins at the first offset where a length matches its checksum and fits into the file.
    Each damaged stretch comes as one record.

    Args:
        path: The file.
        digest: Is updated with every byte of the file, in order; complete when the last record was taken.
        largest: Longer data are damage, and are not read into memory.

    Raises:
        InputError: It is not a regular file.
        OSError: The file cannot be read; its name is with the error.
    """
    number = offset = 0
    # Unbuffered: two reads a record, of the data and of what lies between two data, copy each byte once.
    with files.naming(path), files.open_regular(path) as buffered:
        file = _HashedFile(cast(io.FileIO, buffered.raw), digest)
        header = file.read(HEADER_BYTES)
        while header:
            length = _length(header)
            if length is not None and length <= min(largest, file.size - offset - FRAME_BYTES):
                data = file.read(length)
                between = file.read(FOOTER_BYTES + HEADER_BYTES)
                end = offset + FRAME_BYTES + length
                header = between[FOOTER_BYTES:]
                trusted = between[:FOOTER_BYTES] == struct.pack("<I", masked_crc32c(data))
                damage = "" if trusted else "the data do not match their checksum"
                if not trusted:
                    # Where bytes are missing from the data, the next record begins before their end.
                    end = _find_header(file, offset + HEADER_BYTES, end)
                    file.seek(end)
                    header = file.read(HEADER_BYTES)
                yield Record(number, offset, data, damage, trusted)
            else:
                end = _find_header(file, offset + 1, file.size)
                recovered = _data_between(file, offset, end)
                damage = _header_damage(header, file.size - offset, end - offset, recovered)
                yield Record(number, offset, recovered, damage, recovered is not None)
                file.seek(end)
                header = file.read(HEADER_BYTES)
            number += 1
            offset = end


class _HashedFile:
    """A file that is read forwards and, behind damage, once more; each byte is hashed once.

    Attributes:
        size: Size of the file in bytes when it was opened, up to which it is read, however it grows.
    """

    def __init__(self, file: io.FileIO, digest: Digest | None) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._digest = digest
        self._position = 0
        self._hashed = 0

    def seek(self, offset: int) -> None:
        """Goes to an offset up to which everything was read before."""
        self._position = self._file.seek(offset)

    def read(self, count: int) -> bytes:
        """Reads `count` bytes, or those that are left."""
        data = self._file.read(max(0, min(count, self.size - self._position)))
        end = self._position + len(data)
        if self._digest and end > self._hashed:
            self._digest.update(data[self._hashed - self._position :])
            self._hashed = end
        self._position = end
        return data


def _length(header: bytes) -> int | None:
    """The length that a record's first 12 bytes tell, or None if they do not match their checksum."""
    if len(header) < HEADER_BYTES or header[8:] != struct.pack("<I", masked_crc32c(header[:8])):
        return None
    return int.from_bytes(header[:8], "little")


def _find_header(file: _HashedFile, start: int, end: int) -> int:
    """The first offset from `start` on at which an intact record header lies, whose record fits; else `end`."""
    # A length that fits into the file leaves the upper of its 8 bytes zero, which rules out most offsets; 12 zero
    # bytes are no header, and are what a hole in a file looks like.
    low = (file.size.bit_length() + 7) // 8
    may_be_header = re.compile(rb"(?s)(?!\0{12})(?=.{%d}\0{%d}.{4})" % (low, 8 - low))
    file.seek(start)
    window, window_start = b"", start
    while window_start + len(window) < end:
        block = file.read(_SCAN_BYTES)
        if not block:
            break
        window += block
        for match in may_be_header.finditer(window):
            offset = window_start + match.start()
            if offset >= end:
                return end
            length = _length(window[match.start() : match.start() + HEADER_BYTES])
            if length is not None and offset + FRAME_BYTES + length <= file.size:
                return offset
        overlap = window[-(HEADER_BYTES - 1) :]
        window_start += len(window) - len(overlap)
        window = overlap
    return end


def _data_between(file: _HashedFile, offset: int, end: int) -> bytes | None:
    """The data of a record with a damaged length, if what lies up to `end` matches a checksum at its end."""
    length = end - offset - FRAME_BYTES
    if not 0 <= length <= _LARGEST_RECOVERED:
        return None
    file.seek(offset + HEADER_BYTES)
    data = file.read(length)
    return data if file.read(FOOTER_BYTES) == struct.pack("<I", masked_crc32c(data)) else None


def _header_damage(header: bytes, left: int, skipped: int, recovered: bytes | None) -> str:
    """Words for a record that does not begin as one should, or does not fit.

    Args:
        header: Its first 12 bytes, or what is left.
        left: Bytes from its beginning to the end of the file.
        skipped: Bytes from its beginning to the next record.
        recovered: Its data, if they were found.
    """
    if recovered is not None:
        return "the length or its checksum is damaged; the data are intact"
    if left < FRAME_BYTES:
        return f"the last {left} bytes of the file are no record"
    length = _length(header)
    if length is not None and length <= left - FRAME_BYTES:
        return f"the record's length is {length} bytes, more than such a picture can have"
    if length is not None:
        return f"cut short: the record's length is {length} bytes, {left - FRAME_BYTES} are left"
    up_to = "the end of the file" if skipped == left else "the next record"
    return f"the length or its checksum is damaged; {skipped} bytes up to {up_to} are unreadable"


class ShardFile:
    """A shard that is being written, under a temporary name beside its own; a context manager.

    Attributes:
        path: The shard's own name, at which it appears with `finish`.
        records: Number of records so far.
        bytes: Size so far.
    """

    def __init__(self, path: Path) -> None:
        """Opens the temporary file."""
        self.path = path
        self.records = 0
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._temporary = files.temporary_beside(path)
        with files.naming(path):
            self._file = files.create(self._temporary)

    def append(self, framed: bytes, records: int) -> None:
        """Appends records that `frame` made."""
        with files.naming(self.path):
            self._file.write(framed)
        self._hash.update(framed)
        self.records += records
        self.bytes += len(framed)

    def finish(self) -> str:
        """Makes the shard durable and gives it its name; returns its sha256 in hex."""
        with files.naming(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        os.replace(self._temporary, self.path)
        return self._hash.hexdigest()

    def __enter__(self) -> ShardFile:
        """Begins the block after which no temporary file is left."""
        return self

    def __exit__(self, *error: object) -> None:
        """Removes the temporary file, unless `finish` gave it its name."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)
