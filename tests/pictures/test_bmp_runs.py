from __future__ import annotations

import fuzzing
from picture_files import answer, rle_bmp

from dogcat.pictures import rejections


def test_a_bmp_of_endless_runs_is_refused():
    assert answer(rle_bmp(4, 2, b"\4\0\0\0\4\0\0\1")).shape == (2, 4, 3)
    assert answer(rle_bmp(1000, 1000, b"\0\0" * 10_000_000)) == rejections.TOO_COMPLEX
    with fuzzing.memory_within(2**28):
        assert answer(rle_bmp(60_000_000, 1, b"\0\2\0\xff")) == rejections.TOO_LARGE
