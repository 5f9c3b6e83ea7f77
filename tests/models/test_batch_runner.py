from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

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


def test_openvino_computes_what_keras_does():
    model = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
    # As built, every BatchNorm would do nothing.
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])

    def network(pictures):
        return model(tf.cast(pictures, tf.float32) / 127.5 - 1, training=False)

    batches = [random.integers(0, 256, (4, 96, 96, 3), np.uint8) for _ in range(3)]
    compiled = OpenVinoNetwork(network, [model], batch_size=4, image_size=96, precision="float32")
    # Two at once, as `make_forward` runs them.
    started = [compiled.start(batch) for batch in batches[:2]]
    results = [result() for result in started] + [compiled.start(batches[2])()]
    for batch, result in zip(batches, results):
        wanted = network(batch).numpy()
        np.testing.assert_allclose(result, wanted, atol=1e-4 * np.abs(wanted).max())
