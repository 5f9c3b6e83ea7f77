"""The model: uint8 pictures in, preprocessing inside, backbone, head, probability out; opening and freezing layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.core.options import InputError
from dogcat.core.text import did_you_mean
from dogcat.models.backbones import BACKBONES

# How pictures are scaled before a backbone, by `Backbone.preprocessing`: factor and summand, for R, G and B alike or
# each. The figures are Keras' own, of ImageNet's mean and deviation.
_SCALING: dict[str, tuple[float | list[float], float | list[float]]] = {
    "tf": (1 / 127.5, -1.0),
    "torch": (
        [1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)],
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    ),
    "caffe": (1.0, [-123.68, -116.779, -103.939]),
    "inside": (1.0, 0.0),
}
# The layers of Xception that the usual runs open, by index: should Keras ever number them otherwise, nothing must
# train unnoticed.
_KNOWN_LAYERS = {96: "block11_sepconv1_act", 116: "block13_sepconv1_act"}
# Share of the layers that `auto` keeps frozen: of Xception all up to its last four blocks.
_FROZEN_SHARE = 96 / 132
_FEATURES = "features"
_LOGITS = "logits"
_PROBABILITY = "probability"


def make_backbone(name: str, image_size: int) -> keras.Model:
    """A backbone without its top, with random weights; `dogcat.weights` sets others.

    Returns:
        A model from float [batch, image_size, image_size, 3], preprocessed, to feature maps.
    """
    constructor = getattr(keras.applications, BACKBONES[name].constructor)
    backbone = constructor(include_top=False, weights=None, input_shape=(image_size, image_size, 3))
    for layer in backbone.layers:
        # EfficientNetV2's would draw from a generator that is in no checkpoint, and a resumed run would be another one.
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return backbone


def preprocess(backbone: str, pictures: tf.Tensor) -> tf.Tensor:
    """Turns pictures into what a backbone wants, as `preprocess_input` of it in Keras does; nothing of it trains.

    Args:
        backbone: Name of the backbone.
        pictures: uint8 [batch, height, width, 3], RGB.

    Returns:
        Float of the same shape, in the type of the precision policy.
    """
    kind = BACKBONES[backbone].preprocessing
    scale, offset = _SCALING[kind]
    scaled = keras.layers.Rescaling(scale, offset, name="preprocessing")(pictures)
    if kind != "caffe":
        return scaled
    # RGB to BGR. A slice with a negative step does the same, but is not a layer of Keras.
    reverse = keras.initializers.Constant(np.eye(3)[::-1].tolist())
    to_bgr = keras.layers.Conv2D(3, 1, use_bias=False, kernel_initializer=reverse, trainable=False, name="to_bgr")
    return to_bgr(scaled)


@contextlib.contextmanager
def precision(policy: str) -> Iterator[None]:
    """A block in which models are built under another Keras policy of precision."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def build_model(backbone: str, image_size: int, classes: int) -> keras.Model:
    """Builds the model with random weights, under the current precision policy.

    The last layers compute in float32 under any policy: in float16 the nearest probability below 1 is
    0.9995.

    Args:
        backbone: Name of the backbone.
        image_size: Height and width of the pictures, in pixels.
        classes: Number of classes, 2 or more.

    Returns:
        A model from uint8 [batch, image_size, image_size, 3], RGB, to float32 probabilities: of the second of
        two classes, [batch, 1]; of each of more, [batch, classes].
    """
    pictures = keras.Input((image_size, image_size, 3), dtype="uint8", name="pictures")
    maps = make_backbone(backbone, image_size)(preprocess(backbone, pictures))
    features = keras.layers.GlobalAveragePooling2D(name=_FEATURES, dtype="float32")(maps)
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    logits = keras.layers.Dense(units, name=_LOGITS, dtype="float32")(features)
    probability = keras.layers.Activation(activation, name=_PROBABILITY, dtype="float32")(logits)
    return keras.Model(pictures, probability, name="dogcat")


def backbone_of(model: keras.Model) -> keras.Model:
    """The backbone inside a model, whose own layers `--unfreeze_from` counts."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def head_of(model: keras.Model) -> keras.layers.Dense:
    """The dense layer that gives the logits."""
    return model.get_layer(_LOGITS)


def pooling_of(model: keras.Model) -> keras.layers.Layer:
    """The layer between backbone and head, which takes the mean of each feature map."""
    return model.get_layer(_FEATURES)


def features_model(model: keras.Model) -> keras.Model:
    """The part from pictures to features, float32 [batch, channels]; shares the weights."""
    return keras.Model(model.input, pooling_of(model).output)


def logits_model(model: keras.Model) -> keras.Model:
    """The part from pictures to logits, float32 [batch, 1 or classes]; shares the weights."""
    return keras.Model(model.input, head_of(model).output)


def find_layer(backbone: keras.Model, unfreeze_from: str) -> int:
    """Index of a layer of the backbone.

    Args:
        backbone: The backbone.
        unfreeze_from: An index, or a layer's name; `auto`: the first of the last quarter; empty: no layer, which gives
            their number.

    Raises:
        InputError: There is no such layer.
    """
    names = [layer.name for layer in backbone.layers]
    examples = [len(names) * 3 // 4, len(names) * 7 // 8]
    if backbone.name == "xception":
        for index, name in _KNOWN_LAYERS.items():
            assert names[index] == name, f"layer {index} is {names[index]}, not {name}"
        examples = list(_KNOWN_LAYERS)
    if not unfreeze_from:
        return len(names)
    if unfreeze_from == "auto":
        return round(_FROZEN_SHARE * len(names))
    if unfreeze_from in names:
        return names.index(unfreeze_from)
    if unfreeze_from.isdecimal() and int(unfreeze_from) < len(names):
        return int(unfreeze_from)
    like = " and ".join(f"{names[index]} ({index})" for index in examples)
    raise InputError(
        f"--unfreeze_from={unfreeze_from}: {backbone.name} has the layers 0 to {len(names) - 1}, named like {like}"
        + did_you_mean(unfreeze_from, names)
    )


def open_layers(model: keras.Model, first: int) -> None:
    """Lets the head and the backbone's layers from index `first` on train, and no others.

    A frozen BatchNorm also stops collecting statistics and runs in inference mode. To be followed by compile.
    """
    for index, layer in enumerate(backbone_of(model).layers):
        layer.trainable = index >= first
