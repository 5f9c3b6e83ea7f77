from __future__ import annotations

import numpy as np
import pytest
from picture_files import encoded, photo, resized
from PIL import Image

from dogcat.pictures import decode, resizing
from dogcat.pictures.geometry import MAX_PIXELS


def test_pure_red_stays_red():
    data = encoded(Image.new("RGB", (50, 30), (255, 0, 0)), "JPEG", quality=100, subsampling=0)
    red = resizing.resize(decode.decode(data, MAX_PIXELS, 32).rgbx, 32, "stretch")[:, :, :3]
    assert red.shape == (32, 32, 3) and red.dtype == np.uint8
    assert np.abs(red.astype(int) - (254, 0, 0)).max() <= 1


def test_shrinking_counts_every_pixel():
    # Fine stripes average to grey; bilinear without antialiasing would pick black or white.
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = resized(stripes, 40)
    assert np.abs(shrunk - 127).max() <= 4


@pytest.mark.parametrize("size", [(500, 374), (40, 50), (1000, 333), (2000, 1500)])
def test_resizing_equals_pillows_to_within_rounding(size):
    picture = photo(*size)
    expected = np.asarray(picture.resize((299, 299), Image.Resampling.BILINEAR)).astype(int)
    difference = np.abs(resized(picture, 299) - expected)
    assert difference.max() <= 2 and difference.mean() < 0.3


def test_crop_takes_the_middle_and_pad_adds_black():
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = 200
    np.testing.assert_array_equal(resized(wide, 20, "crop"), np.full((20, 20, 3), 200))
    padded = resized(np.full((40, 100, 3), 200, np.uint8), 20, "pad")
    assert padded[:6].max() == padded[14:].max() == 0
    np.testing.assert_array_equal(padded[6:14], np.full((8, 20, 3), 200))
    for how in ("crop", "pad", "stretch"):
        assert resized(np.zeros((1, 5000, 3), np.uint8), 20, how).shape == (20, 20, 3)
