"""A backbone of a few layers, `tiny`, beside those of Keras: most tests need a real network, and none that is large.

`python -m tiny_backbone MODULE FLAGS...` runs a command of this project that knows it.
"""

from __future__ import annotations

import runpy
import sys

from dogcat.core import runtime
from dogcat.models.backbones import BACKBONES, Backbone

OF_KERAS = tuple(BACKBONES)
BACKBONES["tiny"] = Backbone("Tiny", 96, 32, "tf", "tiny/tiny.h5", "")


def build(include_top: bool, weights: None, input_shape: tuple[int, int, int]):
    """Builds it as the functions of keras.applications build theirs: convolutions with batch normalization."""
    from tensorflow import keras

    from dogcat.models.keras_versions import IS_KERAS_3

    layers = keras.layers
    # Some of the backbones in Keras 2 have slashes in names, which Keras 3 forbids.
    last = "conv2_bn" if IS_KERAS_3 else "conv2/bn"
    pictures = keras.Input(input_shape, name="pictures")
    maps = layers.Conv2D(8, 3, 2, padding="same", use_bias=False, name="conv1")(pictures)
    maps = layers.ReLU(name="relu1")(layers.BatchNormalization(name="bn1")(maps))
    maps = layers.DepthwiseConv2D(3, 2, padding="same", use_bias=False, name="depthwise")(maps)
    maps = layers.ReLU(name="relu2")(layers.BatchNormalization(name="bn2")(maps))
    maps = layers.Conv2D(32, 1, use_bias=False, name="conv2")(maps)
    maps = layers.ReLU(name="relu3")(layers.BatchNormalization(name=last)(maps))
    return keras.Model(pictures, maps, name="tiny")


def _prepare(for_library: bool = False) -> None:
    """Prepares the process as ever, then puts the backbone among those of Keras."""
    _prepare_without(for_library)
    from tensorflow import keras

    keras.applications.Tiny = build


_prepare_without = runtime.prepare
# Every command calls it before it imports what builds models, and so do the tests.
runtime.prepare = _prepare

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
