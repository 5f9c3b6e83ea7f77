"""Bytes of a picture file -> an upright RGB picture of the wanted size, or a named rejection; and back to bytes.

Works on bytes, open files and arrays alone: no paths, no TensorFlow. The shard tool and prediction from files both come
through here, so that a picture is seen the same way in training and in use.

A JPEG in RGB or grey is decoded by libjpeg-turbo directly, everything else by Pillow, which is built on the same
library: the pixels are equal. Resizing is by one implementation for all, and follows Pillow's filter.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import simplejpeg

# Each plugin registers its format when it is imported.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,
    WebPImagePlugin,  # noqa: F401
)

from dogcat.pictures import essentials, jpeg_header

try:
    import cykooz_resizer as resizer
except ImportError:
    # The name of the package in its last release for Python 3.9.
    from cykooz import resizer

# The formats that are read, by content; whatever else Pillow knows (PostScript, fonts, ...) is left out, since decoders
# that nobody needs only widen what a hostile file can reach.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")

# What Pillow calls a JPEG, and one with further pictures behind it, as cameras write them.
_JPEG = ("JPEG", "MPO")

# Why a picture can be rejected.
EMPTY = "empty"
NOT_A_PICTURE = "not_a_picture"
TRUNCATED = "truncated"
TOO_LARGE = "too_large"
TOO_COMPLEX = "too_complex"
DECODER_ERROR = "decoder_error"
UNSUPPORTED_FORMAT = "unsupported_format"
UNSUPPORTED_MODE = "unsupported_mode"

# A JPEG while it is decoded, and a large picture afterwards, is reduced by a power of two that leaves at least this
# many pixels for each wanted one, along each side: enough that the resize after it decides how the picture looks.
_PIXELS_LEFT_FOR_EACH = 2
# Of a file or pixels above this no copies are made: such a file is read while it is decoded, such a picture reduced.
_LARGE_BYTES = 32 * 2**20
# Pixels are converted in tiles of about this side, so that a picture stands in memory once.
_TILE = 1024
# What Pillow takes of memory for each pixel, of one byte a pixel or of four.
_BYTES_A_PIXEL = 4
# WebP's decoder keeps two frames of an animation, and Pillow two copies of one.
_WEBP_BYTES_A_PIXEL = 16
# What a file can need for each pixel at most, in two bytes a channel, with as much again for what is no pixels.
_MOST_BYTES_A_PIXEL = 16
# A progressive JPEG's coefficients are all in memory before its first pixel is.
_COEFFICIENT_BYTES = 2

_JPEG_END = b"\xff\xd9"

_ORIENTATION = 0x0112  # EXIF
# How an array is turned upright for each EXIF orientation: quarter turns counter-clockwise after a mirroring.
_MIRRORED = (2, 4, 5, 7)
_QUARTER_TURNS = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}

# A file that ends early is rejected, not filled up with grey.
ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow warns of odd metadata, which says nothing about the pixels.
warnings.filterwarnings("ignore", module=r"PIL\..*")
# What it logs would be printed where nobody asks for it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_TRIANGLE = resizer.ResizeOptions(resizer.ResizeAlg.convolution(resizer.FilterType.bilinear))

_ONE_AT_A_TIME = threading.Lock()

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


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        rgbx: uint8 [height, width, 4], RGB in sRGB and a byte without meaning, upright; perhaps at a reduced scale.
        width: Width of the original, upright, in pixels.
        height: Height of the original, upright, in pixels.
        format: What the file is by its content, one of `FORMATS` (or MPO, a JPEG of several pictures).
        mode: Pillow's word for the kind of pixels in the file, like RGB, L (grey) or CMYK.
        orientation: The file's EXIF orientation, 1 to 8; 1 where it has none.
    """

    rgbx: np.ndarray
    width: int
    height: int
    format: str
    mode: str
    orientation: int

    @property
    def pixels(self) -> np.ndarray:
        """The same picture as uint8 [height, width, 3]."""
        return self.rgbx[:, :, :3]


