from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from picture_files import PROFILE, answer, encoded, photo, pixels, ramp, reason
from PIL import Image

from dogcat.pictures import decode, memory_limits, rejections
from dogcat.pictures.geometry import MAX_PIXELS


def segment(marker, content=b""):
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg, *segments):
    """Behind the first one, JFIF's or Adobe's."""
    at = 4 + (jpeg[4] << 8 | jpeg[5])
    return jpeg[:at] + b"".join(segments) + jpeg[at:]


def scans_of(jpeg):
    """Where the scans of a JPEG begin, and where it ends."""
    starts, at = [], 0
    while (at := jpeg.find(b"\xff\xda", at)) >= 0:
        starts.append(at)
        at += 2
    return starts, jpeg.rindex(b"\xff\xd9")


@pytest.mark.parametrize(
    "segments",
    [
        (segment(0xFE, bytes(60_000)),) * 300,
        (segment(0xE1, b"Exif\0\0" + bytes(60_000)),) * 300,
        (segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000)),) * 300,
        (segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\0\0\0\0\0\0\0" * 4000),) * 20,
        (segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000)),) * 300,
        (b"\xff" * 4_000_000,),
        (b"junk" * 1_000_000,),
        (b"\xff\xd0" * 100,),
    ],
    ids=["comments", "exif", "xmp", "photoshop", "profile", "fill", "junk", "restarts"],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_read_whatever_its_metadata(segments, progressive):
    jpeg = encoded(ramp(), "JPEG", progressive=progressive)
    np.testing.assert_array_equal(answer(with_segments(jpeg, *segments)), pixels(jpeg))


@pytest.mark.parametrize("marker", [0xFE, 0xE0, 0xE1, 0xE5, 0xDB])
def test_a_jpeg_of_endless_segments_is_refused(marker):
    jpeg = encoded(ramp(), "JPEG")
    assert answer(with_segments(jpeg, segment(marker) * 2_000_000)) == rejections.TOO_COMPLEX
    assert answer(with_segments(jpeg, segment(0xDB, bytes(65_000)) * 1000)) == rejections.TOO_COMPLEX


def test_a_jpeg_of_more_scans_than_any_program_writes_is_refused():
    jpeg = encoded(Image.new("L", (3000, 2000), 90), "JPEG", progressive=True)
    starts, end = scans_of(jpeg)
    last = jpeg[starts[-1] : end]
    assert answer(jpeg[:end] + last * 50 + jpeg[end:]).shape == (2000, 3000, 3)
    assert answer(jpeg[:end] + last * 100 + jpeg[end:]) == rejections.TOO_COMPLEX
    assert answer(jpeg[:end] + segment(0xFE) * 1_000_000 + jpeg[end:]) == rejections.TOO_COMPLEX


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "end", [b"", b"\xff\xd9", b"\xff\xfe\0\2\xff\xd9", b"\xff\xc4\0\2\xff\xd9", b"\xff\xff\xff\xd9"]
)
def test_a_jpeg_that_is_cut_where_it_would_restart_is_truncated(mode, end):
    jpeg = encoded(photo(300, 200).convert(mode), "JPEG", quality=90, restart_marker_blocks=4)
    # All bits of the pixels before are there.
    cut = jpeg[: jpeg.index(b"\xff\xd5", scans_of(jpeg)[0][0])]
    assert reason(cut + end) == rejections.TRUNCATED


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}, {"icc_profile": PROFILE}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_jpeg_that_is_cut_is_truncated_whatever_stands_behind_the_cut(mode, options, share):
    jpeg = encoded(photo(300, 200).convert(mode), "JPEG", quality=90, **options)
    starts, end = scans_of(jpeg)
    cut = jpeg[: starts[0] + int(share * (end - starts[0]))]
    if cut.endswith(b"\xff"):
        cut = cut[:-1]
    for behind in (
        b"",
        b"\xff\xd9",
        b"\xff\xd9" + bytes(100),
        b"\xff\xd9" + jpeg,
        b"\xff\xfe\0\2\xff\xd9",
        b"\xff\xff\xff\xd9",
    ):
        for data in (
            cut + behind,
            with_segments(cut, segment(0xFE, b"x")) + behind,
            with_segments(cut, b"junk") + behind,
        ):
            assert reason(data) == rejections.TRUNCATED


@pytest.mark.parametrize("size", [None, 299])
def test_a_large_jpeg_that_is_cut_is_truncated(size, monkeypatch):
    monkeypatch.setattr(memory_limits, "LARGE_BYTES", 300_000)
    jpeg = encoded(photo(2000, 1500), "JPEG", quality=90)
    assert decode.decode(jpeg, MAX_PIXELS, size).width == 2000
    with pytest.raises(rejections.RejectedPicture, match="truncated"):
        decode.decode(jpeg[: len(jpeg) // 2] + b"\xff\xd9", MAX_PIXELS, size)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated(mode):
    jpeg = encoded(photo(300, 200).convert(mode), "JPEG", progressive=True)
    starts, _ = scans_of(jpeg)
    for start in starts[1:-1]:
        # The tables of the next scan stand before it.
        at = jpeg.rindex(b"\xff\xc4", 0, start)
        assert reason(jpeg[:at] + b"\xff\xd9") == rejections.TRUNCATED


def test_what_is_harmless_behind_a_jpegs_pixels_stays_harmless():
    for progressive in (False, True):
        jpeg = encoded(photo(61, 47), "JPEG", progressive=progressive)
        for behind in (b"junk", bytes(5000), b"\xff\xd8\xff", jpeg):
            np.testing.assert_array_equal(answer(jpeg + behind), pixels(jpeg))
        # Between the last pixels and the end, as some cameras leave it.
        np.testing.assert_array_equal(answer(jpeg[:-2] + bytes(7) + b"\xff\xd9"), pixels(jpeg))


def test_a_jpeg_that_ends_within_its_header_is_truncated():
    jpeg = encoded(ramp(), "JPEG")
    for length in (4, 20, 100, 400):
        assert reason(jpeg[:length]) == rejections.TRUNCATED


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "expected"), [("cut10eoi", rejections.TRUNCATED), ("scans120", rejections.TOO_COMPLEX)]
)
def test_cases_of_others(shared, name, expected):
    path = Path(shared) / "cases" / "hostile" / f"{name}.jpg"
    if path.exists():
        assert answer(path.read_bytes()) == expected
