"""Pixels -> the bytes of a picture file."""

from __future__ import annotations

import io

import numpy as np
import simplejpeg
from PIL import Image


def encode(pixels: np.ndarray, encoding: str, quality: int, chroma: str) -> bytes:
    """Encodes a picture without metadata.

    Args:
        pixels: uint8 [height, width, 3] or [height, width, 4], RGB or RGBX.
        encoding: `jpeg`, or `png`, which is lossless.
        quality: JPEG quality, 1 to 100.
        chroma: JPEG chroma subsampling, `420` or `444`.
    """
    if encoding == "png":
        buffer = io.BytesIO()
        Image.fromarray(pixels[:, :, :3]).save(buffer, "PNG")
        return buffer.getvalue()
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality, "RGBX"[: pixels.shape[2]], colorsubsampling=chroma, fastdct=False
    )
