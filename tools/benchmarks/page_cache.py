"""Files that are to be read from the disk, though they have just been written."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

# A system that is busy needs some: what is being read is not forgotten.
_TRIES = 50
_SECONDS_BETWEEN = 0.2


def drop(files: Iterable[Path]) -> None:
    """Asks the system to forget what it has of files in memory."""
    for path in files:
        with open(path, "rb", buffering=0) as file:
            # What is not yet written is not forgotten.
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def require_dropped(files: Sequence[Path]) -> None:
    """Waits until the system has forgotten files.

    Raises:
        ValueError: The file system keeps files in memory.
    """
    for _ in range(_TRIES):
        kept = [path for path in files if in_memory(path).any()]
        if not kept:
            return
        time.sleep(_SECONDS_BETWEEN)
        drop(kept)
    raise ValueError(f"{kept[0]} stays in memory; set TMPDIR to a folder on a disk")


def in_memory(path: Path) -> np.ndarray:
    """Tells which pages of a file, not empty, the system has in memory, without reading any.

    An attempt to read that may not wait would begin to read, and a quick disk has answered before it is over.

    Returns:
        bool [pages].

    Raises:
        OSError: The system cannot tell.
    """
    # Copied on writing, since ctypes gives the address of what may be written alone; nothing is.
    mapped = np.memmap(path, np.uint8, mode="c")
    pages = np.zeros(-(-mapped.size // os.sysconf("SC_PAGE_SIZE")), np.uint8)
    system = ctypes.CDLL(None, use_errno=True)
    asked = ctypes.c_void_p(mapped.ctypes.data), ctypes.c_size_t(mapped.size), ctypes.c_void_p(pages.ctypes.data)
    if system.mincore(*asked):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    return pages & 1 > 0
