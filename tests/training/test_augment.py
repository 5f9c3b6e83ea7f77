"""The warp against Keras' own `ImageDataGenerator`, which SciPy resamples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tensorflow import keras

from dogcat.models import preflight
from dogcat.training import augment
from dogcat.training.augmentations import AUGMENTATIONS, AugmentationRanges

SIZE = 149
STRONG = AUGMENTATIONS["strong"]
# Far beyond what a run would use, so that most pictures show much of their filled border.
WIDE = AugmentationRanges(shear=40, zoom=0.5, flip=0.5, rotate=180, shift=0.3, brightness=0.9)


def pictures(count):
    """Random pictures with detail of a few pixels, uint8 [count, SIZE, SIZE, 3]."""
    noise = tf.random.stateless_uniform((count, SIZE // 3, SIZE // 3, 3), (1, 2), 5, 250)
    return tf.cast(tf.image.resize(noise, (SIZE, SIZE)), tf.uint8)


def keras_generator(ranges):
    return keras.preprocessing.image.ImageDataGenerator(
        rotation_range=ranges.rotate,
        width_shift_range=ranges.shift,
        height_shift_range=ranges.shift,
        shear_range=ranges.shear,
        zoom_range=ranges.zoom,
        horizontal_flip=True,
        brightness_range=(1 - ranges.brightness, 1 + ranges.brightness),
        fill_mode="nearest",
        interpolation_order=1,
    )


def keras_draws(ranges, count):
    """What Keras draws: the keywords of `apply_transform`, `count` times, the same ones in each call."""
    generator = keras_generator(ranges)
    return [generator.get_random_transform((SIZE, SIZE, 3), seed=index) for index in range(count)]


def as_parameters(transforms):
    """Keras' draws as ours. Its x runs along the columns, as ours, and its shifts are in pixels."""

    def column(name):
        return np.array([transform[name] for transform in transforms], np.float32)

    return augment.WarpParameters(
        rotate=column("theta"),
        shift_x=column("tx") / SIZE,
        shift_y=column("ty") / SIZE,
        shear=column("shear"),
        zoom_x=column("zx"),
        zoom_y=column("zy"),
        flip=column("flip_horizontal"),
        brightness=column("brightness"),
    )


def unchanged(count):
    """Parameters that leave `count` pictures as they are."""
    zeros, ones = tf.zeros(count), tf.ones(count)
    return augment.WarpParameters(
        rotate=zeros, shift_x=zeros, shift_y=zeros, shear=zeros, zoom_x=ones, zoom_y=ones, flip=zeros, brightness=None
    )


@pytest.fixture(scope="module")
def keras_warps():
    """200 pictures, Keras' draws for them, and its warps without brightness, float32."""
    batch = pictures(200)
    transforms = keras_draws(WIDE, 200)
    generator = keras_generator(WIDE)
    warped = [
        generator.apply_transform(picture, {**transform, "brightness": None})
        for picture, transform in zip(batch.numpy().astype(np.float32), transforms)
    ]
    return batch, transforms, np.stack(warped)


def test_the_geometry_is_that_of_keras_up_to_the_border(keras_warps):
    batch, transforms, expected = keras_warps
    ours = augment.warp(batch, as_parameters(transforms)._replace(brightness=None))
    # Rounding takes half a level.
    np.testing.assert_allclose(ours, expected, rtol=0, atol=0.55)


def test_brightness_is_that_of_keras_to_rounding(keras_warps):
    batch, transforms, warped = keras_warps
    ours = augment.warp(batch, as_parameters(transforms)).numpy().astype(int)
    generator = keras_generator(WIDE)
    for index, transform in enumerate(transforms):
        factor = transform["brightness"]
        expected = generator.apply_transform(warped[index], {"brightness": factor}).astype(int)
        # Keras cuts off what is behind the point twice, before the factor and after it.
        excess = ours[index] - expected
        assert excess.min() >= 0
        assert excess.max() <= factor + 1.5


def test_a_flip_alone_is_exact():
    batch = pictures(2)
    warped = augment.warp(batch, unchanged(2)._replace(flip=tf.constant([0.0, 1.0])))
    np.testing.assert_array_equal(warped[0], batch[0])
    np.testing.assert_array_equal(warped[1], batch[1, :, ::-1])


def test_a_shift_is_a_share_of_its_own_side():
    batch = pictures(1)[:, :100]
    parameters = unchanged(1)._replace(shift_x=tf.constant([10 / SIZE]), shift_y=tf.constant([0.2]))
    warped = augment.warp(batch, parameters)
    np.testing.assert_array_equal(warped[:, :80, :-10], batch[:, 20:, 10:])


def without_xla(pictures, parameters, monkeypatch):
    """The warp, where XLA does not compile."""
    with monkeypatch.context() as patch:
        patch.setattr(preflight, "xla_failure", lambda: "ptxas was not found")
        return augment.warp(pictures, parameters)


