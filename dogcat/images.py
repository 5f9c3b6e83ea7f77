"""Bytes of a picture file -> an upright RGB picture of the wanted size, or a named rejection.

Works on bytes alone: no paths, no TensorFlow. The shard tool and prediction from files both come through
here, so that a picture is seen the same way in training and in use.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

# The formats that are read, by content; whatever else Pillow knows (PostScript, fonts, ...) is left out,
# since decoders that nobody needs only widen what a hostile file can reach.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")

# Why a picture can be rejected.
EMPTY = "empty"
NOT_A_PICTURE = "not_a_picture"
TRUNCATED = "truncated"
TOO_LARGE = "too_large"
DECODER_ERROR = "decoder_error"
UNSUPPORTED_MODE = "unsupported_mode"

# Pillow's own limit would warn first and raise at twice its value: ours is one limit, checked before
# any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None
# A file that ends early is rejected, not filled up with grey.
ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow warns of odd metadata, which says nothing about the pixels.
warnings.filterwarnings("ignore", module=r"PIL\..*")

_SRGB = ImageCms.createProfile("sRGB")


class RejectedPicture(Exception):
    """A picture that cannot be used.

    Attributes:
        reason: One of this module's reasons, a single word for counting.
        detail: What exactly is wrong, for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Keeps the reason and the detail."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def decode(data: bytes, max_pixels: int | None = None) -> Image.Image:
    """Decodes a picture file completely.

    Args:
        data: The whole file.
        max_pixels: Width times height above which the picture is rejected; None: no limit.

    Returns:
        The picture in RGB with sRGB colours, turned upright by its EXIF orientation, transparency
        laid over white; of an animation the first frame.

    Raises:
        RejectedPicture: The file is empty, no picture, cut short, too large or damaged.
    """
    if not data:
        raise RejectedPicture(EMPTY, "the file has no bytes")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise RejectedPicture(NOT_A_PICTURE, f"the file begins with {data[:8]!r}") from None
    except Exception as error:
        raise RejectedPicture(DECODER_ERROR, _one_line(error)) from error
    if max_pixels is not None and image.width * image.height > max_pixels:
        size = f"{image.width}x{image.height}"
        raise RejectedPicture(TOO_LARGE, f"{size} is more than {max_pixels} pixels")
    try:
        image.load()
        # Turned before the mode changes, since converting may drop the EXIF data.
        image = ImageOps.exif_transpose(image)
        return _to_srgb(image)
    except RejectedPicture:
        raise
    # Pillow's decoders raise nearly anything on damaged bytes: OSError, SyntaxError, ValueError,
    # struct.error, zlib.error, IndexError. Each becomes a rejection with its message.
    except Exception as error:
        text = _one_line(error)
        cut_short = "truncated" in text.lower() or "end of file" in text.lower()
        raise RejectedPicture(TRUNCATED if cut_short else DECODER_ERROR, text) from error


def resize(image: Image.Image, size: int) -> Image.Image:
    """Stretches an RGB picture to `size` x `size` pixels, bilinear with antialiasing.

    Pillow widens the triangle filter by the scale when it shrinks, so that every source pixel counts.
    """
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR)


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encodes an RGB picture as a JPEG with 4:2:0 chroma and no metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def read_pixels(data: bytes, size: int, max_pixels: int | None = None) -> np.ndarray:
    """Decodes and resizes a picture file: uint8 [size, size, 3], RGB, 0 to 255.

    Raises:
        RejectedPicture: As `decode`.
    """
    return np.asarray(resize(decode(data, max_pixels), size))


def _to_srgb(image: Image.Image) -> Image.Image:
    """Converts any mode to RGB in sRGB."""
    if image.mode == "F":
        raise RejectedPicture(UNSUPPORTED_MODE, "floating-point pixels have no agreed range")
    if image.mode.startswith("I"):
        # 16-bit grey. Pillow's convert would clip at 255 instead of scaling.
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
