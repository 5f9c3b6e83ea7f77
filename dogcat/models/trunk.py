"""A model in two: its frozen trunk, from pictures to the last single tensor below what trains, and what is above it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.models import architecture


@dataclasses.dataclass(frozen=True)
class Split:
    """Both parts of a model, which share its layers.

    What passes between them has the type that the model computes it in, and is bytes to all others: uint8
    [batch, *shape].

    Attributes:
        layers: Number of the backbone's layers that are in the trunk, the first ones.
        share: Share of the backbone's multiplications that the trunk does, above 0 and up to 1.
        shape: What passes of a picture: [height, width, channels, bytes of a number], or the last two alone.
    """

    layers: int
    share: float
    shape: tuple[int, ...]
    _dtype: tf.DType
    _trunk: Sequence[keras.Model]
    _above: Callable[[tf.Tensor, bool], tf.Tensor]
    _head: keras.layers.Layer

    def trunk(self, pictures: tf.Tensor) -> tf.Tensor:
        """What passes of pictures, uint8 [batch, height, width, 3]."""
        for part in self._trunk:
            pictures = part(pictures, training=False)
        return tf.bitcast(pictures, tf.uint8)

    def features(self, passed: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Features from what `trunk` gave, float32 [batch, channels].

        Args:
            passed: What it gave.
            training: Whether BatchNorms that train use the statistics of the batch.
        """
        return self._above(tf.bitcast(passed, self._dtype), training)

    def logits(self, passed: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits from what `trunk` gave, float32 [batch, 1 or classes]; the arguments are those of `features`."""
        return self._head(self.features(passed, training))

    def trunk_weights(self) -> list[np.ndarray]:
        """The weights that what passes follows from."""
        return [array for part in self._trunk for array in part.get_weights()]


def split(model: keras.Model, first_open: int) -> Split | None:
    """Cuts a model at the highest place where one tensor alone passes and all layers below are frozen.

    The first layer that trains may lie inside a block, where several tensors pass; then the cut is below that block,
    and the frozen layers above the cut stay what they are.

    Args:
        model: The model.
        first_open: Index of the first of the backbone's layers that trains; their number where none does.

    Returns:
        Both parts; None where nothing that computes is below such a place.
    """
    backbone, pooling = architecture.backbone_of(model), architecture.pooling_of(model)
    if first_open == len(backbone.layers):
        return _split(
            pooling, first_open, 1.0, [architecture.features_model(model)], lambda features, _: features, model
        )
    cut = _highest_cut(backbone, first_open)
    work = [_multiplications(layer) for layer in backbone.layers]
    share = sum(work[:cut]) / sum(work)
    if not share:
        return None
    layer = _passing(backbone, cut)[0]
    before = model.layers[model.layers.index(backbone) - 1]
    upper = keras.Model(layer.output, backbone.output)
    return _split(
        layer,
        cut,
        share,
        [keras.Model(model.input, before.output), keras.Model(backbone.input, layer.output)],
        lambda maps, training: pooling(upper(maps, training=training)),
        model,
    )


def _split(
    layer: keras.layers.Layer,
    layers: int,
    share: float,
    trunk: Sequence[keras.Model],
    above: Callable[[tf.Tensor, bool], tf.Tensor],
    model: keras.Model,
) -> Split:
    """Both parts, between which the output of `layer` passes."""
    dtype = tf.as_dtype(layer.output.dtype)
    shape = (*layer.output.shape[1:], dtype.size)
    return Split(layers, share, shape, dtype, trunk, above, architecture.head_of(model))


def _highest_cut(backbone: keras.Model, first_open: int) -> int:
    """The highest number of layers, up to `first_open`, of which a single one passes its output on; 0: none."""
    return next((cut for cut in range(first_open, 0, -1) if len(_passing(backbone, cut)) == 1), 0)


def _passing(backbone: keras.Model, cut: int) -> list[keras.layers.Layer]:
    """Those of the first `cut` layers whose output another layer takes.

    Keras lists layers so that each stands behind those it takes from.
    """
    below = {id(layer) for layer in backbone.layers[:cut]}
    inputs = (tensor for layer in backbone.layers[cut:] for tensor in _inputs_of(layer))
    passing = {id(maker): maker for maker in map(_maker_of, inputs) if id(maker) in below}
    return list(passing.values())


def _inputs_of(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    # The first input of Keras is its own.
    return [] if isinstance(layer, keras.layers.InputLayer) else tf.nest.flatten(layer.input)


def _maker_of(tensor: keras.KerasTensor) -> keras.layers.Layer:
    """The layer that gives a tensor."""
    return tensor._keras_history[0]


def _multiplications(layer: keras.layers.Layer) -> int:
    """What a layer multiplies of a picture: each place of its output by each number of its kernels."""
    kernels = sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
    return kernels * math.prod(layer.output.shape[1:-1]) if kernels else 0
