from __future__ import annotations

import struct

import fuzzing
import numpy as np
from picture_files import answer, encoded, ramp

from dogcat.pictures import rejections


def tiff(entries, behind=b""):
    body = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + body + bytes(4) + behind


def test_a_tiff_whose_tags_ask_for_more_than_it_holds_is_refused():
    shared = tiff([(1000 + i, 7, 1_000_000, 0) for i in range(4000)], bytes(1_000_000))
    many = tiff([(1000 + i, 3, 1, 0) for i in range(30_000)])
    strips = tiff(
        [(256, 3, 1, 9), (257, 3, 1, 9), (273, 4, 3_000_000, 200), (279, 4, 3_000_000, 200)], bytes(12_000_000)
    )
    further = tiff([(34665, 4, 1, 100)], bytes(74) + shared[8:])
    for data in (shared, many, strips, further):
        with fuzzing.memory_within(2**26):
            assert answer(data) == rejections.TOO_COMPLEX
    # A directory that is its own next one.
    whole = encoded(ramp(), "TIFF")
    at = struct.unpack("<L", whole[4:8])[0]
    end = at + 2 + 12 * struct.unpack("<H", whole[at : at + 2])[0]
    np.testing.assert_array_equal(answer(whole[:end] + whole[4:8] + whole[end + 4 :]), ramp())
