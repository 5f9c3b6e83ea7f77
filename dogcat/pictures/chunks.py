"""The chunks of which PNG and WebP files are made."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from dogcat.pictures.file_pieces import TooComplex

# What no honest file reaches: a PNG has a chunk for every 8 KiB.
MOST_CHUNKS = 2**17


def walk(file: BinaryIO, at: int, size: int, form: str, behind: int) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG or WebP from `at` on.

    Args:
        file: The file.
        at: Where the first chunk begins.
        size: Where the last one ends.
        form: How length and name stand at a chunk's beginning.
        behind: Bytes behind a chunk's content that belong to it; without any, it is filled to an even length.

    Yields:
        Name, place of the first byte, place behind the last one, which may lie behind the file.
    """
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(min(8, max(0, size - at)))
        if len(head) < 8:
            return
        first, second = struct.unpack(form, head)
        name, length = (second, first) if isinstance(first, int) else (first, second)
        end = at + 8 + length + (behind or length % 2)
        yield name, at, end
        at = end
    if at < size:
        raise TooComplex(f"more than {MOST_CHUNKS} chunks")
