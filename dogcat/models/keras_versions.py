"""What differs between Keras 2, of TensorFlow 2.15 with Addons, and Keras 3; nothing else asks which one is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import __version__ as _KERAS_VERSION
from tensorflow import keras

from dogcat.models import keras_configs

IS_KERAS_3 = _KERAS_VERSION.startswith("3.")

if not IS_KERAS_3:
    import tensorflow_addons as tfa

# Addons' and the paper's; Keras 3 has another.
_LAMB_EPSILON = 1e-6


def versions() -> dict[str, str]:
    """The versions of the packages that compute, by name."""
    found = {"tensorflow": tf.__version__, "keras": _KERAS_VERSION}
    return found if IS_KERAS_3 else {**found, "tensorflow_addons": tfa.__version__}


def opens(keras_version: str) -> bool:
    """Whether the Keras that is there opens `.keras` files and states of another version by itself."""
    return keras_version.partition(".")[0] == _KERAS_VERSION.partition(".")[0]


def readable(config: Any, keras_version: str) -> Any:
    """A model's configuration as the Keras that is there reads it.

    Args:
        config: The configuration, as plain data.
        keras_version: The version of Keras that wrote it.

    Raises:
        ValueError: Only a newer Keras reads it.
    """
    if opens(keras_version):
        return config
    if not IS_KERAS_3:
        raise ValueError(f"was saved by Keras {keras_version}, and Keras {_KERAS_VERSION} does not read it")
    return keras_configs.to_keras_3(config)


def variables_of(weights: Sequence[Any]) -> list[tf.Variable]:
    """TensorFlow's variables behind the weights of a layer, model or optimizer."""
    return [weight.value for weight in weights] if IS_KERAS_3 else list(weights)


def variables_below(root: Any) -> list[tf.Variable]:
    """TensorFlow's variables in an object that it tracks, like a checkpoint."""
    objects = tf.train.TrackableView(root).descendants()
    if IS_KERAS_3:
        objects = [found.value if isinstance(found, keras.Variable) else found for found in objects]
    return [found for found in objects if isinstance(found, tf.Variable)]


def build_optimizer(optimizer: Any, weights: Sequence[Any]) -> None:
    """Makes the variables of an optimizer for these weights, under the strategy of the weights."""
    # Addons' has Keras' former name for it.
    (getattr(optimizer, "build", None) or optimizer._create_all_weights)(weights)


def minimize(optimizer: Any, loss: tf.Tensor, weights: Sequence[Any], tape: tf.GradientTape) -> None:
    """Takes a step of a built optimizer; called in a replica, gradients of all replicas are added up.

    Args:
        optimizer: The optimizer; one that scales the loss does so here.
        loss: The loss, computed under `tape`.
        weights: What is trained.
        tape: The tape.
    """
    if not IS_KERAS_3:
        optimizer.minimize(loss, weights, tape=tape)
        return
    with tape:
        scaled = optimizer.scale_loss(loss)
    gradients = tape.gradient(scaled, variables_of(weights))
    if isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer):
        gradients = _finite_in_all_replicas(gradients)
    optimizer.apply(gradients, weights)


def _finite_in_all_replicas(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """The gradients, with one that is not a number where any replica has one that is not finite.

    Keras 3 looks at those of the first replica alone before it adds up all of them.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return gradients
    own = tf.add_n([tf.reduce_sum(0 * gradient) for gradient in gradients])
    return [gradients[0] + replica.all_reduce(tf.distribute.ReduceOp.SUM, own), *gradients[1:]]


def make_lamb(rate: Any, weight_decay: float) -> Any:
    """LAMB, of You et al., 2019 (arXiv:1904.00962): Addons', or Keras' own with the decay where the paper has it.

    Args:
        rate: The learning rate or its schedule.
        weight_decay: Share of each weight that is added to its update before the update is scaled.
    """
    if not IS_KERAS_3:
        return tfa.optimizers.LAMB(rate, weight_decay=weight_decay, epsilon=_LAMB_EPSILON)

    class Lamb(keras.optimizers.Lamb):
        """Keras' own, which decays weights apart from the update, by the learning rate alone."""

        def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
            """Sets a variable and its two moments."""
            index = self._get_variable_index(variable)
            mean, square = self._momentums[index].value, self._velocities[index].value
            mean.assign_add((gradient - mean) * (1 - self.beta_1))
            square.assign_add((tf.square(gradient) - square) * (1 - self.beta_2))
            step = tf.cast(self.iterations + 1, variable.dtype)
            of_mean, of_square = (1 - tf.pow(beta, step) for beta in (self.beta_1, self.beta_2))
            update = mean / of_mean / (tf.sqrt(square / of_square) + self.epsilon) + weight_decay * variable
            length, size = tf.norm(variable), tf.norm(update)
            ratio = tf.where((length > 0) & (size > 0), length / size, 1.0)
            variable.assign_sub(ratio * learning_rate * update)

    return Lamb(rate, epsilon=_LAMB_EPSILON)
