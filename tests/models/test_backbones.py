"""The table against keras.applications."""

from __future__ import annotations

import numpy as np
import pytest
from keras.src import utils
from keras.src.applications import imagenet_utils
from tensorflow import keras
from tiny_backbone import OF_KERAS

from dogcat.models import architecture
from dogcat.models.backbones import BACKBONES
from dogcat.models.keras_versions import IS_KERAS_3


class Asked(Exception):
    """Keras asked for something; ends the constructor."""


@pytest.mark.parametrize("name", [name for name in OF_KERAS if "mobilenetv3" not in name])
def test_sizes_are_kerass(name, monkeypatch):
    def note(input_shape, default_size, min_size, **rest):
        raise Asked(default_size, min_size)

    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", note)
    backbone = BACKBONES[name]
    with pytest.raises(Asked) as asked:
        getattr(keras.applications, backbone.constructor)(include_top=False, weights=None)
    assert asked.value.args == (backbone.image_size, backbone.smallest_image)


# One of each kind; building the larger ones takes longer.
def test_nothing_in_a_backbone_draws():
    # A generator of Keras' own is no part of a checkpoint.
    backbone = architecture.make_backbone("efficientnetv2b0", 32)
    rates = [layer.rate for layer in backbone.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates and not any(rates)
    pictures = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(backbone(pictures, training=True), backbone(pictures, training=True))


@pytest.mark.parametrize("name", ["xception", "vgg16", "mobilenetv2", "mobilenetv3small", "efficientnetv2b0"])
def test_weights_are_where_keras_has_them(name, monkeypatch):
    def note(file_name, url, cache_subdir, file_hash=""):
        raise Asked(file_name, url, file_hash)

    monkeypatch.setattr(utils.file_utils if IS_KERAS_3 else utils.data_utils, "get_file", note)
    backbone = BACKBONES[name]
    with pytest.raises(Asked) as asked:
        getattr(keras.applications, backbone.constructor)(include_top=False, input_shape=(224, 224, 3))
    assert asked.value.args == (backbone.weights_file, backbone.weights_url, backbone.weights_md5)
