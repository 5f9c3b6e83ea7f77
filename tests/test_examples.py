from __future__ import annotations

import pytest
import tensorflow as tf

from dogcat import examples


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
@pytest.mark.parametrize("label", [0, 1, 999, -1])
def test_bytes_equal_those_of_tensorflow(size, label):
    encoded = bytes(range(256)) * (size // 256) + bytes(size % 256)
    ours = examples.encode_example(
        {
            examples.ENCODED: encoded,
            examples.FORMAT: b"jpeg",
            examples.HEIGHT: 299,
            examples.WIDTH: 71,
            examples.FILENAME: b"caf\xe9/1.jpg",
            examples.LABEL: label,
            examples.TEXT: b"dog",
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