@pytest.mark.parametrize("brightness", [True, False])
def test_without_xla_pixels_are_the_same_to_rounding(brightness, monkeypatch):
    batch = pictures(100)[:, :100]
    for ranges in (AUGMENTATIONS["source"], STRONG, WIDE):
        parameters = augment.draw(100, ranges, (7, 8))
        # The source's recipe has none of its own.
        parameters = parameters._replace(brightness=tf.linspace(0.2, 1.9, 100) if brightness else None)
        plain = without_xla(batch, parameters, monkeypatch)
        assert plain.dtype == tf.uint8
        difference = np.abs(plain.numpy().astype(int) - augment.warp(batch, parameters).numpy())
        assert difference.max() <= 1 and np.mean(difference > 0) < 5e-4


def test_without_xla_the_geometry_is_that_of_keras_up_to_the_border(keras_warps, monkeypatch):
    batch, transforms, expected = keras_warps
    plain = without_xla(batch, as_parameters(transforms)._replace(brightness=None), monkeypatch)
    np.testing.assert_allclose(plain, expected, rtol=0, atol=0.55)


def test_without_any_range_pictures_are_not_touched():
    batch = pictures(2)
    assert augment.apply(batch, AUGMENTATIONS["none"], (0, 0)) is batch


def test_the_same_eagerly_inside_a_function_and_inside_a_dataset():
    batch = pictures(4)

    def apply(batch):
        return augment.apply(batch, STRONG, (5, 6))

    eager = apply(batch).numpy().astype(int)
    for graph in (tf.function(apply)(batch), next(iter(tf.data.Dataset.from_tensors(batch).map(apply)))):
        assert graph.dtype == tf.uint8 and graph.shape == batch.shape
        # A graph may reorder factors, and a value halfway between two levels goes to the other one.
        difference = np.abs(graph.numpy() - eager)
        assert difference.max() <= 1 and np.mean(difference > 0) < 1e-4


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_does_not_reach_augmentation(policy):
    batch = pictures(4)
    expected = tf.function(augment.apply)(batch, STRONG, (5, 6))
    keras.mixed_precision.set_global_policy(policy)
    np.testing.assert_array_equal(tf.function(augment.apply)(batch, STRONG, (5, 6)), expected)


def test_each_replica_draws_its_own_on_its_device():
    batch = pictures(4)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    devices = []

    def augment_share():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        augmented = augment.apply(batch, STRONG, augment.seed_of(1, epoch=2, step=3, replica=replica))
        devices.append(augmented.op.device[-5:])
        return augmented

    first, second = strategy.experimental_local_results(tf.function(lambda: strategy.run(augment_share))())
    assert devices == ["CPU:0", "CPU:1"]
    assert not np.array_equal(first, second)


def test_each_seed_epoch_step_and_replica_draws_its_own():
    draws = {
        augment.draw(2, STRONG, augment.seed_of(*key)).rotate.numpy().tobytes()
        for key in itertools.product(range(3), range(4), range(5), range(2))
    }
    assert len(draws) == 3 * 4 * 5 * 2


def test_the_seed_and_the_place_repeat_a_draw():
    plain = augment.draw(8, STRONG, augment.seed_of(1, 2, 3, 4))
    in_tensors = augment.draw(8, STRONG, augment.seed_of(1, *(tf.constant(number) for number in (2, 3, 4))))
    for one, other in zip(plain, in_tensors):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("ranges", [STRONG, WIDE], ids=["strong", "wide"])
def test_parameters_are_spread_as_those_of_keras(ranges):
    # As in training: few pictures a draw, many draws.
    draws = [augment.draw(8, ranges, augment.seed_of(0, 0, step, 0)) for step in range(500)]
    ours = augment.WarpParameters(*np.concatenate(draws, axis=1))
    theirs = as_parameters(keras_draws(ranges, 4000))
    for name in set(ours._fields) - {"flip"}:
        assert stats.ks_2samp(getattr(ours, name), getattr(theirs, name)).pvalue > 0.01, name
    assert set(ours.flip) == {0.0, 1.0}
    assert stats.binomtest(int(ours.flip.sum()), len(ours.flip), ranges.flip).pvalue > 0.01
    correlations = np.corrcoef(ours) - np.eye(len(ours))
    assert np.abs(correlations).max() < 0.05


@pytest.mark.parametrize("probability", [0.0, 0.2, 1.0])
def test_flip_is_a_probability(probability):
    drawn = augment.draw(10_000, AugmentationRanges(flip=probability), (0, 0)).flip
    assert np.mean(drawn) == pytest.approx(probability, abs=0.02 * (0 < probability < 1))


def test_source_is_the_recipe_of_the_project():
    drawn = augment.draw(4000, AUGMENTATIONS["source"], (0, 0))
    for values, low, high in ((drawn.shear, -0.2, 0.2), (drawn.zoom_x, 0.8, 1.2), (drawn.zoom_y, 0.8, 1.2)):
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01
    for values in (drawn.rotate, drawn.shift_x, drawn.shift_y):
        np.testing.assert_array_equal(values, 0)
    assert drawn.brightness is None
