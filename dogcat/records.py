"""TFRecord files: framing with checksums, and shards that appear whole or not at all.

A record is: length (uint64, little-endian), masked CRC-32C of those 8 bytes (uint32), the data, masked
CRC-32C of the data (uint32): tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

FRAME_BYTES = 16


def masked_crc32c(data: bytes) -> int:
    """CRC-32C, rotated and offset as TFRecord files store it (tensorflow/core/lib/hash/crc32c.h)."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """A record as it stands in the file: `data` with its length and checksums, 16 bytes longer."""
    length = struct.pack("<Q", len(data))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc32c(length)),
            data,
            struct.pack("<I", masked_crc32c(data)),
        )
    )


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
        self._temporary = path.with_name(path.name + ".tmp")
        self._file = open(self._temporary, "wb")  # noqa: SIM115, it stays open until finish

    def append(self, framed: bytes, records: int) -> None:
        """Appends records that `frame` made."""
        with _naming(self.path):
            self._file.write(framed)
        self._hash.update(framed)
        self.records += records
        self.bytes += len(framed)

    def finish(self) -> str:
        """Makes the shard durable and gives it its name; returns its sha256 in hex."""
        with _naming(self.path):
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


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds the file's name to what the system says of a write, like a full disk, which comes without one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a small file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with _naming(path), open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
