"""Reads messages of protocol buffers as TensorFlow writes them, and takes no others.

Where a reader may choose, as with a field that is there twice, two readers could see two different things.
"""

from __future__ import annotations

import struct
from collections.abc import Container
from typing import Any

# How fields are stored (protobuf.dev/programming-guides/encoding).
VARINT, BYTES, FIXED32 = 0, 2, 5

DAMAGED = "is damaged or cut off"

# A message: whole numbers or bytes by the numbers of their fields.
Fields = dict[int, list[Any]]


def fields_of(data: bytes, kinds: dict[int, int], repeated: Container[int] = ()) -> Fields:
    """The fields of a message.

    Args:
        data: Its bytes.
        kinds: How each field that it may have is stored, by its number.
        repeated: The fields that may stand there more than once.

    Raises:
        ValueError: It is damaged, or has other fields.
    """
    fields: Fields = {}
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kinds.get(number) != kind or (number in fields and number not in repeated):
            raise ValueError(f"has the field {number}, which TensorFlow does not write here")
        value: Any
        if kind == FIXED32:
            [value] = struct.unpack_from("<I", data, at)
            at += 4
        else:
            value, at = varint(data, at)
        if kind == BYTES:
            value, at = data[at : at + value], at + value
            if at > len(data):
                raise ValueError(DAMAGED)
        fields.setdefault(number, []).append(value)
    return fields


def only(fields: Fields, number: int, default: Any = 0) -> Any:
    """The value of a field that is there once at most."""
    [value] = fields.get(number, [default])
    return value


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number below 2^63 in as few bytes as it takes, and where it ends.

    Raises:
        ValueError: There is none.
    """
    value = 0
    for count in range(9):
        if at + count >= len(data):
            break
        byte = data[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if not byte and count:
                break
            return value, at + count + 1
    raise ValueError(DAMAGED)
