"""Pictures as the records of a data set hold them: parsed, decoded, found by key, sampled. No TensorFlow."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from dogcat.core.options import InputError
from dogcat.core.text import printable
from dogcat.dataset import example_proto, tfrecord
from dogcat.dataset.manifest import FORMATS, RAW, Manifest
from dogcat.pictures import decode, rejections
from dogcat.pictures.geometry import MAX_PIXELS
from dogcat.pictures.labels import UNLABELED

_CLOSE_MATCHES = 3
# Of longer keys the likeness would take seconds to tell.
_LONGEST_COMPARED = 500

_Value = TypeVar("_Value", bytes, int)


class StoredPicture(NamedTuple):
    """A picture as a record holds it.

    Attributes:
        key: `image/filename`; bytes that are no UTF-8 are surrogates, as in paths.
        encoded: `image/encoded`.
        format: `image/format`.
        height: `image/height`, in pixels.
        width: `image/width`, in pixels.
        label: `image/class/label`.
        text: `image/class/text`.
    """

    key: str
    encoded: bytes
    format: str
    height: int
    width: int
    label: int
    text: str


def parse_picture(data: bytes) -> StoredPicture:
    """Reads the features of a picture from a record's data; others beside them are no error.

    Raises:
        ValueError: The data are no tf.train.Example, or a feature is missing or not a single value of its type.
    """
    try:
        features = example_proto.decode_example(data)
    except ValueError as error:
        raise ValueError(f"no tf.train.Example: {error}") from error
    return StoredPicture(
        key=os.fsdecode(_single(features, example_proto.FILENAME, bytes)),
        encoded=_single(features, example_proto.ENCODED, bytes),
        format=os.fsdecode(_single(features, example_proto.FORMAT, bytes)),
        height=_single(features, example_proto.HEIGHT, int),
        width=_single(features, example_proto.WIDTH, int),
        label=_single(features, example_proto.LABEL, int),
        text=os.fsdecode(_single(features, example_proto.TEXT, bytes)),
    )


def pixels_of(picture: StoredPicture) -> np.ndarray:
    """Decodes a stored picture completely: uint8 [height, width, 3], RGB.

    Raises:
        ValueError: Its format is unknown, its bytes are of another one, or they are damaged.
    """
    if picture.format not in FORMATS:
        raise ValueError(f"{example_proto.FORMAT} is {printable(picture.format)!r}, none of {', '.join(FORMATS)}")
    if picture.format == RAW:
        shape = (picture.height, picture.width, 3)
        if min(shape) < 1 or len(picture.encoded) != picture.height * picture.width * 3:
            size = f"{picture.width}x{picture.height}"
            raise ValueError(f"{len(picture.encoded)} bytes are no {size} pixels of 3 bytes")
        return np.frombuffer(picture.encoded, np.uint8).reshape(shape)
    if not picture.encoded.startswith(FORMATS[picture.format]):
        raise ValueError(f"{example_proto.FORMAT} is {picture.format}, the picture begins with {picture.encoded[:8]!r}")
    try:
        return decode.decode(picture.encoded, MAX_PIXELS).pixels
    except rejections.RejectedPicture as rejected:
        raise ValueError(f"the picture cannot be decoded: {rejected}") from rejected


def find(folder: Path, made: Manifest, key: str) -> StoredPicture:
    """Finds the picture with a key; reads shards until it is there.

    Raises:
        InputError: No readable record has this key; names keys that are alike.
    """
    alike: list[str] = []
    for split in made.splits:
        for shard in made.splits[split].shards:
            keys = []
            for picture in _pictures(folder / shard.name):
                if picture.key == key:
                    return picture
                if len(picture.key) <= _LONGEST_COMPARED:
                    keys.append(picture.key)
            alike = difflib.get_close_matches(key, [*alike, *keys], _CLOSE_MATCHES)
    hint = f"; alike are {', '.join(map(printable, alike))}" if alike else ""
    raise InputError(f"--show={printable(key)}: no picture of {folder} has this key{hint}")


def sample(folder: Path, made: Manifest, split: str, count: int) -> dict[int, list[StoredPicture]]:
    """The first pictures of each label in a split, `count` of each at most; their order is random already."""
    labels = range(len(made.classes)) if made.classes else (UNLABELED,)
    found: dict[int, list[StoredPicture]] = {label: [] for label in labels}
    for shard in made.splits[split].shards:
        for picture in _pictures(folder / shard.name):
            of_label = found.get(picture.label, [])
            if picture.label in found and len(of_label) < count:
                of_label.append(picture)
                if all(len(pictures) == count for pictures in found.values()):
                    return found
    return found


def _pictures(path: Path) -> Iterator[StoredPicture]:
    """The readable pictures of a shard; none where it is missing."""
    if not path.is_file():
        return
    for record in tfrecord.read_records(path):
        if record.data is not None and record.trusted:
            try:
                yield parse_picture(record.data)
            except ValueError:
                continue


def _single(features: dict[str, example_proto.Values], key: str, kind: type[_Value]) -> _Value:
    if key not in features:
        raise ValueError(f"{key} is missing")
    values = features[key]
    if len(values) != 1:
        raise ValueError(f"{key} has {len(values)} values instead of one")
    value = values[0]
    if not isinstance(value, kind):
        raise ValueError(f"{key} is of type {type(value).__name__} instead of {kind.__name__}")
    return value
