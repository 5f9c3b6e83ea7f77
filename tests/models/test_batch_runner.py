from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dogcat.models.batch_runner import make_forward
from dogcat.models.openvino_network import OpenVinoNetwork

PICTURES = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)


def padded_batches(context):
    return tf.data.Dataset.from_tensor_slices(np.concatenate([PICTURES, PICTURES[:1]])).batch(2)


def sums(pictures):
    return tf.reduce_sum(tf.cast(pictures, tf.float32), axis=(1, 2, 3))


def numbered(pictures, number):
    return pictures + 10 * tf.cast(number, tf.uint8)


@pytest.mark.parametrize(
    "network, strategy",
    [
        (sums, tf.distribute.MirroredStrategy(["CPU:0"])),
        (sums, tf.distribute.OneDeviceStrategy("/cpu:0")),
        (OpenVinoNetwork(sums, [], batch_size=2, image_size=2, precision="float32"), tf.distribute.get_strategy()),
    ],
    ids=["mirrored", "one device", "openvino"],
)
def test_outputs_are_in_order_and_the_padding_is_trimmed(network, strategy):
    forward = make_forward(network, strategy)
    for _ in range(2):
        outputs = forward(padded_batches, 5, "testing")
        np.testing.assert_array_equal(outputs, PICTURES.astype(np.float32).sum(axis=(1, 2, 3)))
    rest = list(forward.batches(lambda context: padded_batches(context).skip(1), 5, "testing", first=2))
    assert [len(batch) for batch in rest] == [2, 1]
    np.testing.assert_array_equal(np.concatenate(rest), outputs[2:])
    assert list(forward.batches(lambda context: padded_batches(context).skip(3), 5, "testing", first=5)) == []
    outputs = make_forward(network, strategy, numbered)(padded_batches, 5, "testing")
    added = PICTURES + 10 * np.array([0, 0, 1, 1, 2], np.uint8)[:, None, None, None]
    np.testing.assert_array_equal(outputs, added.astype(np.float32).sum(axis=(1, 2, 3)))
