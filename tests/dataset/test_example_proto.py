from __future__ import annotations

import random
import struct

import pytest
import tensorflow as tf

from dogcat.dataset import example_proto


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
@pytest.mark.parametrize("label", [0, 1, 999, -1])
def test_bytes_equal_those_of_tensorflow(size, label):
    encoded = bytes(range(256)) * (size // 256) + bytes(size % 256)
    ours = example_proto.encode_example(
        {
            example_proto.ENCODED: encoded,
            example_proto.FORMAT: b"jpeg",
            example_proto.HEIGHT: 299,
            example_proto.WIDTH: 71,
            example_proto.FILENAME: b"caf\xe9/1.jpg",
            example_proto.LABEL: label,
            example_proto.TEXT: b"dog",
        }
    )

    def of_bytes(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_int(value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        "image/encoded": of_bytes(encoded),
        "image/format": of_bytes(b"jpeg"),
        "image/height": of_int(299),
        "image/width": of_int(71),
        "image/filename": of_bytes(b"caf\xe9/1.jpg"),
        "image/class/label": of_int(label),
        "image/class/text": of_bytes(b"dog"),
    }
    theirs = tf.train.Example(features=tf.train.Features(feature=features))
    assert tf.train.Example.FromString(ours) == theirs
    assert ours == theirs.SerializeToString(deterministic=True)


def example_of_all_kinds():
    example = tf.train.Example()
    feature = example.features.feature
    feature["image/encoded"].bytes_list.value.append(bytes(range(256)))
    feature["names"].bytes_list.value.extend([b"x", b""])
    feature["labels"].int64_list.value.extend([-1, 0, 5, 2**63 - 1, -(2**63)])
    feature["shares"].float_list.value.extend([1.5, -2.25])
    feature["nothing"].SetInParent()
    return example


def values_of(example):
    """What TensorFlow reads, in the form of `decode_example`."""
    return {
        key: list(getattr(feature, feature.WhichOneof("kind")).value) if feature.WhichOneof("kind") else []
        for key, feature in example.features.feature.items()
    }


def field(number, payload, wire_type=2):
    return bytes([number << 3 | wire_type]) + (bytes([len(payload)]) if wire_type == 2 else b"") + payload


def test_reads_what_was_encoded():
    features = {"image/filename": b"caf\xe9", "image/class/label": -1, "image/height": 2**40}
    decoded = example_proto.decode_example(example_proto.encode_example(features))
    assert decoded == {key: [value] for key, value in features.items()}


@pytest.mark.parametrize("deterministic", [True, False])
def test_reads_what_tensorflow_serialised(deterministic):
    example = example_of_all_kinds()
    assert example_proto.decode_example(example.SerializeToString(deterministic=deterministic)) == values_of(example)


@pytest.mark.parametrize(
    "feature",
    [
        field(3, field(1, b"\x05", 0) + field(1, b"\x07", 0)),
        field(3, field(1, b"\x05\x07")),
        field(3, field(1, b"\x05", 0)) + field(3, field(1, b"\x07")),
        field(1, field(1, b"x")) + field(3, field(1, b"\x05\x07")),
        field(2, field(1, struct.pack("<f", 1.5), 5) + field(1, struct.pack("<2f", 2.5, 3.5))),
        field(9, b"unknown") + field(8, bytes(8), 1) + field(3, field(1, b"\x05") + field(2, b"\x07", 0)),
    ],
)
@pytest.mark.parametrize("value_first", [True, False])
def test_any_order_packed_or_not_with_unknown_fields(feature, value_first):
    parts = [field(2, feature), field(1, b"key")]
    data = field(1, field(1, b"".join(parts if value_first else parts[::-1]))) + field(7, b"unknown")
    decoded = example_proto.decode_example(data)
    assert decoded == values_of(tf.train.Example.FromString(data))
    assert list(decoded) == ["key"] and decoded["key"]


def test_damaged_bytes_are_refused_as_tensorflow_does():
    whole = example_of_all_kinds().SerializeToString(deterministic=True)
    drawn = random.Random(0)
    refused = 0
    for _ in range(5000):
        data = bytearray(whole)
        place = drawn.randrange(len(data))
        damage = drawn.choice(["flip", "set", "remove", "add", "cut"])
        if damage == "flip":
            data[place] ^= 1 << drawn.randrange(8)
        elif damage == "set":
            data[place] = drawn.randrange(256)
        elif damage == "remove":
            del data[place : place + drawn.randrange(1, 5)]
        elif damage == "add":
            data[place:place] = drawn.randbytes(2)
        else:
            del data[place:]
        try:
            theirs = values_of(tf.train.Example.FromString(bytes(data)))
        except Exception:
            refused += 1
            with pytest.raises(ValueError):
                example_proto.decode_example(bytes(data))
            continue
        ours = example_proto.decode_example(bytes(data))
        # Their reader in Python drops an entry of the map that has an unknown field; their own in C++ does not.
        assert {key: ours.get(key) for key in theirs} == theirs or "nan" in repr(theirs)
    assert 1000 < refused < 4000
