"""Records of raw pixels, all of one length, so that a shard is a matrix and each picture lies at a known place.

The pixels stand last, and begin at the same place of every record, so that any picture is one copy. A feature of zeros
fills what is left before them; whoever reads a `tf.train.Example` passes over features that it does not ask for.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from dogcat.dataset import example_proto, tfrecord

FORMAT = "raw"
# Name of the feature of zeros.
PADDING = "padding"

_CHANNELS = 3
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


def picture_bytes(image_size: int) -> int:
    """Bytes of all pixels of a picture."""
    return _CHANNELS * image_size * image_size


def layout_for(image_size: int, keys: Iterable[str], classes: Iterable[str]) -> Layout:
    """The smallest layout that every picture fits into.

    Args:
        image_size: Height and width of the pictures, in pixels.
        keys: Keys of all pictures, at least one.
        classes: Names of the classes.
    """
    longest: dict[str, bytes | int] = {
        example_proto.FORMAT: FORMAT.encode(),
        example_proto.HEIGHT: image_size,
        example_proto.WIDTH: image_size,
        example_proto.ORIGINAL_HEIGHT: _LARGEST_SIDE,
        example_proto.ORIGINAL_WIDTH: _LARGEST_SIDE,
        example_proto.FILENAME: max(map(os.fsencode, keys), key=len),
        example_proto.LABEL: -1,
        example_proto.TEXT: max(map(os.fsencode, classes), key=len, default=b""),
    }
    pixels = picture_bytes(image_size)
    before = (
        tfrecord.HEADER_BYTES
        + len(example_proto.message_start(2 * pixels))
        + len(example_proto.encode_entries(longest))
        + len(example_proto.encode_entries({PADDING: b""}))
        + len(pixels_start(image_size))
    )
    return Layout(before + pixels + tfrecord.FOOTER_BYTES, before)


def layout_of(options: dict[str, Any]) -> Layout | None:
    """The layout that a manifest's options promise; None where its records are of another kind."""
    if options["encoding"] != FORMAT:
        return None
    return Layout(options["record_bytes"], options["pixels_offset"])


def pixels_start(image_size: int) -> bytes:
    """What stands in every record directly before the pixels."""
    return example_proto.bytes_entry_start(example_proto.ENCODED, picture_bytes(image_size))


def encode_example(features: dict[str, bytes | int], layout: Layout) -> bytes:
    """Serialises the features of a picture, its pixels among them, so that its record has the layout."""
    others = dict(features)
    pixels = others.pop(example_proto.ENCODED)
    assert isinstance(pixels, bytes)
    length = layout.record_bytes - tfrecord.FRAME_BYTES
    # Lengths in front of each other: the message's own start tells how long the rest is.
    start = next(start for size in range(2, 12) if len(start := example_proto.message_start(length - size)) == size)
    head = start + example_proto.encode_entries(others)
    pixels_head = example_proto.bytes_entry_start(example_proto.ENCODED, len(pixels))
    before = layout.pixels_offset - tfrecord.HEADER_BYTES - len(head) - len(pixels_head)
    return b"".join((head, _padding(before), pixels_head, pixels))


@functools.lru_cache(maxsize=1024)
def _padding(length: int) -> bytes:
    """Entries of this length together, of zeros: one, or two where one cannot have that length.

    No entry has 130 bytes, for one: behind its tag stands a length of 127 in a byte, or one of 128 in two.
    """
    for zeros in range(max(0, length - 64), length):
        start = example_proto.bytes_entry_start(PADDING, zeros)
        if len(start) + zeros == length:
            return start + bytes(zeros)
    another = example_proto.encode_entries({PADDING + "/more": b""})
    return another + _padding(length - len(another))
