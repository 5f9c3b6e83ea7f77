"""Optimizers and the learning rate over the steps of a run."""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow import keras

from dogcat.models import keras_versions
from dogcat.training.options import TrainingOptions

# Rates that --find_lr tries: far below any that trains to above any that does.
RISING_STEPS, _LOWEST, _HIGHEST = 100, 1e-6, 1.0


class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate as a function of the step, counted from 0."""

    def of(self, step: int) -> float:
        """Rate of a step, to the digits that float32 has."""
        return float(f"{float(self(step)):.6g}")


class RisingRate(Rate):
    """A rate that each step multiplies by the same, from the lowest to the highest that are tried."""

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Rate of a step."""
        return _LOWEST * (_HIGHEST / _LOWEST) ** (tf.cast(step, tf.float32) / (RISING_STEPS - 1))


class WarmupSchedule(Rate):
    """A rate that rises to its highest value in a straight line, then stays or falls to 0 along half a cosine."""

    def __init__(self, highest: float, warmup_steps: int, cosine_steps: int) -> None:
        """Takes the highest rate, the steps that rise, and those that fall after them; 0: the rate stays."""
        super().__init__()
        self._highest = highest
        self._warmup_steps = warmup_steps
        self._cosine_steps = cosine_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Rate of a step, counted from 0; the first one is not 0."""
        step = tf.cast(step, tf.float32)
        share = tf.minimum(1.0, (step + 1) / (self._warmup_steps + 1))
        if self._cosine_steps:
            done = tf.clip_by_value((step - self._warmup_steps) / self._cosine_steps, 0.0, 1.0)
            share *= 0.5 * (1 + tf.cos(math.pi * done))
        return self._highest * share


def make_rate(options: TrainingOptions, steps: int) -> Rate:
    """The learning rate of a run of so many steps."""
    if options.find_lr:
        return RisingRate()
    cosine_steps = max(1, steps - options.warmup_steps) if options.schedule == "cosine" else 0
    return WarmupSchedule(options.learning_rate, options.warmup_steps, cosine_steps)


def make_optimizer(options: TrainingOptions, rate: Rate) -> keras.optimizers.Optimizer:
    """Makes the optimizer that the options name, under the current precision policy."""
    optimizer = {
        "adam": lambda: keras.optimizers.Adam(rate),
        "adamw": lambda: keras.optimizers.AdamW(rate, weight_decay=options.weight_decay),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=options.momentum),
        "rmsprop": lambda: keras.optimizers.RMSprop(rate),
        "lamb": lambda: keras_versions.make_lamb(rate, options.weight_decay),
    }[options.optimizer]()
    if keras.mixed_precision.global_policy().compute_dtype == "float16":
        # Small gradients would round to 0 in float16.
        return keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer
