"""What of a GIF file decides its pixels: its blocks without the extensions before the first frame."""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO

from dogcat.pictures.chunks import MOST_CHUNKS
from dogcat.pictures.file_pieces import Essentials, Piece, TooComplex, joined

_BLOCK = re.compile(rb"[!,;]")
_CONTROL = 0xF9


def essentials_of(file: BinaryIO) -> Essentials:
    """The file without the extensions before the first frame, but the last that tells how to show it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(13)
    at = 13 + (3 << (head[10] & 7) + 1 if len(head) == 13 and head[10] & 0x80 else 0)
    pieces: list[Piece] = [(0, min(at, size))]
    control: Piece = b""
    picture_size = None
    blocks = 0
    while at < size:
        file.seek(at)
        # What is not a block is passed over by decoders.
        match = _BLOCK.search(file.read(2**16))
        if match is None:
            at += 2**16
            continue
        start = at + match.start()
        if match[0] != b"!":
            pieces += [control, (start, size)]
            file.seek(start + 1)
            frame = file.read(8)
            if match[0] == b"," and len(frame) == 8:
                # A frame may reach beyond the screen, which then grows.
                left, top, width, height = struct.unpack("<4H", frame)
                screen_width, screen_height = struct.unpack("<2H", head[6:10])
                picture_size = max(screen_width, left + width), max(screen_height, top + height)
            break
        file.seek(start + 1)
        label = file.read(1)
        at = start + 2
        while True:
            blocks += 1
            if blocks > MOST_CHUNKS:
                raise TooComplex(f"more than {MOST_CHUNKS} blocks before its pixels")
            length = file.read(1)
            if not length or not length[0]:
                at += 1
                break
            at += 1 + length[0]
            file.seek(at)
        if label and label[0] == _CONTROL:
            control = (start, min(at, size))
    return Essentials(joined(file, pieces), 1, size=picture_size)
