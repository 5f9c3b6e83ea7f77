"""What was wrong with the input, in one line, where TensorFlow tells no more than that something was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from dogcat.core.log import tell
from dogcat.dataset import tfrecord
from dogcat.loading.encoded_pictures import EncodedPictures
from dogcat.loading.stoppable import Stoppable

# Of errors of TensorFlow, in those of an iterator's input.
_OF_INPUT = "IteratorGetNext"


@contextlib.contextmanager
def naming_damage() -> Iterator[None]:
    """Raises what ended a dataset of pictures in the block with a line that names shard and record.

    Raises:
        InputError: A record that was read is damaged.
        OSError: A shard cannot be read.
    """
    Stoppable.failure = None
    before = list(EncodedPictures.in_use)
    EncodedPictures.in_use.clear()
    try:
        yield
    except tf.errors.OpError as error:
        if Stoppable.failure:
            raise Stoppable.failure from error
        if _OF_INPUT not in str(error):
            raise
        for pictures in list(EncodedPictures.in_use):
            _name(pictures, error)
        raise
    finally:
        Stoppable.failure = None
        EncodedPictures.in_use.update(before)


def _name(pictures: EncodedPictures, error: tf.errors.OpError) -> None:
    """Raises what is wrong with the first of some pictures that cannot be read, if there is one."""
    tell("a picture cannot be read; looking for its record")
    place = pictures.first_unreadable()
    if place is not None:
        raise pictures.damaged(place, _what(pictures, place)) from error


def _what(pictures: EncodedPictures, place: int) -> str:
    """What is wrong with a record, in words."""
    records = pictures.records
    path, start = records.paths[records.shard_of[place]], int(records.offsets[place])
    length = int(records.lengths[place])
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            file.seek(start)
            framed = file.read(length + tfrecord.FRAME_BYTES)
    except tf.errors.OpError as unreadable:
        return f"it cannot be read ({unreadable.message})"
    if wrong := tfrecord.frame_damage(framed, start, length):
        return wrong
    data = framed[tfrecord.HEADER_BYTES : -tfrecord.FOOTER_BYTES]
    return pictures.wrong_with(data) or "TensorFlow cannot decode the picture"
