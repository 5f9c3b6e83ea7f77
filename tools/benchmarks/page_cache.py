"""Files that are to be read from the disk, though they have just been written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from dogcat.loading.byte_ranges import RangeFile

# Seconds in which a system that is busy forgets a file.
_LONGEST = 10.0


def drop(files: Iterable[Path]) -> None:
    """Asks the system to forget what it has of files in memory."""
    os.sync()
    for path in files:
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def require_dropped(files: Sequence[Path]) -> None:
    """Waits until the system has forgotten files, each of 8 bytes or more.

    Raises:
        ValueError: The file system keeps files in memory.
    """
    deadline = time.monotonic() + _LONGEST
    while kept := [path for path in files if _is_kept(path)]:
        if time.monotonic() > deadline:
            raise ValueError(f"{kept[0]} stays in memory; set TMPDIR to a folder on a disk")
        time.sleep(0.1)
        drop(kept)


def _is_kept(path: Path) -> bool:
    # Several places, since a quick disk may have read a page before the answer is there.
    size = path.stat().st_size
    return all(map(RangeFile(path).is_in_memory, range(0, size, size // 8)))
