from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from picture_files import PROFILE, answer, encoded, exif_of, pixels, ramp, turned
from PIL import Image

from dogcat.pictures import rejections, srgb


def chunk(name, content=b""):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunks(png, *chunks, before=b"IDAT"):
    at = png.index(before) - 4
    return png[:at] + b"".join(chunks) + png[at:]


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "chunks",
    [
        (chunk(b"tEXt", b"Comment\0" + bytes(3 * 2**20)),),
        (chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(70 * 2**20))),),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * (3 * 2**20)),),
        (chunk(b"iCCP", b"name\0\0" + zlib.compress(np.random.default_rng(0).bytes(3 * 2**20))),),
        (chunk(b"iCCP", b"name\0\0" + zlib.compress(PROFILE + bytes(20 * 2**20))),),
        (chunk(b"iCCP", b"name\0\1no such method"),),
        (chunk(b"prVt", bytes(5 * 2**20)),),
        (chunk(b"tIME", b"x")[:-1] + b"?",),
        (chunk(b"tEXt", b"a\0b"),) * 50_000,
        (chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fdAT", b"damaged")),
    ],
    ids=["text", "bomb", "xmp", "profile", "huge profile", "method", "private", "checksum", "50,000", "animation"],
)
def test_a_png_is_read_whatever_its_metadata(chunks, before):
    np.testing.assert_array_equal(answer(with_chunks(encoded(ramp()), *chunks, before=before)), ramp())


def test_a_profile_above_a_mebibyte_still_converts():
    swapped = bytearray(PROFILE)
    # Of the three primaries two change places, as names in the table of tags.
    red, blue = PROFILE.index(b"rXYZ"), PROFILE.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    small = pixels(encoded(ramp(), icc_profile=bytes(swapped)))
    assert np.abs(small.astype(int) - np.asarray(ramp())).max() > 50
    large = with_chunks(encoded(ramp()), chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(swapped) + bytes(2**21))))
    np.testing.assert_array_equal(answer(large), small)
    jpeg = encoded(ramp(), "JPEG", icc_profile=bytes(swapped) + bytes(2**21))
    with Image.open(io.BytesIO(jpeg)) as opened:
        expected = srgb.to_reduced_srgb(opened, None)[:, :, :3]
    np.testing.assert_array_equal(answer(jpeg), expected)


def test_exif_as_imagemagick_writes_it_into_a_png():
    exif = exif_of(6).tobytes()
    text = b"\nexif\n%8d\n" % len(exif) + exif.hex().encode()
    for name, content in ((b"tEXt", text), (b"zTXt", b"\0" + zlib.compress(text))):
        png = with_chunks(turned("PNG"), chunk(name, b"Raw profile type exif\0" + content))
        np.testing.assert_array_equal(answer(png), ramp())
    damaged = with_chunks(encoded(ramp()), chunk(b"tEXt", b"Raw profile type exif\0\n\n\nxyz"))
    np.testing.assert_array_equal(answer(damaged), ramp())


def test_a_png_of_endless_chunks_is_refused():
    png = encoded(ramp())
    for name in (b"tEXt", b"IDAT", b"prIV"):
        assert answer(with_chunks(png, chunk(name) * 500_000)) == rejections.TOO_COMPLEX
