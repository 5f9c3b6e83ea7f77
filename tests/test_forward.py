from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dogcat.forward import Forward

PICTURES = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)


def padded_batches(context):
    return tf.data.Dataset.from_tensor_slices(np.concatenate([PICTURES, PICTURES[:1]])).batch(2)


@pytest.mark.parametrize("strategy", [tf.distribute.get_strategy(), tf.distribute.OneDeviceStrategy("/cpu:0")])
def test_outputs_are_in_order_and_the_padding_is_trimmed(strategy):
    def sums_and_numbers(pictures, number):
        sums = tf.reduce_sum(tf.cast(pictures, tf.float32), axis=(1, 2, 3))
        return tf.stack([sums, tf.fill(tf.shape(sums), tf.cast(number, tf.float32))], axis=1)

    forward = Forward(sums_and_numbers, strategy)
    for _ in range(2):
        outputs = forward(padded_batches, 5, "testing")
        np.testing.assert_array_equal(outputs[:, 0], PICTURES.astype(np.float32).sum(axis=(1, 2, 3)))
        assert outputs[:, 1].tolist() == [0, 0, 1, 1, 2]
    rest = list(forward.batches(lambda context: padded_batches(context).skip(1), 5, "testing", first=2))
    assert [len(batch) for batch in rest] == [2, 1]
    np.testing.assert_array_equal(np.concatenate(rest)[:, 0], outputs[2:, 0])
    assert list(forward.batches(lambda context: padded_batches(context).skip(3), 5, "testing", first=5)) == []
