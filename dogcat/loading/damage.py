"""What was wrong with the input, in one line, where TensorFlow tells no more than that something was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from dogcat.core import places
from dogcat.core.log import tell
from dogcat.core.options import InputError, is_address
from dogcat.dataset import tfrecord
from dogcat.loading.encoded_pictures import EncodedPictures
from dogcat.loading.pictures import Pictures
from dogcat.loading.stoppable import Stoppable

# Of errors of TensorFlow, in those of an iterator's input.
_OF_INPUT = "IteratorGetNext"


@contextlib.contextmanager
def naming_damage(*made_before: Pictures) -> Iterator[None]:
    """Raises what ended a dataset of pictures in the block with a line that names shard and record.

    Args:
        *made_before: Pictures whose datasets are read in the block and were not made there.

    Raises:
        InputError: A record that was read is damaged, or an address could not be read.
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
        for pictures in [*made_before, *EncodedPictures.in_use]:
            if isinstance(pictures, EncodedPictures):
                name(pictures, error)
        raise
    finally:
        Stoppable.failure = None
        EncodedPictures.in_use.update(before)


def name(pictures: EncodedPictures, error: tf.errors.OpError) -> None:
    """Raises what is wrong with the first of some pictures that cannot be read, if there is one."""
    tell("a picture cannot be read; looking for its record")
    place = pictures.first_unreadable()
    if place is not None:
        raise pictures.damaged(place, _what(pictures, place)) from error
    address = next(filter(is_address, pictures.records.paths), "")
    if address:
        folder = address.rpartition("/")[0]
        why = f"could not be read for a while ({places.reason(error)}); go on when it answers"
        raise InputError(f"{folder}: {why}") from error


def _what(pictures: EncodedPictures, place: int) -> str:
    """What is wrong with a record, in words.

    Raises:
        InputError: It is at an address that cannot be read.
        OSError: It cannot be read; its name is with the error.
    """
    records = pictures.records
    path, start = records.paths[records.shard_of[place]], int(records.offsets[place])
    length = int(records.lengths[place])
    framed = places.read_range(places.place_of(path), start, length + tfrecord.FRAME_BYTES)
    if wrong := tfrecord.frame_damage(framed, start, length):
        return wrong
    data = framed[tfrecord.HEADER_BYTES : -tfrecord.FOOTER_BYTES]
    return pictures.wrong_with(data) or "TensorFlow cannot decode the picture"
