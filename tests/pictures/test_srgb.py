from __future__ import annotations

import numpy as np
import pytest
from picture_files import encoded, photo, pixels, ramp
from PIL import Image, ImageCms

from dogcat.pictures import decode, memory_limits, rejections, srgb
from dogcat.pictures.geometry import MAX_PIXELS


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (9, 9), 77), (77, 77, 77)),
        (Image.new("1", (9, 9), 1), (255, 255, 255)),
        (Image.new("LA", (9, 9), (0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (9, 9), (0, 0, 0, 51)), (204, 204, 204)),
        (Image.fromarray(np.full((9, 9), 65535, np.uint16)), (255, 255, 255)),
        (Image.fromarray(np.full((9, 9), 257 * 100, np.uint16)), (100, 100, 100)),
        (Image.new("RGB", (9, 9), (1, 2, 3)).quantize(4), (1, 2, 3)),
    ],
    ids=["grey", "1-bit", "grey+alpha", "opaque", "transparent", "half", "16-bit white", "16-bit", "palette"],
)
def test_modes_become_rgb(image, expected):
    np.testing.assert_array_equal(pixels(encoded(image)), np.broadcast_to(expected, (9, 9, 3)))


def test_32_bit_grey_has_no_range():
    with pytest.raises(rejections.RejectedPicture, match="32-bit pixels have no agreed range"):
        pixels(encoded(Image.fromarray(np.full((9, 9), 65536, np.int32)), "TIFF"))


def test_cmyk_jpeg():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(pixels(data).astype(int) - (255, 0, 0)).max() <= 4


def test_palette_with_transparency_lies_over_white():
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.paste(1, (4, 0, 8, 8))
    rgb = pixels(encoded(palette, "PNG", transparency=0))
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[0, 7].tolist() == [200, 100, 50]


def test_colours_are_converted_from_an_embedded_profile():
    # A picture in Lab's XYZ-based profile would be hard to read off; sRGB itself must change nothing.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(pixels(encoded(ramp(), icc_profile=srgb)), ramp())


@pytest.mark.parametrize("profile", [b"no profile", b""])
def test_a_broken_profile_is_ignored(profile):
    np.testing.assert_array_equal(pixels(encoded(ramp(), icc_profile=profile)), ramp())


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
@pytest.mark.parametrize("size", [None, 85])
def test_tiles_meet_without_a_seam(mode, size, monkeypatch):
    data = encoded(photo(1100, 700).convert(mode), "TIFF")
    monkeypatch.setattr(memory_limits, "LARGE_BYTES", 0)
    in_tiles = decode.decode(data, MAX_PIXELS, size).pixels
    monkeypatch.setattr(srgb, "_TILE", 10**6)
    np.testing.assert_array_equal(in_tiles, decode.decode(data, MAX_PIXELS, size).pixels)
