"""The memory that decoding a picture takes, and which picture takes too much."""

from __future__ import annotations

import os
from typing import BinaryIO

from PIL import Image, TiffImagePlugin

from dogcat.pictures import formats
from dogcat.pictures.rejections import TOO_LARGE, RejectedPicture

# Of a file or pixels above this no copies are made: such a file is read while it is decoded, such a picture reduced.
LARGE_BYTES = 32 * 2**20
# What Pillow takes of memory for each pixel, of one byte a pixel or of four.
BYTES_A_PIXEL = 4
# WebP's decoder keeps two frames of an animation, and Pillow two copies of one.
WEBP_BYTES_A_PIXEL = 16
# What a file can need for each pixel at most, in two bytes a channel, with as much again for what is not pixels.
MOST_BYTES_A_PIXEL = 16
# A progressive JPEG's coefficients are all in memory before its first pixel is.
_COEFFICIENT_BYTES = 2


def decoding_bytes(file: BinaryIO, image: Image.Image) -> int:
    """Memory that decoding takes at most, at any scale, beside the result."""
    width, height = image.size
    if image.format == "WEBP":
        return width * height * WEBP_BYTES_A_PIXEL
    if image.format == "BMP" and image.tile[0][0] == "bmp_rle":  # type: ignore[attr-defined]
        # Pillow keeps the bytes beside the picture, and older ones those of a jump over 255 rows.
        return width * height * 2 * BYTES_A_PIXEL + 255 * width
    if image.format in formats.JPEG and "progressive" in image.info:
        factors = [layer[1:3] for layer in image.layer]  # type: ignore[attr-defined]
        widest, highest = map(max, zip(*factors))
        return width * height * _COEFFICIENT_BYTES * sum(x * y for x, y in factors) // (widest * highest)
    memory = width * height * BYTES_A_PIXEL
    if image.format == "TIFF" and image.tile[0][0] == "libtiff":  # type: ignore[attr-defined]
        # libtiff maps the file, and decodes a strip or tile beside the picture.
        tags = image.tag_v2  # type: ignore[attr-defined]
        columns = tags.get(TiffImagePlugin.TILEWIDTH, width)
        rows = tags.get(TiffImagePlugin.TILELENGTH, min(height, tags.get(TiffImagePlugin.ROWSPERSTRIP, height)))
        sample_bytes = sum(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) // 8
        memory += file.seek(0, os.SEEK_END) + columns * rows * max(sample_bytes, BYTES_A_PIXEL)
    return memory


def require_size(width: int, height: int, format_: str, memory: int, max_pixels: int) -> None:
    """Refuses a picture of too many pixels, or whose decoding takes as much memory as too many."""
    if width * height > max_pixels:
        raise RejectedPicture(TOO_LARGE, f"{width}x{height} is more than {max_pixels} pixels")
    if memory > max_pixels * BYTES_A_PIXEL:
        of_pixels = f"as {memory // BYTES_A_PIXEL} pixels of other formats, more than {max_pixels}"
        raise RejectedPicture(TOO_LARGE, f"{width}x{height} {format_} takes as much memory {of_pixels}")
