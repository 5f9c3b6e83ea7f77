"""JPEG in RGB or grey, decoded by libjpeg-turbo directly; and whether one is cut short."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

import numpy as np
import simplejpeg
from PIL import Image

from dogcat.pictures import memory_limits, srgb
from dogcat.pictures.reduced_scale import jpeg_scale
from dogcat.pictures.rejections import TRUNCATED, RejectedPicture

_JPEG_END = b"\xff\xd9"
# What libjpeg says where the pixels end too early: in the middle of some, or with another segment's marker where one to
# restart from (0xd0 to 0xd7) should be. It goes on from a wrong one of these, and from what is no marker (below 0xc0).
_CUT_SHORT = re.compile("premature end of data segment|found marker 0x(c.|d[89a-f]|[ef].) instead of RST")


def decode_opened(image: Image.Image, file: BinaryIO, size: int | None) -> np.ndarray | None:
    """Decodes a JPEG that Pillow has opened without Pillow; None where that is needed.

    Raises:
        RejectedPicture: Its data end before the picture does, which Pillow fills up with grey.
    """
    file.seek(0)
    data = file.read()
    profile = image.info.get("icc_profile")
    if image.mode == "RGB" or (image.mode == "L" and not profile):
        rgbx = decode_with_turbo(data, *image.size, size)
        if rgbx is not None:
            return srgb.with_profile(rgbx, profile) if profile else rgbx
    try:
        # At the smallest scale, which takes the least time, and with an end, whose lack Pillow tells.
        simplejpeg.decode_jpeg(data + _JPEG_END, "CMYK" if image.mode == "CMYK" else "RGB", min_width=1, min_height=1)
    except ValueError as error:
        if _CUT_SHORT.search(str(error)):
            raise RejectedPicture(TRUNCATED, "the picture's data end before it does") from None
    return None


def decode_with_turbo(data: bytes, width: int, height: int, size: int | None) -> np.ndarray | None:
    """Decodes a JPEG in RGB or grey of this size; None where the general way is needed."""
    scale = jpeg_scale(width, height, size)
    width, height = -(-width // scale), -(-height // scale)
    if not data or width * height * 4 > memory_limits.LARGE_BYTES:
        return None
    try:
        return simplejpeg.decode_jpeg(data, "RGBX", min_width=width, min_height=height)
    except ValueError:
        # Damaged, or harmlessly odd, which Pillow tells apart.
        return None


def small_file(file: BinaryIO) -> bytes:
    """All bytes of a file; none of a large one."""
    length = file.seek(0, os.SEEK_END)
    if length > memory_limits.LARGE_BYTES:
        return b""
    file.seek(0)
    return file.read(length)
