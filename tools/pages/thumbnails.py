"""Small pictures for pages, made of the files of a folder."""

from __future__ import annotations

import concurrent.futures
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from dogcat.dataset import encoding
from dogcat.dataset.encoding import Rejection
from dogcat.reports import html

_QUALITY = 75


def make(folder: Path, wanted: Iterable[tuple[str, int]], max_pixels: int, workers: int) -> dict[tuple[str, int], str]:
    """Addresses that contain the pictures themselves, for `src`; empty where a picture cannot be read.

    Args:
        folder: The folder that keys are relative to.
        wanted: Key of each picture, and the longest side that it shall have, in pixels.
        max_pixels: Pictures of more pixels are not read.
        workers: Number of threads.
    """
    pairs = sorted(set(wanted))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        made = pool.map(lambda pair: _make(folder, pair[0], max_pixels, pair[1]), pairs)
        return dict(zip(pairs, made))


def _make(folder: Path, key: str, max_pixels: int, side: int) -> str:
    picture = encoding.read_picture(folder, key, max_pixels, side)
    if isinstance(picture, Rejection):
        return ""
    image = Image.fromarray(picture.pixels)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return html.address(buffer.getvalue(), "jpeg")
