"""Bytes of a picture file -> an upright RGB picture, or a named rejection.

Works on bytes and open files alone: no paths, no TensorFlow. The shard tool and prediction from files both come
through here, so that a picture is seen the same way in training and in use.

A JPEG in RGB or grey is decoded by libjpeg-turbo directly, everything else by Pillow, which is built on the same
library: the pixels are equal.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO, NamedTuple

import numpy as np

from dogcat.pictures import (
    essentials,
    exif_orientation,
    file_pieces,
    formats,
    jpeg_decoder,
    jpeg_header,
    memory_limits,
    pillow_decoder,
)
from dogcat.pictures.rejections import (
    DECODER_ERROR,
    EMPTY,
    NOT_A_PICTURE,
    TOO_COMPLEX,
    TOO_LARGE,
    TRUNCATED,
    UNSUPPORTED_FORMAT,
    RejectedPicture,
)


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        rgbx: uint8 [height, width, 4], RGB in sRGB and a byte without meaning, upright; perhaps at a reduced scale.
        width: Width of the original, upright, in pixels.
        height: Height of the original, upright, in pixels.
        format: What the file is by its content, one of `formats.FORMATS` (or MPO, a JPEG of several pictures).
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
    start = file.read(formats.START_BYTES)
    plain = _decode_plain_jpeg(file, max_pixels, size) if start.startswith(jpeg_header.START) else None
    return plain or _decode_any(file, start, max_pixels, size)


def _decode_plain_jpeg(file: BinaryIO, max_pixels: int, size: int | None) -> Picture | None:
    """Decodes a JPEG whose header tells no more than its size; None for others, and for one with anything wrong.

    That saves Pillow's look at it, a tenth of the time that a picture of some 400 pixels takes to become a record.
    """
    data = jpeg_decoder.small_file(file)
    header = jpeg_header.plain_size(data)
    if header is None or header.width * header.height > max_pixels:
        return None
    rgbx = jpeg_decoder.decode_with_turbo(data, header.width, header.height, size)
    if rgbx is None:
        return None
    return Picture(rgbx, header.width, header.height, "JPEG", "RGB" if header.components == 3 else "L", orientation=1)


def _decode_any(file: BinaryIO, start: bytes, max_pixels: int, size: int | None) -> Picture:
    """Decodes any picture, after asking Pillow what it is; arguments as of `decode`, and the first bytes."""
    format_ = formats.format_of(start)
    if format_ is None:
        raise RejectedPicture(NOT_A_PICTURE, f"the file begins with {start[:8]!r}")
    if format_ not in formats.FORMATS:
        raise RejectedPicture(UNSUPPORTED_FORMAT, f"{format_} is not read; convert the picture to JPEG or PNG")
    # Those two stand in memory as a whole.
    of_each = memory_limits.BYTES_A_PIXEL if format_ in ("JPEG", "WEBP") else memory_limits.MOST_BYTES_A_PIXEL
    most = max_pixels * of_each + memory_limits.LARGE_BYTES
    if file.seek(0, os.SEEK_END) > most:
        raise RejectedPicture(TOO_LARGE, f"the file has more than {most} bytes")
    try:
        parts = essentials.of(file, format_)
    except file_pieces.TooComplex as error:
        raise RejectedPicture(TOO_COMPLEX, str(error)) from None
    except file_pieces.CutShort as error:
        raise RejectedPicture(TRUNCATED, str(error)) from None
    except file_pieces.Damaged as error:
        raise RejectedPicture(DECODER_ERROR, str(error)) from None
    if parts.size:
        width, height = parts.size
        of_each = memory_limits.WEBP_BYTES_A_PIXEL if format_ == "WEBP" else memory_limits.BYTES_A_PIXEL
        memory_limits.require_size(width, height, format_, width * height * of_each, max_pixels)
    try:
        image = pillow_decoder.open_picture(parts.file, format_, start)
        memory = memory_limits.decoding_bytes(file, image)
    except RejectedPicture:
        raise
    except Exception as error:
        raise RejectedPicture(DECODER_ERROR, pillow_decoder.one_line(error)) from error
    width, height = image.size
    memory_limits.require_size(width, height, str(image.format), memory, max_pixels)
    if parts.profile:
        image.info["icc_profile"] = parts.profile
    # A palette may become RGB while it is decoded.
    mode = image.mode
    rgbx = jpeg_decoder.decode_opened(image, parts.file, size) if image.format in formats.JPEG else None
    if rgbx is None:
        rgbx = pillow_decoder.decode_opened(image, size)
    # Pillow, asked before, would decode a picture for it, and what is wrong with it be lost.
    orientation = exif_orientation.of_image(image) if parts.orientation is None else parts.orientation
    if orientation in exif_orientation.MIRRORED:
        rgbx = rgbx[:, ::-1]
    if exif_orientation.QUARTER_TURNS[orientation] % 2:
        width, height = height, width
    upright = np.rot90(rgbx, exif_orientation.QUARTER_TURNS[orientation])
    return Picture(upright, width, height, str(image.format), mode, orientation)
