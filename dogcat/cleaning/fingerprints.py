"""What tells copies of a picture from other pictures, and what shows that there is nothing in it. No TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dogcat.cleaning import pieces
from dogcat.core.calls import Calls
from dogcat.dataset import encoding
from dogcat.dataset.encoding import Rejection
from dogcat.pictures import resizing

# The side for which pictures are decoded, which for a JPEG takes less time than the whole.
_SIDE = 64
# Side of the grey picture whose neighbouring pixels are compared: 2 x 9 x 8 bits.
_HASH_SIDE = 9
_LUMA = np.array((0.299, 0.587, 0.114), np.float32)


class Fingerprint(NamedTuple):
    """Of one picture.

    Attributes:
        key: Its key.
        width: In pixels, upright.
        height: In pixels, upright.
        contrast: Standard deviation of its luma, 0 (one grey) to 127.5.
        gradients: Whether it gets brighter to the right, and downwards, on a grid: bool [144]. A picture that is
            saved anew, or resized, keeps nearly all of them (Krawetz 2013, "Kind of like that").
    """

    key: str
    width: int
    height: int
    contrast: float
    gradients: np.ndarray


def take(
    folder: Path, keys: Sequence[str], max_pixels: int, workers: int | Calls[Any]
) -> tuple[list[Fingerprint], list[Rejection]]:
    """Reads each picture once.

    Args:
        folder: The folder that keys are relative to.
        keys: The pictures.
        max_pixels: Pictures of more pixels are rejected.
        workers: As of `pieces.of_each`, and so are the errors.

    Returns:
        The fingerprints of the pictures that can be decoded, and the others, both in the order of `keys`.
    """
    taken: list[Fingerprint] = []
    rejected: list[Rejection] = []
    for found in pieces.of_each(_take, folder, keys, max_pixels, workers, "fingerprints"):
        if isinstance(found, Fingerprint):
            taken.append(found)
        else:
            rejected.append(found)
    return taken, rejected


def pixels_digest(folder: Path, key: str, max_pixels: int) -> bytes | None:
    """Hash of a picture's size and all its pixels, upright; None if it can no longer be read."""
    picture = encoding.read_picture(folder, key, max_pixels, None)
    if isinstance(picture, Rejection):
        return None
    return hashlib.sha256(repr(picture.pixels.shape).encode() + picture.pixels.tobytes()).digest()


def _take(folder: Path, key: str, max_pixels: int) -> Fingerprint | Rejection:
    picture = encoding.read_picture(folder, key, max_pixels, _SIDE)
    if isinstance(picture, Rejection):
        return picture
    small = resizing.resize(picture.rgbx, _HASH_SIDE, "stretch")[:, :, :3] @ _LUMA
    gradients = np.concatenate([(np.diff(small, axis=axis) > 0).ravel() for axis in (0, 1)])
    luma = resizing.resize(picture.rgbx, _SIDE, "stretch")[:, :, :3] @ _LUMA
    return Fingerprint(key, picture.width, picture.height, float(luma.std()), gradients)
