"""Files that are to be read from the disk, though they have just been written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from dogcat.loading.byte_ranges import RangeFile

# Seconds in which a system that is busy forgets a file.
_LONGEST = 10.0


def drop(paths: Iterable[Path]) -> None:
    """Has the system forget what it has of files in memory.

    Raises:
        ValueError: The file system keeps files in memory.
    """
    os.sync()
    deadline = time.monotonic() + _LONGEST
    for path in paths:
        _ask(path)
        # Several places, since a quick disk may have read a page before the answer is there.
        size = path.stat().st_size
        places = range(0, size, max(1, size // 8))
        while all(map(RangeFile(path).is_in_memory, places)):
            if time.monotonic() > deadline:
                raise ValueError(f"{path} stays in memory; set TMPDIR to a folder on a disk")
            time.sleep(0.1)
            _ask(path)


def _ask(path: Path) -> None:
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
