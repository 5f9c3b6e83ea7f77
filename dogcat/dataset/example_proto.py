"""The tf.train.Example of a picture: feature keys, and the bytes of the message.

The message is written and read field by field, since TensorFlow's own class would bring 300 MB and four seconds of
import into every process of the shard tool, and its map of features has no fixed order in bytes. The
layout is protocol buffers' wire format (protobuf.dev/programming-guides/encoding) for
tensorflow/core/example/{example,feature}.proto; tests compare with `tf.train.Example`.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator
from typing import Union

ENCODED = "image/encoded"
FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
FILENAME = "image/filename"
LABEL = "image/class/label"
TEXT = "image/class/text"
# Size of the picture before it was resized, upright.
ORIGINAL_HEIGHT = "image/original/height"
ORIGINAL_WIDTH = "image/original/width"

# Field numbers in feature.proto.
_BYTES_LIST = 1
_FLOAT_LIST = 2
_INT64_LIST = 3

# Wire types.
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5

Values = Union[list[bytes], list[float], list[int]]


def picture_features(
    key: str, label: int, text: str, encoded: bytes, encoding: str, size: int
) -> dict[str, bytes | int]:
    """Features of a picture of a data set, but for the size that it had before.

    Args:
        key: The picture's key.
        label: Its label.
        text: The name of its class.
        encoded: Its bytes.
        encoding: What these are: jpeg, png or raw.
        size: Its height and width, in pixels.
    """
    return {
        ENCODED: encoded,
        FORMAT: encoding.encode(),
        HEIGHT: size,
        WIDTH: size,
        FILENAME: os.fsencode(key),
        LABEL: label,
        TEXT: os.fsencode(text),
    }


def encode_example(features: dict[str, bytes | int]) -> bytes:
    """Serialises features by key; equal to `SerializeToString(deterministic=True)` of tf.train.Example."""
    parts = _entry_parts(features)
    return b"".join((message_start(sum(map(len, parts))), *parts))


def message_start(length: int) -> bytes:
    """What stands in a serialised example before its entries of `length` bytes."""
    return _start(1, length)


def encode_entries(features: dict[str, bytes | int]) -> bytes:
    """Serialises features as entries of the message's map, sorted by key."""
    return b"".join(_entry_parts(features))


def _entry_parts(features: dict[str, bytes | int]) -> list[bytes]:
    """What `encode_entries` joins: long values stand alone, so that each is copied once."""
    parts: list[bytes] = []
    for key in sorted(features):
        value = features[key]
        if isinstance(value, bytes):
            parts += bytes_entry_start(key, len(value)), value
        else:
            parts.append(_integer_entry(key, value))
    return parts


# The pictures of a data set have most lengths and sizes in common.
@functools.lru_cache(maxsize=4096)
def bytes_entry_start(key: str, length: int) -> bytes:
    """What stands in an entry of one value of `length` bytes before that value."""
    start = _start(1, length)
    for number in (_BYTES_LIST, 2):
        start = _start(number, len(start) + length) + start
    start = _field(1, key.encode()) + start
    return _start(1, len(start) + length) + start


@functools.lru_cache(maxsize=4096)
def _integer_entry(key: str, value: int) -> bytes:
    # A list of integers is packed: one field that holds the varints. Negative ones are 64-bit two's complement.
    feature = _field(_INT64_LIST, _field(1, _varint(value & (2**64 - 1))))
    return _field(1, _field(1, key.encode()) + _field(2, feature))


def _field(number: int, payload: bytes) -> bytes:
    """A field of wire type 2: tag, length, bytes."""
    return _start(number, len(payload)) + payload


def _start(number: int, length: int) -> bytes:
    """Tag and length of a field of wire type 2."""
    return bytes((number << 3 | _LENGTH_DELIMITED,)) + _varint(length)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_example(data: bytes) -> dict[str, Values]:
    """Reads a serialised tf.train.Example: the values of each feature, by key.

    Fields may come in any order, integers packed or not, and unknown fields are passed over, as protocol buffers
    want it. A feature without a kind has no values.

    Raises:
        ValueError: The bytes are no such message.
    """
    features: dict[str, Values] = {}
    for number, wire_type, payload in _fields(memoryview(data)):
        if (number, wire_type) == (1, _LENGTH_DELIMITED):
            for inner, inner_type, entry in _fields(payload):
                if (inner, inner_type) == (1, _LENGTH_DELIMITED):
                    key, values = _decode_entry(entry)
                    features[key] = values
    return features


def _decode_entry(entry: memoryview) -> tuple[str, Values]:
    """Reads an entry of the map of features."""
    key = b""
    # Messages that come in parts are one message: the parts end to end.
    feature = b""
    for number, wire_type, payload in _fields(entry):
        if (number, wire_type) == (1, _LENGTH_DELIMITED):
            key = bytes(payload)
        elif (number, wire_type) == (2, _LENGTH_DELIMITED):
            feature += payload
    return key.decode(), _decode_feature(memoryview(feature))


def _decode_feature(feature: memoryview) -> Values:
    kind = 0
    values: list = []
    for number, wire_type, payload in _fields(feature):
        if wire_type == _LENGTH_DELIMITED and number in (_BYTES_LIST, _FLOAT_LIST, _INT64_LIST):
            # One kind excludes the others: the last one counts.
            if number != kind:
                kind, values = number, []
            values += _decode_list(kind, payload)
    return values


def _decode_list(kind: int, payload: memoryview) -> list:
    values: list = []
    for number, wire_type, value in _fields(payload):
        if number != 1:
            continue
        if kind == _BYTES_LIST and wire_type == _LENGTH_DELIMITED:
            values.append(bytes(value))
        elif kind == _INT64_LIST and wire_type in (_VARINT, _LENGTH_DELIMITED):
            at = 0
            while at < len(value):
                integer, at = _read_varint(value, at)
                values.append(integer - 2**64 if integer >= 2**63 else integer)
        elif kind == _FLOAT_LIST and wire_type in (_FIXED32, _LENGTH_DELIMITED):
            if len(value) % 4:
                raise ValueError(f"a list of floats of {len(value)} bytes")
            values += struct.unpack(f"<{len(value) // 4}f", value)
    return values


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """The fields of a message: number, wire type, bytes; a varint's own, else those behind any length."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number < 2**29:
            raise ValueError(f"a field of number {number}")
        if wire_type == _VARINT:
            _, end = _read_varint(message, at)
        elif wire_type == _FIXED64:
            end = at + 8
        elif wire_type == _FIXED32:
            end = at + 4
        elif wire_type == _LENGTH_DELIMITED:
            length, at = _read_varint(message, at)
            end = at + length
        else:
            raise ValueError(f"a field of wire type {wire_type}")
        if end > len(message):
            raise ValueError(f"field {number} ends {end - len(message)} bytes behind its message")
        yield number, wire_type, message[at:end]
        at = end


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """Reads a varint; returns its lower 64 bits, as protocol buffers' own readers do, and the place behind it."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & (2**64 - 1), at
        if shift == 70:
            break
    raise ValueError("a number that is cut short or longer than 10 bytes")
