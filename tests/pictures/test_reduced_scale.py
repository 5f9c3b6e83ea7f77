from __future__ import annotations

import numpy as np
import pytest
from picture_files import encoded, photo, pixels, resized

from dogcat.pictures import decode, memory_limits
from dogcat.pictures.geometry import MAX_PIXELS


@pytest.mark.parametrize(("mode", "format"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "BMP"), ("RGBA", "TIFF")])
def test_a_large_picture_comes_at_reduced_scale_and_looks_the_same(mode, format):
    data = encoded(photo(4000, 3000).convert(mode), format)
    reduced = decode.decode(data, MAX_PIXELS, 299)
    assert reduced.pixels.shape == (750, 1000, 3)
    assert (reduced.width, reduced.height) == (4000, 3000)
    whole = decode.decode(data, MAX_PIXELS)
    assert whole.pixels.shape == (3000, 4000, 3)
    ours = resized(reduced.pixels, 299)
    assert np.abs(ours - resized(whole.pixels, 299)).mean() < 2


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_long_picture_is_reduced_along_its_longer_side(format, monkeypatch):
    monkeypatch.setattr(memory_limits, "LARGE_BYTES", 500_000)
    data = encoded(photo(2500, 350), format)
    reduced = decode.decode(data, MAX_PIXELS, 80).pixels
    assert reduced.shape == (175, 313, 3)
    whole = resized(pixels(data), 80)
    assert np.abs(resized(reduced, 80) - whole).mean() < 2


def test_a_jpeg_that_is_not_much_larger_is_decoded_whole():
    data = encoded(photo(1000, 800), "JPEG")
    assert decode.decode(data, MAX_PIXELS, 299).pixels.shape == (800, 1000, 3)
