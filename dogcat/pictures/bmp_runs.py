"""The run-length coding of a BMP file, and how much of it is too much."""

from __future__ import annotations

import os
from typing import BinaryIO

from dogcat.pictures.file_pieces import TooComplex

# Pillow reads this compression in Python, a run of pixels a step.
MOST_BYTES = 2**23


def check(file: BinaryIO) -> None:
    """Refuses a BMP of more run-length coding than its decoder can take a step each for."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(34)
    compression = int.from_bytes(head[30:34], "little")
    if compression in (1, 2) and size > MOST_BYTES:
        raise TooComplex(f"more than {MOST_BYTES} bytes of run-length coding")
