"""A file mapped into memory, of which stretches are read before they are wanted. No TensorFlow."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np

# One of so many stretches is asked for, to tell whether they are in memory.
_ASKED = 8


class MappedFile:
    """A file of which stretches are wanted in any order.

    Attributes:
        content: Its bytes, uint8 [bytes], mapped as long as the array lives. Not to be written.
    """

    def __init__(self, path: Path) -> None:
        """Maps a file that is not empty."""
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115, it is asked what of it is in memory
        # Private, so that it counts as writable: DLPack has no word for what is not.
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
        self.content = np.frombuffer(self._map, np.uint8)

    def expect_jumps(self) -> None:
        """Keeps the system from reading megabytes around each place, which are of no use in a shuffled order."""
        self._map.madvise(mmap.MADV_RANDOM)

    def announce(self, starts: np.ndarray, lengths: np.ndarray) -> None:
        """Has the system read stretches that are wanted soon, if some of them are not in memory.

        Args:
            starts: Where each begins, int64 [stretches].
            lengths: Their bytes, likewise.
        """
        before = starts % mmap.PAGESIZE
        firsts, lengths = (starts - before).tolist(), (lengths + before).tolist()
        # To read all of them ahead that are in memory costs up to a tenth of the rate.
        if not all(map(self._in_memory, firsts[::_ASKED])):
            for first, length in zip(firsts, lengths):
                self._map.madvise(mmap.MADV_WILLNEED, first, length)

    def _in_memory(self, start: int) -> bool:
        try:
            return bool(os.preadv(self._file.fileno(), [bytearray(1)], start, os.RWF_NOWAIT))
        # Also where the system or the file system cannot tell.
        except (OSError, AttributeError):
            return False
