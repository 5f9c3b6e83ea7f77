"""What of a WebP file decides its pixels: its chunks without metadata, and of an animation the first frame."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from dogcat.pictures import chunks, exif_orientation
from dogcat.pictures.file_pieces import MOST_PROFILE_BYTES, MOST_TEXT_BYTES, Essentials, Piece, bytes_at, joined

_KEPT = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP")


def essentials_of(file: BinaryIO) -> Essentials:
    """The chunks that decide the pixels, of an animation those of its first frame; see `essentials.of`."""
    pieces: list[Piece] = []
    exif = xmp = b""
    file.seek(0)
    head = file.read(30)
    promised = int.from_bytes(head[4:8], "little") + 8
    size = min(file.seek(0, os.SEEK_END), promised)
    frames = 0
    for name, start, end in chunks.walk(file, 12, size, "<4sI", 0):
        end = min(end, size)
        frames += name == b"ANMF"
        if name == b"EXIF" and end - start <= MOST_TEXT_BYTES:
            exif = bytes_at(file, start + 8, end - start - 8)
        elif name == b"XMP " and end - start <= MOST_TEXT_BYTES:
            xmp = bytes_at(file, start + 8, end - start - 8)
        elif name == b"ANMF" and frames > 1:
            continue
        elif name in _KEPT and not (name == b"ICCP" and end - start > MOST_PROFILE_BYTES):
            pieces.append((start, end))
    kept = sum(end - start for start, end in pieces)
    # A file that is cut short keeps the length that it promises.
    length = kept + 4 if promised <= size else promised - 8
    header = b"RIFF" + struct.pack("<I", length) + head[8:12]
    return Essentials(joined(file, [header, *pieces]), exif_orientation.of_metadata(exif, xmp), size=_size(head))


def _size(head: bytes) -> tuple[int, int] | None:
    """Width and height, from the first 30 bytes."""
    kind = head[12:16]
    if len(head) < 30:
        return None
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    bits = int.from_bytes(head[21:25], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
