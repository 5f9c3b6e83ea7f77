from __future__ import annotations

import fuzzing
import numpy as np
from picture_files import animated_webp, answer, encoded, pixels, ramp

from dogcat.pictures import rejections


def test_of_a_webp_of_many_frames_the_first_is_read():
    np.testing.assert_array_equal(answer(animated_webp(50_000)), ramp())
    assert answer(animated_webp(200_000)) == rejections.TOO_COMPLEX


def test_a_webp_is_held_to_the_limit_before_its_decoder_takes_memory():
    webp = bytearray(animated_webp(1))
    at = webp.index(b"VP8X") + 12
    webp[at : at + 6] = b"\xff\xff\0" * 2
    with fuzzing.memory_within(2**24):
        assert answer(bytes(webp)) == rejections.TOO_LARGE


def test_a_webp_is_read_whatever_its_metadata():
    plain = encoded(ramp(), "WEBP", lossless=True)
    for options in ({"xmp": b"x" * 20_000_000}, {"icc_profile": bytes(20_000_000)}, {"exif": b"x" * 20_000_000}):
        np.testing.assert_array_equal(answer(encoded(ramp(), "WEBP", lossless=True, **options)), pixels(plain))
