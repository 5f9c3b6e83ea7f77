"""Files of a cache: those used longest ago go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def remove_oldest(folder: Path, pattern: str, limit: float) -> None:
    """Removes files, those used longest ago first, until the others have `limit` bytes at most.

    Args:
        folder: The cache's folder, which other processes use too.
        pattern: Of the files' names; each one's time of change is when it was used.
        limit: Bytes that may stay.
    """
    kept = 0
    for status, path in sorted(_with_status(folder, pattern), key=lambda pair: pair[0].st_mtime, reverse=True):
        kept += status.st_size
        if kept > limit:
            path.unlink(missing_ok=True)


def _with_status(folder: Path, pattern: str) -> Iterator[tuple[os.stat_result, Path]]:
    """The files, without those that another process removes meanwhile."""
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            yield path.stat(), path
