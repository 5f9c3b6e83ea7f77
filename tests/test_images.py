from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from dogcat import images


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def ramp(width=60, height=40):
    """A picture in which each pixel tells where it is."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 4, y * 6, x + y], -1).astype(np.uint8))


def pixels(data, **options):
    return np.asarray(images.decode(data, **options))


def reason(data, **options):
    with pytest.raises(images.RejectedPicture) as caught:
        images.decode(data, **options)
    assert caught.value.detail
    return caught.value.reason


def test_pure_red_stays_red():
    data = encoded(Image.new("RGB", (50, 30), (255, 0, 0)), "JPEG", quality=100, subsampling=0)
    red = images.read_pixels(data, 32)
    assert red.shape == (32, 32, 3) and red.dtype == np.uint8
    assert np.abs(red.astype(int) - (254, 0, 0)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(orientation):
    # How a picture is stored that a viewer is to turn back, by EXIF's own table.
    store = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = ramp() if store is None else ramp().transpose(store)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {}
        np.testing.assert_array_equal(pixels(encoded(stored, format, exif=exif, **options)), ramp())


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG"])
def test_formats_are_told_by_content(format):
    flat = Image.new("RGB", (20, 20), (200, 100, 50))
    assert np.abs(pixels(encoded(flat, format)).astype(int) - (200, 100, 50)).max() <= 3


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


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(data)[0, 0].tolist() == [255, 0, 0]


def test_colours_are_converted_from_an_embedded_profile():
    # A picture in Lab's XYZ-based profile would be hard to read off; sRGB itself must change nothing.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(pixels(encoded(ramp(), icc_profile=srgb)), ramp())


@pytest.mark.parametrize("profile", [b"no profile", b""])
def test_a_broken_profile_is_ignored(profile):
    np.testing.assert_array_equal(pixels(encoded(ramp(), icc_profile=profile)), ramp())


def test_reasons():
    jpeg = encoded(ramp(300, 200), "JPEG")
    assert reason(b"") == images.EMPTY
    assert reason(b"just some text, named .jpg") == images.NOT_A_PICTURE
    assert reason(jpeg[: len(jpeg) // 2]) == images.TRUNCATED
    png = encoded(ramp(300, 200))
    assert reason(png[: len(png) // 2]) == images.TRUNCATED
    broken = bytearray(png)
    broken[len(png) // 2] ^= 0xFF
    assert reason(bytes(broken)) in (images.DECODER_ERROR, images.TRUNCATED)
    assert reason(encoded(ramp(), "PNG"), max_pixels=60 * 40 - 1) == images.TOO_LARGE
    assert reason(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")) == images.UNSUPPORTED_MODE


def test_the_limit_is_checked_before_a_pixel_is_decoded():
    # In two colours: 20 KB as a file, 432 MB as RGB.
    bomb = encoded(Image.new("1", (12_000, 12_000)))
    assert reason(bomb, max_pixels=89_000_000) == images.TOO_LARGE


def test_shrinking_counts_every_pixel():
    # Fine stripes average to grey; bilinear without antialiasing would pick black or white.
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = np.asarray(images.resize(Image.fromarray(stripes), 40))
    assert np.abs(shrunk.astype(int) - 127).max() <= 4


def test_jpeg_has_420_chroma_and_no_metadata():
    ramp_with_exif = ramp()
    ramp_with_exif.info["exif"] = b"Exif\0\0"
    reopened = Image.open(io.BytesIO(images.encode_jpeg(ramp_with_exif, 95)))
    assert reopened.layer[0][1:3] == (2, 2)
    assert "exif" not in reopened.info
