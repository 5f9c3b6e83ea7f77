from __future__ import annotations

import io

import pytest
from PIL import Image, ImageCms

from dogcat.pictures import jpeg_header


def encoded(mode="RGB", width=61, height=470, **options):
    buffer = io.BytesIO()
    Image.new(mode, (width, height), "gray").save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("options", "components"),
    [
        ({}, 3),
        ({"subsampling": "4:4:4"}, 3),
        ({"restart_marker_blocks": 1}, 3),
        # Markers in a comment are none.
        ({"comment": b"\xff\xc0\xff\xda\xff\xe1Exif\0\0"}, 3),
        ({"mode": "L"}, 1),
    ],
)
def test_size_of_a_plain_jpeg(options, components):
    assert jpeg_header.plain_size(encoded(**options)) == (61, 470, components)
    assert jpeg_header.plain_size(encoded(**options, width=40_000, height=3)) == (40_000, 3, components)


@pytest.mark.parametrize(
    "options",
    [
        {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"},
        {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
        {"xmp": b"<x:xmpmeta/>"},
        {"progressive": True},
        {"mode": "CMYK"},
    ],
)
def test_what_needs_more_than_decoding_is_not_plain(options):
    assert jpeg_header.plain_size(encoded(**options)) is None


def test_a_header_that_is_cut_short_is_not_plain():
    data = encoded()
    end = data.index(b"\xff\xda")
    assert jpeg_header.plain_size(data[: end + 10])
    assert not any(jpeg_header.plain_size(data[:length]) for length in range(end))
    assert jpeg_header.plain_size(b"") is None


def test_a_picture_without_pixels_is_not_plain():
    # Its height would come behind the first scan.
    data = encoded().replace(b"\x08\x01\xd6\x00\x3d", b"\x08\x00\x00\x00\x3d")
    assert jpeg_header.plain_size(data) is None
