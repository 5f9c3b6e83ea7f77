"""What is kept of a picture's file, as pieces of it that read like a file of their own; and why one is refused."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, NamedTuple, Union

# Colour profiles have up to some 3 MB.
MOST_PROFILE_BYTES = 2**24
MOST_TEXT_BYTES = 2**24


class TooComplex(Exception):
    """A file that asks for more work than a picture can need."""


class CutShort(Exception):
    """A file that ends before its picture does."""


class Damaged(Exception):
    """A file that no decoder could read on."""


class Essentials(NamedTuple):
    """A picture's file without what has no pixels.

    Attributes:
        file: What is left, at its beginning.
        orientation: As EXIF or XMP tells it, 1 to 8; 1 where they tell none; None where the decoder is to be asked.
        profile: The colour profile, where it was taken out of the file.
        size: Width and height of a WebP or GIF, whose decoder acts on them before it tells them.
    """

    file: BinaryIO
    orientation: int | None = None
    profile: bytes | None = None
    size: tuple[int, int] | None = None


# Bytes, or a stretch of the file.
Piece = Union[bytes, "tuple[int, int]"]


class _Pieces(io.RawIOBase):
    """Pieces of a file, end to end, as a file."""

    def __init__(self, file: BinaryIO, pieces: list[Piece]) -> None:
        self._file = file
        self._pieces = pieces
        self._starts = [0]
        for piece in pieces:
            length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            self._starts.append(self._starts[-1] + length)
        self._at = 0
        # Pieces are read in their order, mostly.
        self._number = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        self._number = 0
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while self._number < len(self._pieces) and self._at >= self._starts[self._number + 1]:
            self._number += 1
        if self._number == len(self._pieces):
            return 0
        piece = self._pieces[self._number]
        within = self._at - self._starts[self._number]
        length = min(len(buffer), self._starts[self._number + 1] - self._at)
        if isinstance(piece, bytes):
            data = piece[within : within + length]
        else:
            self._file.seek(piece[0] + within)
            data = self._file.read(length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def joined(file: BinaryIO, pieces: list[Piece]) -> BinaryIO:
    """The pieces as a file; neighbours are read as one."""
    merged: list[Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else b""
        if isinstance(piece, tuple) and isinstance(last, tuple) and last[1] == piece[0]:
            merged[-1] = (last[0], piece[1])
        elif piece:
            merged.append(piece)
    return io.BufferedReader(_Pieces(file, merged), 2**16)


def bytes_at(file: BinaryIO, at: int, length: int) -> bytes:
    """The bytes at a place of a file."""
    file.seek(at)
    return file.read(length)
