from __future__ import annotations

import numpy as np
import pytest
from picture_files import XMP, encoded, exif_of, pixels, ramp, turned
from PIL import Image, PngImagePlugin

from dogcat.pictures import decode
from dogcat.pictures.geometry import MAX_PIXELS


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


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("told_by", ["exif", "xmp", "both"])
def test_the_orientation_of_exif_or_else_of_xmp_is_kept(format, told_by):
    options = {}
    if told_by != "xmp":
        options["exif"] = exif_of(6)
    if told_by != "exif":
        xmp = XMP if told_by == "xmp" else XMP.replace(b"6", b"3")
        if format == "PNG":
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        else:
            options["xmp"] = xmp
    picture = decode.decode(turned(format, **options), MAX_PIXELS)
    assert (picture.width, picture.height, picture.orientation) == (60, 40, 6)
    assert np.abs(picture.pixels.astype(int) - np.asarray(ramp())).mean() < 8
