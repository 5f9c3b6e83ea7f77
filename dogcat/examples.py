"""The tf.train.Example of a picture: feature keys, and the bytes of the message.

The message is written field by field, since TensorFlow's own class would bring 300 MB and four seconds of
import into every process of the shard tool, and its map of features has no fixed order in bytes. The
layout is protocol buffers' wire format (protobuf.dev/programming-guides/encoding) for
tensorflow/core/example/{example,feature}.proto; tests compare with `tf.train.Example`.
"""

from __future__ import annotations

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
_INT64_LIST = 3


def encode_example(features: dict[str, bytes | int]) -> bytes:
    """Serialises features by key; equal to `SerializeToString(deterministic=True)` of tf.train.Example."""
    entries = (_field(1, _field(1, key.encode()) + _field(2, _feature(features[key]))) for key in sorted(features))
    return _field(1, b"".join(entries))


def _feature(value: bytes | int) -> bytes:
    if isinstance(value, bytes):
        return _field(_BYTES_LIST, _field(1, value))
    # A list of integers is packed: one field that holds the varints. Negative ones are 64-bit two's complement.
    return _field(_INT64_LIST, _field(1, _varint(value & (2**64 - 1))))


def _field(number: int, payload: bytes) -> bytes:
    """A field of wire type 2: tag, length, bytes."""
    return bytes((number << 3 | 2,)) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