def decode(file: bytes | BinaryIO, max_pixels: int, size: int | None = None) -> Picture:
    """Decodes a picture file completely.

    Args:
        file: The whole file, or the file opened at its beginning, which then never is in memory as a whole if it is
            large.
        max_pixels: Width times height above which the picture is rejected. Where decoding takes more than 4 bytes a
            pixel (WebP, progressive JPEG, compressed TIFF), those count: a WebP as four times its pixels.
        size: The side in pixels to which it will be resized: a picture that is much larger comes at a reduced scale,
            which saves memory, and for a JPEG time. None: full scale.

    Returns:
        The picture: turned upright by its EXIF orientation, transparency laid over white; of an animation the first
        frame.

    Raises:
        RejectedPicture: The file is empty, no picture, cut short, too large, too complex or damaged.
        OSError: It cannot be read.
    """
    if isinstance(file, bytes):
        file = io.BytesIO(file)
    # Asked for its size first: a file of the kernel's, of none, might have to be waited for.
    if not file.seek(0, os.SEEK_END):
        raise RejectedPicture(EMPTY, "the file has no bytes")
    file.seek(0)
    start = file.read(essentials.START_BYTES)
    plain = _decode_plain_jpeg(file, max_pixels, size) if start.startswith(jpeg_header.START) else None
    return plain or _decode_any(file, start, max_pixels, size)


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
        return _resize(rgbx[top : top + side, left : left + side], size, size)
    if how == "pad":
        longer = max(height, width)
        inner_height, inner_width = max(1, round(height * size / longer)), max(1, round(width * size / longer))
        top, left = (size - inner_height) // 2, (size - inner_width) // 2
        canvas = np.zeros((size, size, 4), np.uint8)
        canvas[top : top + inner_height, left : left + inner_width] = _resize(rgbx, inner_width, inner_height)
        return canvas
    return _resize(rgbx, size, size)


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


def _decoding_bytes(file: BinaryIO, image: Image.Image) -> int:
    """Memory that decoding takes at most, at any scale, beside the result."""
    width, height = image.size
    if image.format == "WEBP":
        return width * height * _WEBP_BYTES_A_PIXEL
    if image.format == "BMP" and image.tile[0][0] == "bmp_rle":  # type: ignore[attr-defined]
        # Pillow keeps the bytes beside the picture, and older ones those of a jump over 255 rows.
        return width * height * 2 * _BYTES_A_PIXEL + 255 * width
    if image.format in _JPEG and "progressive" in image.info:
        factors = [layer[1:3] for layer in image.layer]  # type: ignore[attr-defined]
        widest, highest = map(max, zip(*factors))
        return width * height * _COEFFICIENT_BYTES * sum(x * y for x, y in factors) // (widest * highest)
    memory = width * height * _BYTES_A_PIXEL
    if image.format == "TIFF" and image.tile[0][0] == "libtiff":  # type: ignore[attr-defined]
        # libtiff maps the file, and decodes a strip or tile beside the picture.
        tags = image.tag_v2  # type: ignore[attr-defined]
        columns = tags.get(TiffImagePlugin.TILEWIDTH, width)
        rows = tags.get(TiffImagePlugin.TILELENGTH, min(height, tags.get(TiffImagePlugin.ROWSPERSTRIP, height)))
        sample_bytes = sum(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) // 8
        memory += file.seek(0, os.SEEK_END) + columns * rows * max(sample_bytes, _BYTES_A_PIXEL)
    return memory


