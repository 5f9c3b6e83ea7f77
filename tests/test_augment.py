"""The warp against Keras' own `ImageDataGenerator`, which SciPy resamples."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from dogcat import augment

SIZE = 149
# Farther from the edge than a zoom of 1.2 and the shear reach: there both read inside the picture.
INNER = slice(32, SIZE - 32)


def pictures(count):
    """Smooth random pictures with detail of a few pixels, uint8 [count, SIZE, SIZE, 3]."""
    noise = tf.random.stateless_uniform((count, SIZE // 3, SIZE // 3, 3), (1, 2), 0, 255)
    return tf.cast(tf.image.resize(noise, (SIZE, SIZE), "bicubic"), tf.uint8)


def keras_warp(picture, parameters, index):
    transform = {
        "shear": float(parameters.shear[index]),
        "zx": float(parameters.zoom_x[index]),
        "zy": float(parameters.zoom_y[index]),
        "flip_horizontal": bool(parameters.flip[index]),
    }
    generator = keras.preprocessing.image.ImageDataGenerator(fill_mode="nearest", interpolation_order=1)
    return generator.apply_transform(picture.astype(np.float32), transform)


def assert_like_keras(batch, parameters, warped):
    for index in range(len(batch)):
        expected = keras_warp(batch[index].numpy(), parameters, index)[INNER, INNER]
        difference = np.abs(warped[index].numpy()[INNER, INNER] - expected)
        assert difference.mean() <= 1.0
        assert difference.max() <= 2.0


def test_equals_keras_for_drawn_parameters():
    batch = pictures(32)
    parameters = augment.draw(32, (3, 4))
    assert_like_keras(batch, parameters, augment.warp(batch, parameters))


def test_equals_keras_for_a_large_shear():
    batch = pictures(3)
    parameters = augment.WarpParameters(
        shear=tf.constant([10.0, -10.0, 5.0]),
        zoom_y=tf.constant([0.8, 1.0, 1.1]),
        zoom_x=tf.constant([1.0, 0.9, 1.1]),
        flip=tf.constant([0.0, 1.0, 1.0]),
    )
    assert_like_keras(batch, parameters, augment.warp(batch, parameters))


def test_a_flip_alone_is_exact():
    batch = pictures(2)
    ones, zeros = tf.ones(2), tf.zeros(2)
    parameters = augment.WarpParameters(shear=zeros, zoom_y=ones, zoom_x=ones, flip=tf.constant([0.0, 1.0]))
    warped = augment.warp(batch, parameters)
    np.testing.assert_array_equal(warped[0], batch[0])
    np.testing.assert_array_equal(warped[1], batch[1, :, ::-1])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_the_same_inside_a_function_a_dataset_and_under_each_policy(policy):
    keras.mixed_precision.set_global_policy(policy)
    batch = pictures(4)
    parameters = augment.draw(4, (5, 6))
    eager = augment.warp(batch, parameters)
    assert eager.dtype == tf.uint8 and eager.shape == batch.shape
    np.testing.assert_array_equal(tf.function(augment.warp)(batch, parameters), eager)
    dataset = tf.data.Dataset.from_tensors(batch).map(lambda b: augment.warp(b, augment.draw(4, (5, 6))))
    np.testing.assert_array_equal(next(iter(dataset)), eager)


def test_parameters_follow_from_the_seed():
    a, b, c = augment.draw(8, (1, 2)), augment.draw(8, (1, 2)), augment.draw(8, (1, 3))
    np.testing.assert_array_equal(a.zoom_x, b.zoom_x)
    assert not np.array_equal(a.zoom_x, c.zoom_x)


def test_parameters_fill_their_ranges():
    drawn = augment.draw(20_000, (0, 0))
    for values, low, high in (
        (drawn.shear, -0.2, 0.2),
        (drawn.zoom_x, 0.8, 1.2),
        (drawn.zoom_y, 0.8, 1.2),
    ):
        assert low <= np.min(values) < low + 0.001
        assert high - 0.001 < np.max(values) <= high
        assert abs(np.mean(values) - (low + high) / 2) < 0.005
    assert set(np.unique(drawn.flip)) == {0.0, 1.0}
    assert abs(np.mean(drawn.flip) - 0.5) < 0.02
    assert abs(np.corrcoef(drawn.zoom_x, drawn.zoom_y)[0, 1]) < 0.03
