"""What of a picture's file decides its pixels; the rest, which may be large or endless, no decoder sees.

Files may hold megabytes of text, profiles and earlier versions of a picture, which decoders refuse or spend their time
on. Here the parts of a file are walked through, as a decoder would, but without looking into them; those without
pixels are left out. Where a file asks for more work than any camera or program would, it is refused.
"""

from __future__ import annotations

from typing import BinaryIO

from dogcat.pictures import bmp_runs, gif_blocks, jpeg_segments, png_chunks, tiff_tags, webp_chunks
from dogcat.pictures.file_pieces import Essentials


def of(file: BinaryIO, format_: str) -> Essentials:
    """Takes the essential parts of a picture's file.

    Args:
        file: The file, open.
        format_: As `formats.format_of` tells it.

    Raises:
        TooComplex: It asks for more work than a picture can need.
        CutShort: It ends early.
        Damaged: No decoder could read it.
    """
    take = {
        "JPEG": jpeg_segments.essentials_of,
        "PNG": png_chunks.essentials_of,
        "GIF": gif_blocks.essentials_of,
        "WEBP": webp_chunks.essentials_of,
    }.get(format_)
    if take:
        return take(file)
    if format_ == "TIFF":
        tiff_tags.check(file)
    elif format_ == "BMP":
        bmp_runs.check(file)
    file.seek(0)
    return Essentials(file)