def _reductions(width: int, height: int, size: int | None) -> tuple[int, int]:
    """By how much a picture may be reduced beforehand, across and down: powers of two."""
    if size is None:
        return 1, 1
    across, down = (2 ** max(0, (side // (size * _PIXELS_LEFT_FOR_EACH)).bit_length() - 1) for side in (width, height))
    return across, down


def _orientation(image: Image.Image) -> int:
    """The orientation as Pillow reads it, 1 to 8; what is unreadable or out of range counts as 1, upright."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    # Pillow's EXIF parser raises nearly anything on damaged metadata.
    except Exception:
        return 1
    return orientation if orientation in _QUARTER_TURNS else 1


def _decode_plain_jpeg(file: BinaryIO, max_pixels: int, size: int | None) -> Picture | None:
    """Decodes a JPEG whose header tells no more than its size; None for others, and for one with anything wrong.

    That saves Pillow's look at it, a tenth of the time that a picture of some 400 pixels takes to become a record.
    """
    data = _small_file(file)
    header = jpeg_header.plain_size(data)
    if header is None or header.width * header.height > max_pixels:
        return None
    rgbx = _decode_with_turbo(data, header.width, header.height, size)
    if rgbx is None:
        return None
    return Picture(rgbx, header.width, header.height, "JPEG", "RGB" if header.components == 3 else "L", orientation=1)


def _decode_any(file: BinaryIO, start: bytes, max_pixels: int, size: int | None) -> Picture:
    """Decodes any picture, after asking Pillow what it is; arguments as of `decode`, and the first bytes."""
    format_ = essentials.format_of(start)
    if format_ is None:
        raise RejectedPicture(NOT_A_PICTURE, f"the file begins with {start[:8]!r}")
    if format_ not in FORMATS:
        raise RejectedPicture(UNSUPPORTED_FORMAT, f"{format_} is not read; convert the picture to JPEG or PNG")
    # Those two stand in memory as a whole.
    most = max_pixels * (_BYTES_A_PIXEL if format_ in ("JPEG", "WEBP") else _MOST_BYTES_A_PIXEL) + _LARGE_BYTES
    if file.seek(0, os.SEEK_END) > most:
        raise RejectedPicture(TOO_LARGE, f"the file has more than {most} bytes")
    try:
        parts = essentials.of(file, format_)
    except essentials.TooComplex as error:
        raise RejectedPicture(TOO_COMPLEX, str(error)) from None
    except essentials.CutShort as error:
        raise RejectedPicture(TRUNCATED, str(error)) from None
    except essentials.Damaged as error:
        raise RejectedPicture(DECODER_ERROR, str(error)) from None
    if parts.size:
        width, height = parts.size
        of_each = _WEBP_BYTES_A_PIXEL if format_ == "WEBP" else _BYTES_A_PIXEL
        _require_size(width, height, format_, width * height * of_each, max_pixels)
    try:
        image = _open(parts.file, format_, start)
        memory = _decoding_bytes(file, image)
    except RejectedPicture:
        raise
    except Exception as error:
        raise RejectedPicture(DECODER_ERROR, _one_line(error)) from error
    width, height = image.size
    _require_size(width, height, str(image.format), memory, max_pixels)
    if parts.profile:
        image.info["icc_profile"] = parts.profile
    # A palette may become RGB while it is decoded.
    mode = image.mode
    rgbx = _decode_jpeg(image, parts.file, size) if image.format in _JPEG else None
    if rgbx is None:
        rgbx = _decode_with_pillow(image, size)
    # Pillow, asked before, would decode a picture for it, and what is wrong with it be lost.
    orientation = _orientation(image) if parts.orientation is None else parts.orientation
    if orientation in _MIRRORED:
        rgbx = rgbx[:, ::-1]
    if _QUARTER_TURNS[orientation] % 2:
        width, height = height, width
    upright = np.rot90(rgbx, _QUARTER_TURNS[orientation])
    return Picture(upright, width, height, str(image.format), mode, orientation)


def _open(file: BinaryIO, format_: str, start: bytes) -> Image.Image:
    """Opens a picture by the plugin for it alone: Pillow's limit of pixels, which the host program sets, is not ours.

    Raises:
        RejectedPicture: It is none.
    """
    factory, accept = Image.OPEN[format_]
    # Text says that this Pillow lacks the decoder.
    if accept is None or accept(start) is True:
        file.seek(0)
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
            return factory(file, "")
    raise RejectedPicture(NOT_A_PICTURE, f"the file begins with {start[:8]!r}")


def _require_size(width: int, height: int, format_: str, memory: int, max_pixels: int) -> None:
    """Refuses a picture of too many pixels, or whose decoding takes as much memory as too many."""
    if width * height > max_pixels:
        raise RejectedPicture(TOO_LARGE, f"{width}x{height} is more than {max_pixels} pixels")
    if memory > max_pixels * _BYTES_A_PIXEL:
        of_pixels = f"as {memory // _BYTES_A_PIXEL} pixels of other formats, more than {max_pixels}"
        raise RejectedPicture(TOO_LARGE, f"{width}x{height} {format_} takes as much memory {of_pixels}")


def _decode_jpeg(image: Image.Image, file: BinaryIO, size: int | None) -> np.ndarray | None:
    """Decodes a JPEG that Pillow has opened without Pillow; None where that is needed.

    Raises:
        RejectedPicture: Its data end before the picture does, which Pillow fills up with grey.
    """
    file.seek(0)
    data = file.read()
    profile = image.info.get("icc_profile")
    if image.mode == "RGB" or (image.mode == "L" and not profile):
        rgbx = _decode_with_turbo(data, *image.size, size)
        if rgbx is not None:
            return _with_profile(rgbx, profile) if profile else rgbx
    try:
        # At the smallest scale, which takes the least time, and with an end, whose lack Pillow tells.
        simplejpeg.decode_jpeg(data + _JPEG_END, "CMYK" if image.mode == "CMYK" else "RGB", min_width=1, min_height=1)
    except ValueError as error:
        if "premature end of data segment" in str(error):
            raise RejectedPicture(TRUNCATED, "the picture's data end before it does") from None
    return None


def _with_profile(rgbx: np.ndarray, profile: bytes) -> np.ndarray:
    """Converts pixels from a colour profile to sRGB: uint8 [height, width, 4]."""
    height, width = rgbx.shape[:2]
    image = Image.frombuffer("RGBX", (width, height), rgbx, "raw", "RGBX", 0, 1)
    image.info["icc_profile"] = profile
    return _to_reduced_srgb(image, None)


def _decode_with_turbo(data: bytes, width: int, height: int, size: int | None) -> np.ndarray | None:
    """Decodes a JPEG in RGB or grey of this size; None where the general way is needed."""
    scale = _jpeg_scale(width, height, size)
    width, height = -(-width // scale), -(-height // scale)
    if not data or width * height * 4 > _LARGE_BYTES:
        return None
    try:
        return simplejpeg.decode_jpeg(data, "RGBX", min_width=width, min_height=height)
    except ValueError:
        # Damaged, or harmlessly odd, which Pillow tells apart.
        return None


def _small_file(file: BinaryIO) -> bytes:
    """All bytes of a file; none of a large one."""
    length = file.seek(0, os.SEEK_END)
    if length > _LARGE_BYTES:
        return b""
    file.seek(0)
    return file.read(length)


def _jpeg_scale(width: int, height: int, size: int | None) -> int:
    """By how much a JPEG may be reduced while it is decoded: 1, 2, 4 or 8."""
    return min(8, *_reductions(width, height, size))


def _decode_with_pillow(image: Image.Image, size: int | None) -> np.ndarray:
    """Decodes any picture that Pillow has opened: uint8 [height, width, 4], as it is stored, not yet upright."""
    try:
        scale = _jpeg_scale(*image.size, size)
        if image.format in _JPEG and scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
        with _libtiff_silenced() if image.format == "TIFF" else contextlib.nullcontext():
            image.load()
        return _to_reduced_srgb(image, size)
    except RejectedPicture:
        raise
    # Pillow's decoders raise nearly anything on damaged bytes: OSError, SyntaxError, ValueError, struct.error,
    # zlib.error, IndexError. Each becomes a rejection with its message.
    except Exception as error:
        text = _one_line(error)
        cut_short = "truncated" in text.lower() or "end of file" in text.lower()
        raise RejectedPicture(TRUNCATED if cut_short else DECODER_ERROR, text) from error


def _to_reduced_srgb(image: Image.Image, size: int | None) -> np.ndarray:
    """Converts to RGB in sRGB, and reduces what is large, and much larger than `size`: uint8 [height, width, 4]."""
    large = image.width * image.height * 4 > _LARGE_BYTES
    across, down = _reductions(*image.size, size) if large else (1, 1)
    width, height = -(-image.width // across), -(-image.height // down)
    rgbx = np.empty((height, width, 4), np.uint8)
    # Sides of a tile in pixels of the result.
    columns, rows = -(-_TILE // across), -(-_TILE // down)
    for top, left in itertools.product(range(0, height, rows), range(0, width, columns)):
        right, bottom = min((left + columns) * across, image.width), min((top + rows) * down, image.height)
        box = (left * across, top * down, right, bottom)
        tile = _to_srgb(image if box == (0, 0, *image.size) else image.crop(box))
        rgbx[top : top + rows, left : left + columns, :3] = tile.reduce((across, down))
    return rgbx


@contextlib.contextmanager
def _libtiff_silenced() -> Iterator[None]:
    """Sends standard error nowhere: libtiff prints what is wrong with a file besides failing, whatever Pillow says."""
    with _ONE_AT_A_TIME:
        try:
            kept: int | None = os.dup(2)
        except OSError:
            # It is closed already.
            kept = None
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            if nowhere != 2:
                os.dup2(nowhere, 2)
                os.close(nowhere)
            yield
        finally:
            if kept is None:
                os.close(2)
            else:
                os.dup2(kept, 2)
                os.close(kept)


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


def _resize(rgbx: np.ndarray, width: int, height: int) -> np.ndarray:
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
