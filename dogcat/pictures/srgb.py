"""Pixels of any kind and colour profile -> RGB in sRGB, what is large at a reduced scale."""

from __future__ import annotations

import io
import itertools

import numpy as np
from PIL import Image, ImageCms

from dogcat.pictures import memory_limits, reduced_scale
from dogcat.pictures.rejections import UNSUPPORTED_MODE, RejectedPicture

# Pixels are converted in tiles of about this side, so that a picture stands in memory once.
_TILE = 1024

_SRGB = ImageCms.createProfile("sRGB")


def to_reduced_srgb(image: Image.Image, size: int | None) -> np.ndarray:
    """Converts to RGB in sRGB, and reduces what is large, and much larger than `size`: uint8 [height, width, 4]."""
    large = image.width * image.height * 4 > memory_limits.LARGE_BYTES
    across, down = reduced_scale.reductions(*image.size, size) if large else (1, 1)
    width, height = -(-image.width // across), -(-image.height // down)
    rgbx = np.empty((height, width, 4), np.uint8)
    # Sides of a tile in pixels of the result.
    columns, rows = -(-_TILE // across), -(-_TILE // down)
    for top, left in itertools.product(range(0, height, rows), range(0, width, columns)):
        right, bottom = min((left + columns) * across, image.width), min((top + rows) * down, image.height)
        box = (left * across, top * down, right, bottom)
        tile = _to_srgb(image if box == (0, 0, *image.size) else image.crop(box))
        rgbx[top : top + rows, left : left + columns, :3] = np.asarray(tile.reduce((across, down)))
    return rgbx


def with_profile(rgbx: np.ndarray, profile: bytes) -> np.ndarray:
    """Converts pixels from a colour profile to sRGB: uint8 [height, width, 4]."""
    height, width = rgbx.shape[:2]
    image = Image.frombuffer("RGBX", (width, height), rgbx, "raw", "RGBX", 0, 1)
    image.info["icc_profile"] = profile
    return to_reduced_srgb(image, None)


def _to_srgb(image: Image.Image) -> Image.Image:
    """Converts any mode to RGB in sRGB."""
    if image.mode == "F":
        raise RejectedPicture(UNSUPPORTED_MODE, "floating-point pixels have no agreed range")
    if image.mode.startswith("I"):
        # 16-bit grey. Pillow's convert would clip at 255 instead of scaling.
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 65535:
            raise RejectedPicture(UNSUPPORTED_MODE, "32-bit pixels have no agreed range")
        grey = grey.astype(np.uint32)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "RGBX":
        image = image.convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        canvas = Image.new("RGBA", image.size, "white")
        canvas.info = image.info
        image = Image.alpha_composite(canvas, image).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "CMYK", "L"):
        image = _apply_profile(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Converts from the embedded ICC profile to sRGB; a profile that is unusable is ignored."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        # Viewers do the same: a broken profile, or one for another colour space, is as good as none.
        return image
    return image if converted is None else converted
