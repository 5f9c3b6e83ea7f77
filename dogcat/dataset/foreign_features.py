"""Which features of other programs' records are the picture and the label, and what they hold. No TensorFlow."""

from __future__ import annotations

import io
import os
from typing import NamedTuple

from dogcat.core.options import InputError
from dogcat.core.text import printable, shortened
from dogcat.dataset import example_proto
from dogcat.dataset.example_proto import Values
from dogcat.pictures import formats, pillow_decoder, rejections
from dogcat.pictures.geometry import MAX_PIXELS

# Formats that TensorFlow decodes.
DECODED = ("JPEG", "PNG", "GIF", "BMP")

# Names that features have in TF-Slim and Inception, TensorFlow Datasets, TensorFlow's and Keras' tutorials.
_IMAGE_KEYS = ("image/encoded", "image", "image_raw")
_LABEL_KEYS = ("image/class/text", "image/class/label", "label", "target", "class", "category_id")
# What Pillow calls BMPs without a palette of colours.
_BMP_MODES = ("L", "RGB", "RGBA")
# Longer values are not shown, but told by their size.
_LONGEST_SHOWN = 40
_LONGEST_LIST = 160
_MOST_SHOWN = 4


class Keys(NamedTuple):
    """Names of the features of a picture and of its label; empty: to be found."""

    image: str
    label: str


class ForeignPicture(NamedTuple):
    """What a record holds: an encoded picture, and its label as a number or a text."""

    encoded: bytes
    label: int | str


def features_of(data: bytes) -> dict[str, Values]:
    """The values of each feature of a record, by name.

    Raises:
        ValueError: It is not a tf.train.Example.
    """
    try:
        return example_proto.decode_example(data)
    except ValueError as error:
        raise ValueError(f"it is not a tf.train.Example: {error}") from error


def find_keys(data: bytes, given: Keys) -> Keys:
    """Completes the keys that are not given by what a record holds.

    Raises:
        InputError: Which feature is meant cannot be told.
        ValueError: The record is not a tf.train.Example.
    """
    features = features_of(data)
    pictures = [key for key, values in sorted(features.items()) if _picture_format(values)]
    # Of both that TF-Slim's records have, the text needs no knowledge of where numbers begin.
    labels = [key for key in _LABEL_KEYS if key in features and len(features[key]) == 1 and features[key][0] != b""]
    if labels[:2] == list(_LABEL_KEYS[:2]):
        del labels[1]
    return Keys(
        given.image or _only("image_key", [key for key in pictures if key in _IMAGE_KEYS] or pictures, features),
        given.label or _only("label_key", labels, features),
    )


def parse(data: bytes, keys: Keys) -> ForeignPicture:
    """The picture and the label of a record.

    Raises:
        ValueError: A feature is missing, or does not hold one; says which, and what is there.
    """
    features = features_of(data)
    encoded = _single(features, keys.image)
    if not isinstance(encoded, bytes):
        raise ValueError(f"{printable(keys.image)} is a {_kind([encoded])}, not a picture; it has {listed(features)}")
    wrong = wrong_with(encoded)
    if wrong:
        raise ValueError(f"{printable(keys.image)} {wrong}")
    label = _single(features, keys.label)
    if isinstance(label, float):
        raise ValueError(f"{printable(keys.label)} is the fraction {label}; a label is a whole number or a text")
    if label == b"":
        raise ValueError(f"{printable(keys.label)} is an empty text")
    return ForeignPicture(encoded, os.fsdecode(label) if isinstance(label, bytes) else label)


def wrong_with(encoded: bytes) -> str:
    """What keeps bytes from being a picture that TensorFlow decodes, as far as its header tells; empty: nothing."""
    start = encoded[: formats.START_BYTES]
    format_ = formats.format_of(start)
    if format_ not in DECODED:
        what = format_ or f"{len(encoded):,} bytes that begin with {start[:8]!r}"
        return f"is not a picture that TensorFlow decodes ({', '.join(DECODED)}), but {what}"
    try:
        image = pillow_decoder.open_picture(io.BytesIO(encoded), format_, start)
    except rejections.RejectedPicture as rejected:
        return f"cannot be read as {format_}: {rejected}"
    # Pillow raises nearly anything on damaged bytes.
    except Exception as error:
        return f"cannot be read as {format_}: {pillow_decoder.one_line(error)}"
    if format_ == "BMP" and image.mode not in _BMP_MODES:
        return "is a BMP with a palette, whose colours TensorFlow does not read"
    width, height = image.size
    if width * height > MAX_PIXELS:
        return f"has {width}x{height} pixels, more than the {MAX_PIXELS:,} that a picture may have"
    return ""


def listed(features: dict[str, Values]) -> str:
    """The features of a record for a person, like "image (JPEG), label (number)"."""
    parts = [f"{key} ({_kind(values)})" for key, values in sorted(features.items())]
    return shortened(", ".join(parts), _LONGEST_LIST) or "no features"


def type_of(values: Values) -> str:
    """What `tf.train.Feature` calls the kind of some values."""
    names = {bytes: "bytes", int: "int64", float: "float"}
    return names[type(values[0])] if values else "empty"


def shown(values: Values) -> str:
    """Values for a person: the first ones, or what long bytes are."""
    if len(values) == 1 and isinstance(values[0], bytes) and len(values[0]) > _LONGEST_SHOWN:
        return f"{_picture_format(values) or 'bytes'}, {len(values[0]):,} bytes"
    first = values[:_MOST_SHOWN]
    parts = [os.fsdecode(value[:_LONGEST_SHOWN]) if isinstance(value, bytes) else f"{value}" for value in first]
    return shortened(" ".join(parts), _LONGEST_SHOWN) + (" ..." if len(values) > len(parts) else "")


def _only(flag: str, found: list[str], features: dict[str, Values]) -> str:
    what = "a picture" if flag == "image_key" else "a label by its name"
    if len(found) == 1:
        return found[0]
    several = f"several features may be {what}: {shortened(', '.join(found), _LONGEST_LIST)}"
    none = f"no feature is known to be {what}; there are {listed(features)}"
    raise InputError(f"{several if found else none}; give one by --{flag}")


def _single(features: dict[str, Values], key: str) -> bytes | float | int:
    if key not in features:
        raise ValueError(f"it has no feature {printable(key)}, but {listed(features)}")
    values = features[key]
    if len(values) != 1:
        raise ValueError(f"{printable(key)} has {len(values)} values instead of one")
    return values[0]


def _picture_format(values: Values) -> str:
    """The format of the one picture that these are; empty: they are not one that TensorFlow decodes."""
    if len(values) != 1 or not isinstance(values[0], bytes):
        return ""
    format_ = formats.format_of(values[0][: formats.START_BYTES])
    return format_ if format_ in DECODED else ""


def _kind(values: Values) -> str:
    """What some values are, in a word or two."""
    format_ = _picture_format(values)
    if format_ or not values:
        return format_ or "empty"
    name = {bytes: "bytes", int: "number", float: "fraction"}[type(values[0])]
    if name == "bytes" and max(map(len, values)) <= _LONGEST_SHOWN:  # type: ignore[arg-type]
        name = "text"
    return name if len(values) == 1 else f"{name}, {len(values)} values"
