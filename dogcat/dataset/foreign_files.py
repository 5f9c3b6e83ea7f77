"""TFRecord files that other programs wrote: which ones a pattern names, and their records one by one. No TensorFlow.

They are read forwards, whether gzip or not, and never changed.
"""

from __future__ import annotations

import contextlib
import glob
import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from dogcat.core import files
from dogcat.core.checksums import masked_crc32c
from dogcat.core.options import InputError, Options, is_address
from dogcat.core.text import printable
from dogcat.dataset import manifest, tfrecord

# Far more than a picture has; what a damaged or hostile length asks for beyond it is not allocated.
_LARGEST_RECORD = 2**28
_GZIP = b"\x1f\x8b\x08"
_BUFFER_BYTES = 2**20


class ForeignFile(NamedTuple):
    """A file of records, as it was found.

    Attributes:
        path: Where it is.
        is_gzip: Whether it is compressed as a whole.
        bytes: Its size.
        modified: When it was written and when its state changed, in ns, so that one that is written again is known.
    """

    path: Path
    is_gzip: bool
    bytes: int
    modified: tuple[int, int]

    @property
    def identity(self) -> list[str | int]:
        """What no other file has, nor this one once it is written again; plain values."""
        return [self.real_path, self.bytes, *self.modified]

    @property
    def real_path(self) -> str:
        """Where it is, links followed."""
        return os.path.realpath(self.path)


def are_meant(place: str) -> bool:
    """Whether a place is a pattern or a TFRecord file, rather than the folder of a data set.

    Raises:
        InputError: It is a folder of TFRecords that is not a data set, or a pattern at an address.
    """
    if is_address(place):
        if glob.has_magic(place):
            raise InputError(
                f"{place}: TFRecords of another program are read from this machine alone; copy them here, or make a "
                "data set of the pictures"
            )
        return False
    if os.path.isdir(place):
        names = os.listdir(place)
        if manifest.FILE_NAME not in names and any(".tfrecord" in name for name in names):
            raise InputError(
                f"{place} has no {manifest.FILE_NAME}, so it is not a finished data set; TFRecords of another program "
                f"are given by a pattern, like '{place}/*train*'"
            )
        return False
    if not os.path.isfile(place):
        return glob.has_magic(place)
    with files.open_regular(Path(place)) as file:
        return _is_gzip(file.read(tfrecord.HEADER_BYTES)) is not None


def refuse_options_of(place: str, given: dict[str, Any], defaults: type[Options]) -> None:
    """Raises InputError for the first option that was given for TFRecords of another program, where `place` is not."""
    for name, value in given.items():
        if value != getattr(defaults, name):
            raise InputError(
                f"--{name}={value}: goes with TFRecords of another program, and --tfrecords={place} does not name such "
                "files; leave it out, or give their pattern"
            )


def find(pattern: str, flag: str) -> list[ForeignFile]:
    """The files that a pattern names, in the order of their names.

    Args:
        pattern: A path, or one with `*`, `?` or `[...]` in it.
        flag: The flag that gave it, for errors.

    Raises:
        InputError: There is none, or one of them is not a TFRecord file.
    """
    paths = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
    if not paths:
        raise InputError(f"--{flag}={pattern}: no file matches; give TFRecords, like 'folder/train-*.tfrecord'")
    return [_found(Path(path), f"--{flag}={pattern}") for path in paths]


def records_of(file: BinaryIO) -> Iterator[bytes]:
    """The data of each record of a stream that `opened` opened, read forwards; one is in memory at a time.

    Raises:
        ValueError: The next record is damaged; says how.
        OSError: The file cannot be read.
    """
    while header := _read(file, tfrecord.HEADER_BYTES):
        length = int.from_bytes(header[:8], "little")
        if header != tfrecord.frame_header(length):
            cut = len(header) < tfrecord.HEADER_BYTES
            raise ValueError("the file is cut short" if cut else "its length does not match its checksum")
        if length > _LARGEST_RECORD:
            raise ValueError(f"it has {length:,} bytes, more than the {_LARGEST_RECORD:,} that a record may have")
        data = _read(file, length)
        footer = _read(file, tfrecord.FOOTER_BYTES)
        if len(data) + len(footer) < length + tfrecord.FOOTER_BYTES:
            raise ValueError("the file is cut short")
        if footer != struct.pack("<I", masked_crc32c(data)):
            raise ValueError("the data do not match their checksum")
        yield data


@contextlib.contextmanager
def opened(file: ForeignFile) -> Iterator[BinaryIO]:
    """Opens the records of a file, unpacked, for a block."""
    with files.open_regular(file.path, _BUFFER_BYTES) as stream:
        if file.is_gzip:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield stream


def bytes_read(stream: BinaryIO) -> int:
    """How much of a file was read so far, of a gzip file as it is packed."""
    return (stream.fileobj if isinstance(stream, gzip.GzipFile) else stream).tell()


def damaged(path: Path | str, number: int, what: object) -> InputError:
    """What says that a record of a file cannot be used."""
    return InputError(f"{path}: record {number}: {what}; make the file again, or leave it out")


def _read(file: BinaryIO, count: int) -> bytes:
    try:
        return file.read(count)
    except EOFError:
        raise ValueError("the gzip file is cut short") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"the gzip file is damaged ({error})") from error


def _found(path: Path, said: str) -> ForeignFile:
    if path.is_dir():
        raise InputError(f"{said}: {path} is a folder; give a pattern of files alone, like 'folder/train-*.tfrecord'")
    with files.open_regular(path) as file:
        start = file.read(tfrecord.HEADER_BYTES)
        status = os.fstat(file.fileno())
    is_gzip = _is_gzip(start)
    if is_gzip is None:
        raise InputError(
            f"{said}: {path} is not a TFRecord file, since it begins with {printable(repr(start[:8]))}; give a pattern "
            "that matches TFRecords alone, like 'folder/train-*.tfrecord'"
        )
    return ForeignFile(path, is_gzip, status.st_size, (status.st_mtime_ns, status.st_ctime_ns))


def _is_gzip(start: bytes) -> bool | None:
    """Whether a file is compressed, by its first bytes; None for what is not a file of records at all."""
    # First, since a record of some length begins as gzip does.
    if not start or start == tfrecord.frame_header(int.from_bytes(start[:8], "little")):
        return False
    return True if start.startswith(_GZIP) else None
