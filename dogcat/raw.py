"""Records of raw pixels, all of one length, so that a shard is a matrix and each picture lies at a known place.

A record is a whole number of strips long, of some rows of pixels each, and its pixels begin behind a whole number of
them, the same in every record: seen as a matrix of strips, a shard gives any picture in one copy. Features of zeros
fill what is left before and behind the pixels; whoever reads a `tf.train.Example` passes over features that it does not
ask for.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from dogcat import examples, records
from dogcat.config import InputError

FORMAT = "raw"
# Features of zeros, before and behind the pixels.
PADDING = ("padding/before", "padding/behind")

_CHANNELS = 3
# What the strips before and behind the pixels may add to these. The longer a strip, the faster the copy: from 8 KiB on
# glibc's memcpy writes without reading first what it overwrites.
_MOST_ADDED = 0.1
# More than any picture has, in pixels.
_LARGEST_SIDE = 2**31


class Layout(NamedTuple):
    """Where the pixels of each record are.

    Attributes:
        record_bytes: Length of a record in the file, its frame of 16 bytes included.
        pixels_offset: Where its pixels begin, in bytes from its beginning.
    """

    record_bytes: int
    pixels_offset: int


def row_bytes(image_size: int) -> int:
    """Bytes of a row of pixels."""
    return _CHANNELS * image_size


def picture_bytes(image_size: int) -> int:
    """Bytes of all pixels of a picture."""
    return row_bytes(image_size) * image_size


def strip_bytes(layout: Layout, image_size: int) -> int:
    """The longest strips of which a record, what stands before its pixels, and these are whole numbers, in bytes."""
    return math.gcd(layout.record_bytes, layout.pixels_offset, picture_bytes(image_size))


def layout_for(image_size: int, keys: Iterable[str], classes: Iterable[str]) -> Layout:
    """The smallest layout of long strips that every picture fits into.

    Args:
        image_size: Height and width of the pictures, in pixels.
        keys: Keys of all pictures, at least one.
        classes: Names of the classes.
    """
    longest: dict[str, bytes | int] = {
        examples.FORMAT: FORMAT.encode(),
        examples.HEIGHT: image_size,
        examples.WIDTH: image_size,
        examples.ORIGINAL_HEIGHT: _LARGEST_SIDE,
        examples.ORIGINAL_WIDTH: _LARGEST_SIDE,
        examples.FILENAME: max(map(os.fsencode, keys), key=len),
        examples.LABEL: -1,
        examples.TEXT: max(map(os.fsencode, classes), key=len, default=b""),
    }
    pixels = picture_bytes(image_size)
    divisors = (rows for rows in range(1, image_size + 1) if image_size % rows == 0)
    # Two at least: one before and one behind.
    strip = row_bytes(image_size) * max(rows for rows in divisors if rows == 1 or 2 * rows <= _MOST_ADDED * image_size)
    least_before = (
        records.HEADER_BYTES
        + len(examples.message_start(2 * pixels))
        + len(examples.encode_entries(longest))
        + _least_padding(PADDING[0])
        + len(pixels_start(image_size))
    )
    least_behind = _least_padding(PADDING[1]) + records.FOOTER_BYTES
    before, behind = (-(-least // strip) * strip for least in (least_before, least_behind))
    return Layout(before + pixels + behind, before)


def layout_of(options: dict[str, Any]) -> Layout | None:
    """The layout that a manifest's options promise; None where its records are of another kind.

    Raises:
        InputError: They promise none that can be.
    """
    if options.get("encoding") != FORMAT:
        return None
    record_bytes, pixels_offset = (options.get(name) for name in Layout._fields)
    if not (isinstance(record_bytes, int) and isinstance(pixels_offset, int) and 0 < pixels_offset < record_bytes):
        raise InputError(
            f"dataset.json: record_bytes {record_bytes} and pixels_offset {pixels_offset} are no layout of raw "
            "records; copy it again"
        )
    return Layout(record_bytes, pixels_offset)


def pixels_start(image_size: int) -> bytes:
    """What stands in every record directly before the pixels."""
    return examples.bytes_entry_start(examples.ENCODED, picture_bytes(image_size))


def encode_example(features: dict[str, bytes | int], layout: Layout) -> bytes:
    """Serialises the features of a picture, its pixels among them, so that its record has the layout."""
    others = dict(features)
    pixels = others.pop(examples.ENCODED)
    assert isinstance(pixels, bytes)
    length = layout.record_bytes - records.FRAME_BYTES
    # Lengths in front of each other: the message's own start tells how long the rest is.
    start = next(start for size in range(2, 12) if len(start := examples.message_start(length - size)) == size)
    head = start + examples.encode_entries(others)
    pixels_head = examples.bytes_entry_start(examples.ENCODED, len(pixels))
    before = layout.pixels_offset - records.HEADER_BYTES - len(head) - len(pixels_head)
    behind = layout.record_bytes - layout.pixels_offset - len(pixels) - records.FOOTER_BYTES
    return b"".join((head, _padding(PADDING[0], before), pixels_head, pixels, _padding(PADDING[1], behind)))


def _least_padding(key: str) -> int:
    return len(examples.encode_entries({key: b""}))


@functools.lru_cache(maxsize=1024)
def _padding(key: str, length: int) -> bytes:
    """Entries of this length together, of zeros: one, or two where one cannot have that length.

    No entry has 130 bytes, for one: behind its tag stands a length of 127 in a byte, or one of 128 in two.
    """
    for zeros in range(max(0, length - 64), length):
        start = examples.bytes_entry_start(key, zeros)
        if len(start) + zeros == length:
            return start + bytes(zeros)
    another = examples.encode_entries({key + "/more": b""})
    return another + _padding(key, length - len(another))
