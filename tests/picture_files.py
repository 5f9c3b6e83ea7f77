"""Pictures made for tests, as files of any format, and what is read of them."""

from __future__ import annotations

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image, ImageCms

from dogcat.pictures import decode, rejections, resizing
from dogcat.pictures.geometry import MAX_PIXELS

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise_of(side, spread):
    """Grey noise around 128, the same in each run, which `Image.effect_noise` is not."""
    noise = np.random.default_rng(0).normal(128, spread, (side, side))
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


def write_noise(folder, count, size):
    """Pictures of two classes, `count` of each, that take some milliseconds each; two of them are unusable.

    As PNG, which is always decoded whole, so that there is time to interrupt.
    """
    for number in range(count):
        for name in ("cat", "dog"):
            noise_of(150, 20 + number).resize(size).save(folder / f"{name}.{number}.jpg", "PNG", compress_level=1)
    (folder / "cat.3.jpg").write_text("no picture")
    (folder / "dog.7.jpg").write_bytes((folder / "dog.8.jpg").read_bytes()[:5000])


def ramp(width=60, height=40):
    """A picture in which each pixel tells where it is."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 4, y * 6, x + y], -1).astype(np.uint8))


def pixels(data):
    return decode.decode(data, MAX_PIXELS).pixels


def reason(data, max_pixels=MAX_PIXELS):
    with pytest.raises(rejections.RejectedPicture) as caught:
        decode.decode(data, max_pixels)
    assert caught.value.detail
    return caught.value.reason


def photo(width, height):
    """Smooth noise with detail, as a photograph has."""
    noise = noise_of(max(width, height) // 4 + 1, 90)
    channels = [noise.rotate(90 * i).resize((width, height), Image.Resampling.BICUBIC) for i in range(3)]
    return Image.merge("RGB", channels)


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def answer(data, max_pixels=MAX_PIXELS):
    """Pixels or the reason for none, which must come within a second or so."""
    began = time.process_time()
    try:
        found = decode.decode(data, max_pixels).pixels
    except rejections.RejectedPicture as rejected:
        found = rejected.reason
    assert time.process_time() - began < 3
    return found


def turned(format, **options):
    lossless = {"lossless": True} if format == "WEBP" else {}
    return encoded(ramp().transpose(Image.Transpose.ROTATE_90), format, **options, **lossless)


def animated_webp(frames):
    data = encoded(ramp(), "WEBP", save_all=True, append_images=[ramp().rotate(90)], lossless=True)
    start = data.rindex(b"ANMF")
    first = data.index(b"ANMF")
    body = data[8:start] + data[start:] * frames
    assert first < start
    return b"RIFF" + struct.pack("<I", len(body)) + body


def rle_bmp(width, height, runs):
    header = b"BM" + struct.pack("<LLL", 1078 + len(runs), 0, 1078)
    header += struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return header + bytes(1024) + runs


def resized(pixels, size, how="stretch"):
    """The pixels of `resizing.resize`, from an RGB picture: int [size, size, 3]."""
    rgbx = np.asarray(Image.fromarray(np.asarray(pixels)).convert("RGBX"))
    return resizing.resize(rgbx, size, how)[:, :, :3].astype(int)
