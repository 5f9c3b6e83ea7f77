"""Byte ranges of files, read in any order, and asked for before they are wanted. No TensorFlow.

They are read, not mapped: a file that is cut short or fails meanwhile then ends in an error that names it, where a
mapped one ends the process; and some file systems map nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.core import files

# One of so many ranges is asked for, to tell whether they are in memory.
_ASKED = 8
# What Linux reads ahead at a call, wherever a file lies: of more it takes no notice (`force_page_cache_ra`).
_READ_AHEAD_BYTES = 128 * 2**10


class Spans(NamedTuple):
    """Byte ranges of a file: where each begins, and its length; int64 [ranges]."""

    starts: np.ndarray
    lengths: np.ndarray


class RangeFile:
    """A regular file of which byte ranges are wanted; for use in threads.

    Attributes:
        path: Its name.
        size: Its bytes when it was opened.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Raises:
            InputError: It is not a regular file.
            OSError: It cannot be opened.
        """
        self.path = path
        self._file = files.open_regular(path)
        self.size = os.fstat(self._file.fileno()).st_size

    def read(self, start: int, length: int) -> bytes:
        """A byte range.

        Raises:
            ValueError: The file ends before.
            OSError: It cannot be read; its name is with the error.
        """
        with files.naming(self.path):
            data = os.pread(self._file.fileno(), length, start)
        if len(data) != length:
            raise self._ends(start + len(data))
        return data

    def read_into(self, start: int, *parts: np.ndarray) -> None:
        """Reads a byte range into several parts of memory, one after the other.

        Args:
            start: Where it begins.
            parts: uint8, each in one piece.

        Raises:
            ValueError: The file ends before.
            OSError: It cannot be read; its name is with the error.
        """
        with files.naming(self.path):
            count = os.preadv(self._file.fileno(), [memoryview(part) for part in parts], start)
        if count != sum(part.nbytes for part in parts):
            raise self._ends(start + count)

    def _ends(self, end: int) -> ValueError:
        return ValueError(f"it ends at byte {end}, of {self.size} that it had")

    def expect_jumps(self) -> None:
        """Keeps the system from reading megabytes around each place, which are of no use in a shuffled order."""
        self._advise(0, 0, "POSIX_FADV_RANDOM")

    def is_in_memory(self, start: int) -> bool:
        """Whether a byte is; False where the system cannot tell. Linux then begins to read its page."""
        try:
            return bool(os.preadv(self._file.fileno(), [bytearray(1)], start, os.RWF_NOWAIT))
        except (OSError, AttributeError):
            return False

    def read_ahead(self, start: int, length: int) -> None:
        """Has the system read a byte range, without waiting for it."""
        end = start + length
        for at in range(start, end, _READ_AHEAD_BYTES):
            self._advise(at, min(_READ_AHEAD_BYTES, end - at), "POSIX_FADV_WILLNEED")

    def _advise(self, start: int, length: int, advice: str) -> None:
        # Advice alone: not every system takes it, nor every file system.
        with contextlib.suppress(OSError, AttributeError):
            os.posix_fadvise(self._file.fileno(), start, length, getattr(os, advice))


class ByteRanges:
    """A byte range for each of many places, in one of several files, that are wanted in any order.

    Attributes:
        files: The files.
        file_of: The number of each range's file, int64 [ranges].
        starts: Where each begins in its file, int64 [ranges].
        lengths: Their bytes, likewise.
    """

    def __init__(self, files: Sequence[RangeFile], spans: Sequence[Spans]) -> None:
        """Takes the files, and the ranges of each."""
        nothing = np.empty(0, np.int64)
        self.files = files
        self.file_of = np.repeat(np.arange(len(files)), [len(span.starts) for span in spans])
        self.starts = np.concatenate([nothing, *(span.starts for span in spans)])
        self.lengths = np.concatenate([nothing, *(span.lengths for span in spans)])
        for file in files:
            file.expect_jumps()

    def prefetch(self, places: np.ndarray, block: int = 1) -> None:
        """Has the system read those that are wanted soon, if some of them are not in memory.

        Args:
            places: int64 [wanted].
            block: So many neighbours are a block, which is read as a whole.
        """
        if block > 1:
            places = places[~self._are_in_memory(places)]
        elif self._are_in_memory(places[::_ASKED]).all():
            # To read all of them ahead that are in memory costs up to a third of the rate.
            return
        for first in (np.unique(places // block) * block).tolist():
            self._read_ahead(first, min(first + block, len(self.starts)))

    def _are_in_memory(self, places: np.ndarray) -> np.ndarray:
        """Whether each range is; bool [places]."""
        # The middle tells, since whoever has looked for a range has touched its beginning.
        middles = self.starts[places] + self.lengths[places] // 2
        asked = zip(self.file_of[places].tolist(), middles.tolist())
        return np.array([self.files[file].is_in_memory(middle) for file, middle in asked], bool)

    def _read_ahead(self, first: int, end: int) -> None:
        """Has the system read neighbours, and all between them, in one go where they are of one file."""
        for file, own in itertools.groupby(range(first, end), self.file_of.__getitem__):
            places = list(own)
            start, behind = int(self.starts[places[0]]), int(self.starts[places[-1]] + self.lengths[places[-1]])
            self.files[file].read_ahead(start, behind - start)
