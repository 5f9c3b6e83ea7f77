"""Pictures for a page: a picture as JPEG, its heat map laid over it, and where the heat is, in words."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dogcat.core import plot_style
from dogcat.pictures import encoder
from dogcat.reports import html

_SIDE = 240
_QUALITY = 80
# How much of the heat's colour covers the picture where it is hottest.
_COVER = 0.75
_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "middle", "right")


def picture_address(pixels: np.ndarray) -> str:
    """A picture, uint8 [height, width, 3], for `src`."""
    return _address(_small(pixels))


def heat_address(pixels: np.ndarray, heat: np.ndarray) -> str:
    """A picture in grey with a heat map over it, for `src`.

    Args:
        pixels: uint8 [height, width, 3].
        heat: float32 [rows, columns], 0 to 1.
    """
    return _address(with_heat(_small(pixels), heat))


def with_heat(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture in grey with a heat map over it; arguments as for `heat_address`, returns such a picture."""
    small = pixels.astype(np.float32)
    grey = np.repeat(small.mean(axis=2, keepdims=True), 3, axis=2)
    size = (small.shape[1], small.shape[0])
    # The bicubic filter swings beyond its ends.
    spread = np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)
    cover = _COVER * spread[:, :, np.newaxis]
    colours = plot_style.HEAT(spread)[:, :, :3] * 255
    return (grey * (1 - cover) + colours * cover).round().astype(np.uint8)


def place_in_words(heat: np.ndarray) -> str:
    """Where a map, [rows, columns], is hottest: `upper left`, `middle`, ...; `nowhere` where it is 0 all over."""
    if not heat.max():
        return "nowhere"
    row, column = (
        names[int(3 * (index + 0.5) / length)]
        for names, index, length in zip((_ROWS, _COLUMNS), np.unravel_index(heat.argmax(), heat.shape), heat.shape)
    )
    return row if row == column else f"{row} {column}"


def _small(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[0] <= _SIDE:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))


def _address(pixels: np.ndarray) -> str:
    return html.address(encoder.encode(pixels, "jpeg", _QUALITY, "420"), "jpeg")
