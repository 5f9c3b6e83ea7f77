"""Pictures of every format that is read, opened and decoded by Pillow."""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

# Each plugin registers its format when it is imported.
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from dogcat.pictures import formats, srgb
from dogcat.pictures.reduced_scale import jpeg_scale
from dogcat.pictures.rejections import DECODER_ERROR, NOT_A_PICTURE, TRUNCATED, RejectedPicture

# A file that ends early is rejected, not filled up with grey.
ImageFile.LOAD_TRUNCATED_IMAGES = False
# Pillow warns of odd metadata, which says nothing about the pixels.
warnings.filterwarnings("ignore", module=r"PIL\..*")
# What it logs would be printed where nobody asks for it.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_ONE_AT_A_TIME = threading.Lock()


def open_picture(file: BinaryIO, format_: str, start: bytes) -> Image.Image:
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


def decode_opened(image: Image.Image, size: int | None) -> np.ndarray:
    """Decodes any picture that Pillow has opened: uint8 [height, width, 4], as it is stored, not yet upright."""
    try:
        scale = jpeg_scale(*image.size, size)
        if image.format in formats.JPEG and scale > 1:
            image.draft(None, (image.width // scale, image.height // scale))
        with _libtiff_silenced() if image.format == "TIFF" else contextlib.nullcontext():
            image.load()
        return srgb.to_reduced_srgb(image, size)
    except RejectedPicture:
        raise
    # Pillow's decoders raise nearly anything on damaged bytes: OSError, SyntaxError, ValueError, struct.error,
    # zlib.error, IndexError. Each becomes a rejection with its message.
    except Exception as error:
        text = one_line(error)
        cut_short = "truncated" in text.lower() or "end of file" in text.lower()
        raise RejectedPicture(TRUNCATED if cut_short else DECODER_ERROR, text) from error


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


def one_line(error: Exception) -> str:
    """The message of an error of Pillow's, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
