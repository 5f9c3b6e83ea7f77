"""A backbone of a few layers, `tiny`, beside those of Keras: most tests need a real network, and none that is large.

`python -m tiny_backbone MODULE FLAGS...` runs a command of this project that knows it.
"""

from __future__ import annotations

import runpy
import sys

from dogcat.core import runtime
from dogcat.models.backbones import BACKBONES, Backbone

# As Keras names them; some of its backbones have slashes in names.
LAYERS = ("pictures", "conv1", "bn1", "relu1", "depthwise", "bn2", "relu2", "conv2", "conv2/bn", "relu3")

OF_KERAS = tuple(BACKBONES)
BACKBONES["tiny"] = Backbone("Tiny", 96, 32, "tf", "tiny/tiny.h5", "")


def build(include_top: bool, weights: None, input_shape: tuple[int, int, int]):
    """Builds it as the functions of keras.applications build theirs: convolutions with batch normalization."""
    from tensorflow import keras

    layers = keras.layers
    pictures = keras.Input(input_shape, name=LAYERS[0])
    maps = layers.Conv2D(8, 3, 2, padding="same", use_bias=False, name=LAYERS[1])(pictures)
    maps = layers.ReLU(name=LAYERS[3])(layers.BatchNormalization(name=LAYERS[2])(maps))
    maps = layers.DepthwiseConv2D(3, 2, padding="same", use_bias=False, name=LAYERS[4])(maps)
    maps = layers.ReLU(name=LAYERS[6])(layers.BatchNormalization(name=LAYERS[5])(maps))
    maps = layers.Conv2D(32, 1, use_bias=False, name=LAYERS[7])(maps)
    maps = layers.ReLU(name=LAYERS[9])(layers.BatchNormalization(name=LAYERS[8])(maps))
    return keras.Model(pictures, maps, name="tiny")


def _prepare() -> None:
    """Prepares the process as ever, then puts the backbone among those of Keras."""
    _prepare_without()
    from tensorflow import keras

    keras.applications.Tiny = build


_prepare_without = runtime.prepare
# Every command calls it before it imports what builds models, and so do the tests.
runtime.prepare = _prepare

if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
