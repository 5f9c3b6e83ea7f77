from __future__ import annotations

import numpy as np
import pytest
from picture_files import encoded, exif_of, photo, ramp

from dogcat.pictures import decode, jpeg_decoder, rejections
from dogcat.pictures.geometry import MAX_PIXELS


@pytest.mark.parametrize("size", [(61, 47), (299, 299), (500, 374), (640, 480), (90, 1000)])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_the_direct_ways_for_jpeg_equal_pillows(size, orientation, subsampling, monkeypatch):
    exif = {"exif": exif_of(orientation)} if orientation else {}
    data = encoded(photo(*size), "JPEG", quality=90, subsampling=subsampling, **exif)
    direct = decode.decode(data, MAX_PIXELS)
    monkeypatch.setattr(decode, "_decode_plain_jpeg", lambda *args: None)
    monkeypatch.setattr(jpeg_decoder, "decode_with_turbo", lambda *args: None)
    assert_equal_pictures(direct, decode.decode(data, MAX_PIXELS))
    assert (direct.width, direct.height) == direct.pixels.shape[1::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_direct_way_turns_every_orientation_as_pillow_does(orientation, monkeypatch):
    data = encoded(ramp(), "JPEG", quality=95, exif=exif_of(orientation))
    direct = decode.decode(data, MAX_PIXELS)
    monkeypatch.setattr(jpeg_decoder, "decode_with_turbo", lambda *args: None)
    assert_equal_pictures(direct, decode.decode(data, MAX_PIXELS))


def assert_equal_pictures(a, b):
    assert a._replace(rgbx=None) == b._replace(rgbx=None)
    np.testing.assert_array_equal(a.pixels, b.pixels)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"comment": b"\xff\xda of the sea"}, {"restart_marker_blocks": 2}])
def test_a_damaged_jpeg_is_what_pillow_says_of_it(mode, options, monkeypatch):
    data = encoded(photo(61, 47).convert(mode), "JPEG", quality=90, **options)
    damaged = [data, data[:400], data[:-2], data + b"more"]
    # The header takes some 600 bytes, the rest of the file twice that.
    random = np.random.default_rng(0)
    for place, value in zip(random.integers(2, min(len(data), 900), 300), random.integers(0, 256, 300)):
        damaged.append(data[:place] + bytes([value]) + data[place + 1 :])

    def outcome(data):
        try:
            return decode.decode(data, MAX_PIXELS)
        except rejections.RejectedPicture as rejected:
            return rejected.reason, rejected.detail

    direct = list(map(outcome, damaged))
    # As many as stand behind the header or change nothing.
    assert sum(isinstance(each, decode.Picture) for each in direct) > 30
    monkeypatch.setattr(decode, "_decode_plain_jpeg", lambda *args: None)
    for ours, pillows in zip(direct, map(outcome, damaged)):
        if isinstance(ours, decode.Picture) and isinstance(pillows, decode.Picture):
            assert_equal_pictures(ours, pillows)
        else:
            assert ours == pillows
