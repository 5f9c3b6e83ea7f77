"""Files mapped into memory, of which stretches are read before they are wanted. No TensorFlow."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

# One of so many stretches is asked for, to tell whether they are in memory.
_ASKED = 8


class Spans(NamedTuple):
    """Stretches of a file: where each begins, and its length, in bytes; int64 [stretches]."""

    starts: np.ndarray
    lengths: np.ndarray


class MappedFile:
    """A file of which stretches are wanted in any order.

    Attributes:
        content: Its bytes, uint8 [bytes], mapped as long as the array lives.
    """

    def __init__(self, path: Path) -> None:
        """Maps a file that is not empty."""
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115, it is asked what of it is in memory
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self.content = np.frombuffer(self._map, np.uint8)

    def expect_jumps(self) -> None:
        """Keeps the system from reading megabytes around each place, which are of no use in a shuffled order."""
        self._map.madvise(mmap.MADV_RANDOM)

    def is_in_memory(self, start: int) -> bool:
        """Whether a byte is; False where the system cannot tell."""
        try:
            return bool(os.preadv(self._file.fileno(), [bytearray(1)], start, os.RWF_NOWAIT))
        except (OSError, AttributeError):
            return False

    def read_ahead(self, start: int, length: int) -> None:
        """Has the system read a stretch, without waiting for it."""
        before = start % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_WILLNEED, start - before, before + length)


class MappedStretches:
    """A stretch for each of many places, in one of several files, that are wanted in any order.

    Attributes:
        files: The files.
        file_of: The number of each stretch's file, int64 [stretches].
        starts: Where each begins in its file, in bytes, int64 [stretches].
        lengths: Their bytes, likewise.
    """

    def __init__(self, files: Sequence[MappedFile], spans: Sequence[Spans]) -> None:
        """Takes the files, and the stretches of each."""
        nothing = np.empty(0, np.int64)
        self.files = files
        self.file_of = np.repeat(np.arange(len(files)), [len(span.starts) for span in spans])
        self.starts = np.concatenate([nothing, *(span.starts for span in spans)])
        self.lengths = np.concatenate([nothing, *(span.lengths for span in spans)])
        for file in files:
            file.expect_jumps()

    def announce(self, places: np.ndarray) -> None:
        """Has the system read those that are wanted soon, if some of them are not in memory.

        Args:
            places: int64 [wanted].
        """
        asked = places[::_ASKED]
        # To read all of them ahead that are in memory costs up to a tenth of the rate.
        stretches = zip(self.file_of[asked].tolist(), self.starts[asked].tolist())
        if all(self.files[file].is_in_memory(start) for file, start in stretches):
            return
        columns = (self.file_of, self.starts, self.lengths)
        for file, start, length in zip(*(column[places].tolist() for column in columns)):
            self.files[file].read_ahead(start, length)
