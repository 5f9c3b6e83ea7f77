from __future__ import annotations

import struct

import numpy as np
from picture_files import answer, encoded, pixels, ramp
from PIL import Image

from dogcat.pictures import rejections


def test_a_gif_is_read_whatever_stands_before_its_first_frame():
    gif = encoded(ramp().quantize(16), "GIF")
    at = gif.index(b",", 13 + 3 * 16)
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * 5000 + b"\0"
    for before in (comment, b"!\xfe\0" * 50_000, b"\0" * 3_000_000, b"!\xf9\4\0\0\0\0\0"):
        np.testing.assert_array_equal(answer(gif[:at] + before + gif[at:]), pixels(gif))
    assert answer(gif[:at] + b"!\xfe\0" * 1_000_000 + gif[at:]) == rejections.TOO_COMPLEX
    assert answer(gif[:at] + b"!\xfe" + b"\1x" * 1_000_000 + b"\0" + gif[at:]) == rejections.TOO_COMPLEX


def test_a_transparent_gif_stays_transparent():
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    gif = encoded(palette, "GIF", transparency=0, comment=b"a comment")
    assert answer(gif)[0, 0].tolist() == [255, 255, 255]


def test_a_gif_whose_frame_is_larger_than_its_screen_is_held_to_the_limit():
    gif = bytearray(encoded(Image.new("L", (20, 20)), "GIF"))
    at = gif.rindex(b",\0\0\0\0")
    gif[at + 5 : at + 9] = struct.pack("<HH", 65_535, 65_535)
    assert answer(bytes(gif)) == rejections.TOO_LARGE
