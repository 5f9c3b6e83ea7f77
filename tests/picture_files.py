"""Pictures made for tests, as files of any format, and what is read of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dogcat.pictures import decode
from dogcat.pictures.geometry import MAX_PIXELS


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def ramp(width=60, height=40):
    """A picture in which each pixel tells where it is."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 4, y * 6, x + y], -1).astype(np.uint8))


def pixels(data):
    return decode.decode(data, MAX_PIXELS).pixels


def reason(data, max_pixels=MAX_PIXELS):
    with pytest.raises(decode.RejectedPicture) as caught:
        decode.decode(data, max_pixels)
    assert caught.value.detail
    return caught.value.reason


def photo(width, height):
    """Smooth noise with detail, as a photograph has."""
    noise = Image.effect_noise((max(width, height) // 4 + 1,) * 2, 90)
    channels = [noise.rotate(90 * i).resize((width, height), Image.Resampling.BICUBIC) for i in range(3)]
    return Image.merge("RGB", channels)


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif
