"""Pictures at the size at which they are used: one implementation for all, which follows Pillow's filter."""

from __future__ import annotations

import numpy as np
from PIL import Image

try:
    import cykooz_resizer as resizer
except ImportError:
    # The name of the package in its last release for Python 3.9.
    from cykooz import resizer

_TRIANGLE = resizer.ResizeOptions(resizer.ResizeAlg.convolution(resizer.FilterType.bilinear))


def resize(rgbx: np.ndarray, size: int, how: str) -> np.ndarray:
    """Resizes to a square, bilinear with antialiasing: the filter widens with the scale, so every pixel counts.

    Args:
        rgbx: uint8 [height, width, 4], as `Picture.rgbx`.
        size: Side of the result, in pixels.
        how: `stretch` changes the proportions; `crop` takes the square in the middle; `pad` adds black.

    Returns:
        uint8 [size, size, 4].
    """
    height, width = rgbx.shape[:2]
    if how == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _stretched(rgbx[top : top + side, left : left + side], size, size)
    if how == "pad":
        longer = max(height, width)
        inner_height, inner_width = max(1, round(height * size / longer)), max(1, round(width * size / longer))
        top, left = (size - inner_height) // 2, (size - inner_width) // 2
        canvas = np.zeros((size, size, 4), np.uint8)
        canvas[top : top + inner_height, left : left + inner_width] = _stretched(rgbx, inner_width, inner_height)
        return canvas
    return _stretched(rgbx, size, size)


def _stretched(rgbx: np.ndarray, width: int, height: int) -> np.ndarray:
    """Stretches to `width` x `height` by a triangle filter: uint8 [height, width, 4]."""
    if rgbx.shape[:2] == (height, width):
        return rgbx
    target = np.empty((height, width, 4), np.uint8)
    resizer.Resizer().resize_pil(_shared(np.ascontiguousarray(rgbx)), _shared(target), _TRIANGLE)
    return target


def _shared(rgbx: np.ndarray) -> Image.Image:
    """A Pillow image in an array's memory; called CMYK, since of RGBA's channels the last would weigh the others."""
    height, width = rgbx.shape[:2]
    return Image.frombuffer("CMYK", (width, height), rgbx, "raw", "CMYK", 0, 1)
