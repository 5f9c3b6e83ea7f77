from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from dogcat.models import devices, keras_versions
from dogcat.training import optimizers
from dogcat.training.options import TrainingOptions


def rates(steps, **options):
    rate = optimizers.make_rate(TrainingOptions(learning_rate=1.0, **options), steps)
    return [float(rate(step)) for step in range(steps)]


def test_a_constant_rate_is_constant():
    assert rates(5) == [1.0] * 5


def test_a_warm_up_rises_in_a_straight_line():
    np.testing.assert_allclose(rates(6, warmup_steps=4), [0.2, 0.4, 0.6, 0.8, 1.0, 1.0], rtol=1e-6)


def test_rates_that_are_tried_rise_by_the_same_factor():
    tried = rates(optimizers.RISING_STEPS, find_lr=True)
    assert (tried[0], tried[-1]) == (pytest.approx(1e-6), pytest.approx(1.0))
    np.testing.assert_allclose(np.divide(tried[1:], tried[:-1]), 10 ** (6 / 99), rtol=1e-4)


def test_a_cosine_falls_as_keras_own():
    theirs = keras.optimizers.schedules.CosineDecay(1.0, 16)
    ours = rates(20, schedule="cosine", warmup_steps=4)
    np.testing.assert_allclose(ours[4:], [float(theirs(step)) for step in range(16)], atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop", "lamb"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_each_optimizer_comes_down_a_slope(name, policy):
    keras.mixed_precision.set_global_policy(policy)
    options = TrainingOptions(optimizer=name, learning_rate=0.05)
    optimizer = optimizers.make_optimizer(options, optimizers.make_rate(options, 20))
    layer = keras.layers.Dense(1, use_bias=False, dtype="float32")
    layer.build((None, 2))
    layer.set_weights([np.array([[3.0], [-2.0]])])
    keras_versions.build_optimizer(optimizer, layer.trainable_weights)
    for _ in range(20):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(np.eye(2)) ** 2)
        keras_versions.minimize(optimizer, loss, layer.trainable_weights, tape)
    assert np.sum(layer.get_weights()[0] ** 2) < 12
    assert int(optimizer.iterations) == 20


def test_a_gradient_that_is_infinite_in_one_replica_changes_nothing_in_any():
    keras.mixed_precision.set_global_policy("mixed_float16")
    strategy = devices.make_strategy("mirrored")
    options = TrainingOptions(optimizer="sgd", learning_rate=0.1)
    with strategy.scope():
        layer = keras.layers.Dense(1, use_bias=False, dtype="float32")
        layer.build((None, 2))
        layer.set_weights([np.ones((2, 1))])
        optimizer = optimizers.make_optimizer(options, optimizers.make_rate(options, 9))
        keras_versions.build_optimizer(optimizer, layer.trainable_weights)

    def step(infinite):
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(tf.ones((1, 2)))) * tf.where(replica == infinite, math.inf, 0.1)
        keras_versions.minimize(optimizer, loss, layer.trainable_weights, tape)

    take = tf.function(lambda infinite: strategy.run(step, (infinite,)))
    for infinite in (1, 0):
        take(tf.constant(infinite))
        np.testing.assert_array_equal(layer.get_weights()[0], np.ones((2, 1)))
    take(tf.constant(-1))
    # The sum over two replicas, times the rate.
    np.testing.assert_allclose(layer.get_weights()[0], np.full((2, 1), 1 - 0.1 * 0.2), rtol=1e-5)


def test_a_step_of_momentum_is_that_of_the_formula():
    options = TrainingOptions(optimizer="sgd", learning_rate=0.1, momentum=0.5)
    optimizer = optimizers.make_optimizer(options, optimizers.make_rate(options, 2))
    variable = tf.Variable(1.0)
    for _ in range(2):
        optimizer.apply_gradients([(tf.constant(1.0), variable)])
    # 1 - 0.1, then a velocity of 0.5 * 0.1 + 0.1.
    assert float(variable) == pytest.approx(0.75)
