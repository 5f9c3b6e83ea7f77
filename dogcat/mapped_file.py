"""Files mapped into memory, of which stretches are read before they are wanted. No TensorFlow.

Where the file system maps none, they are read into memory.
"""

from __future__ import annotations

import errno
import itertools
import mmap
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat import files

# One of so many stretches is asked for, to tell whether they are in memory.
_ASKED = 8
# What Linux reads ahead at a call, wherever a file lies: of more it takes no notice (`force_page_cache_ra`).
_READ_AHEAD_BYTES = 128 * 2**10
_NOT_MAPPED = (*files.UNSUPPORTED, errno.EACCES)


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
        """Maps a file that is not empty.

        Raises:
            OSError: It can be neither mapped nor read; its name is with the error.
        """
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115, it is asked what of it is in memory
        with files.naming(path):
            self._map = _map(self._file, path)
        self.content = np.frombuffer(self._map, np.uint8)

    def expect_jumps(self) -> None:
        """Keeps the system from reading megabytes around each place, which are of no use in a shuffled order."""
        self._map.madvise(mmap.MADV_RANDOM)

    def is_in_memory(self, start: int) -> bool:
        """Whether a byte is; False where the system cannot tell. Linux then begins to read its page."""
        try:
            return bool(os.preadv(self._file.fileno(), [bytearray(1)], start, os.RWF_NOWAIT))
        except (OSError, AttributeError):
            return False

    def read_ahead(self, start: int, length: int) -> None:
        """Has the system read a stretch, without waiting for it."""
        end = start + length
        for at in range(start - start % mmap.PAGESIZE, end, _READ_AHEAD_BYTES):
            self._map.madvise(mmap.MADV_WILLNEED, at, min(_READ_AHEAD_BYTES, end - at))


def _map(file: FileIO, path: Path) -> mmap.mmap:
    """A file's bytes in memory."""
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        if error.errno not in _NOT_MAPPED:
            raise
    try:
        # Which FUSE does for files that it cannot share.
        return mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
    except OSError as error:
        if error.errno not in _NOT_MAPPED:
            raise
    files.note(f"{path.parent} maps no files into memory; they are read into it whole")
    memory = mmap.mmap(-1, os.fstat(file.fileno()).st_size)
    view = memoryview(memory)
    at = 0
    while at < len(view):
        count = file.readinto(view[at:])
        if not count:
            raise OSError(errno.EIO, "became shorter while it was read")
        at += count
    return memory


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

    def announce(self, places: np.ndarray, block: int = 1) -> None:
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
        """Whether each stretch is; bool [places]."""
        # The middle tells, since whoever has looked for a stretch has touched its beginning.
        middles = self.starts[places] + self.lengths[places] // 2
        asked = zip(self.file_of[places].tolist(), middles.tolist())
        return np.array([self.files[file].is_in_memory(middle) for file, middle in asked], bool)

    def _read_ahead(self, first: int, end: int) -> None:
        """Has the system read neighbours, and all between them, in one go where they are of one file."""
        for file, own in itertools.groupby(range(first, end), self.file_of.__getitem__):
            places = list(own)
            start, behind = int(self.starts[places[0]]), int(self.starts[places[-1]] + self.lengths[places[-1]])
            self.files[file].read_ahead(start, behind - start)
