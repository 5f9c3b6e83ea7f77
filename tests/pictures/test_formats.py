from __future__ import annotations

import pytest

from dogcat.pictures import decode, rejections
from dogcat.pictures.geometry import MAX_PIXELS


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"8BPS\0\1", "PSD"),
        (b"\xff\x4f\xff\x51\0", "JPEG 2000"),
    ],
)
def test_a_format_that_is_not_read_is_named(start, name):
    with pytest.raises(rejections.RejectedPicture, match=f"unsupported_format: {name} is not read; convert") as caught:
        decode.decode(start + bytes(100), MAX_PIXELS)
    assert caught.value.reason == rejections.UNSUPPORTED_FORMAT
