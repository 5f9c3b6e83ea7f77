"""The size of a plain JPEG from its header (ITU T.81, annex B), without what other pictures need of Pillow."""

from __future__ import annotations

from typing import NamedTuple

START = b"\xff\xd8"
# Far more than any header has.
_MOST_SEGMENTS = 256

_MARKER = 0xFF
_START_OF_SCAN = 0xDA
# Baseline: eight bits, sequential, Huffman-coded.
_START_OF_FRAME = 0xC0
# Huffman tables, quantization tables, restart interval, JFIF, comment: they say nothing that the decoder does not heed.
_HARMLESS = frozenset((0xC4, 0xDB, 0xDD, 0xE0, 0xFE))


class Size(NamedTuple):
    """What a frame header tells.

    Attributes:
        width: In pixels.
        height: In pixels.
        components: 1 for grey, 3 for colour.
    """

    width: int
    height: int
    components: int


def plain_size(data: bytes) -> Size | None:
    """The size of a baseline JPEG in grey or colour whose header holds nothing but what its decoder needs.

    None for all others, which may be sound: those with EXIF (which may turn them), with a colour profile, CMYK,
    progressive, of several scans, damaged.
    """
    size = None
    at = len(START)
    # Of a segment: marker (2 bytes), length without the marker (2); of a frame header then: bits (1), height (2),
    # width (2), components (1).
    for _ in range(_MOST_SEGMENTS):
        if at + 10 > len(data) or data[at] != _MARKER:
            return None
        kind = data[at + 1]
        if kind == _START_OF_SCAN:
            return size if size and data[at + 4] == size.components else None
        if kind == _START_OF_FRAME:
            size = Size(data[at + 7] << 8 | data[at + 8], data[at + 5] << 8 | data[at + 6], data[at + 9])
            if size.components not in (1, 3) or not size.width * size.height:
                return None
        elif kind not in _HARMLESS:
            return None
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    return None
