"""How a picture is to be turned upright, as EXIF or XMP tells it: 1 to 8, by EXIF's table."""

from __future__ import annotations

import re
import struct

from PIL import Image

# How an array is turned upright for each EXIF orientation: quarter turns counter-clockwise after a mirroring.
MIRRORED = (2, 4, 5, 7)
QUARTER_TURNS = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}

_ORIENTATION = 0x0112
_ORIENTATION_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
EXIF_START = b"Exif\0\0"


def of_metadata(exif: bytes, xmp: bytes) -> int:
    """The orientation that EXIF tells, or else XMP: 1 to 8; 1 where it is out of range or cannot be read."""
    told = _told_by_exif(exif)
    if told is None:
        match = _ORIENTATION_IN_XMP.search(xmp)
        told = int(match[1]) if match else 1
    return told if 1 <= told <= 8 else 1


def _told_by_exif(exif: bytes) -> int | None:
    """The orientation in EXIF's first directory; None where that has none."""
    while exif.startswith(EXIF_START):
        exif = exif[len(EXIF_START) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    (at,) = struct.unpack_from(order + "L", exif, 4)
    told = None
    if at + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(order + "H", exif, at)
    for place in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHL", exif, place)
        if tag == _ORIENTATION and kind in (3, 4):
            value = struct.unpack_from(order + ("H" if kind == 3 else "L"), exif, place + 8)[0]
            told = value if number == 1 else 1
    return told


def of_image(image: Image.Image) -> int:
    """The orientation as Pillow reads it, 1 to 8; what is unreadable or out of range counts as 1, upright."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    # Pillow's EXIF parser raises nearly anything on damaged metadata.
    except Exception:
        return 1
    return orientation if orientation in QUARTER_TURNS else 1
