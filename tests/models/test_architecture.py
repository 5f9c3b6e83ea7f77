from __future__ import annotations

import dataclasses
import inspect
import json
import math
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras
from tiny_backbone import OF_KERAS

from dogcat.core.options import InputError
from dogcat.models import architecture, model_files
from dogcat.models.backbones import BACKBONES

DESCRIPTION = model_files.Description(["cat", "dog"], 96, "stretch", "xception", 1.25)


@pytest.fixture(scope="module")
def model():
    return architecture.build_model("xception", 96, 2)


def pictures(count, seed=0, size=96):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def test_uint8_in_float32_probability_out(model):
    assert model.input.dtype == tf.uint8
    out = model(pictures(3))
    assert out.dtype == tf.float32 and out.shape == (3, 1)
    assert np.all((out > 0) & (out < 1))


def test_more_classes_have_a_probability_each():
    model = architecture.build_model("mobilenetv2", 32, 3)
    out = model(pictures(4, size=32)).numpy()
    assert out.dtype == np.float32 and out.shape == (4, 3)
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-6)
    logits = architecture.logits_model(model)(pictures(4, size=32))
    np.testing.assert_allclose(tf.nn.softmax(logits), out, atol=1e-6)


@pytest.mark.parametrize("name", OF_KERAS)
def test_preprocessing_is_the_backbones_own(name):
    batch = pictures(2, size=32)
    constructor = getattr(keras.applications, BACKBONES[name].constructor)
    own = inspect.getmodule(inspect.unwrap(constructor)).preprocess_input
    # Those of DenseNet differ in the last bits, since Keras takes the mean off after the scaling.
    np.testing.assert_allclose(architecture.preprocess(name, batch), own(batch.astype(np.float32)), atol=1e-4)


def test_another_backbone_is_frozen_opened_saved_and_loaded(tmp_path):
    # The one whose preprocessing has weights.
    model = architecture.build_model("vgg16", 32, 3)
    backbone = architecture.backbone_of(model)
    architecture.open_layers(model, architecture.find_layer(backbone, ""))
    assert list(map(id, model.trainable_weights)) == list(map(id, architecture.head_of(model).weights))
    architecture.open_layers(model, 0)
    trained = {id(weight) for weight in model.trainable_weights}
    assert trained == {id(w) for w in backbone.trainable_weights + architecture.head_of(model).trainable_weights}
    path = tmp_path / "m.keras"
    model_files.save(model, path, model_files.Description(["a", "b", "c"], 32, "pad", "vgg16"))
    expected = model.predict(pictures(4, size=32), verbose=0)
    assert np.ptp(expected, axis=0).max() > 1e-6
    plain = keras.models.load_model(path, safe_mode=True, compile=False)
    for loaded in (model_files.load(path)[0], plain):
        np.testing.assert_allclose(loaded.predict(pictures(4, size=32), verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_head_is_float32_under_mixed_precision(policy):
    keras.mixed_precision.set_global_policy(policy)
    mixed = architecture.build_model("tiny", 96, 2)
    assert mixed.get_layer("preprocessing").compute_dtype == policy.split("_")[1]
    assert architecture.head_of(mixed).compute_dtype == "float32"
    head = architecture.head_of(mixed)
    head.set_weights([np.zeros((32, 1), np.float32), np.array([12.0], np.float32)])
    # In float16 this would be 1.
    assert mixed.predict(pictures(1), verbose=0)[0, 0] == pytest.approx(1 / (1 + np.exp(-12.0)), abs=1e-7)


@pytest.mark.parametrize(("index", "name"), [(96, "block11_sepconv1_act"), (116, "block13_sepconv1_act"), (0, "input")])
def test_layers_are_found_by_index_and_by_name(model, index, name):
    backbone = architecture.backbone_of(model)
    assert len(backbone.layers) == 132
    assert architecture.find_layer(backbone, str(index)) == index
    assert backbone.layers[index].name.startswith(name)
    assert architecture.find_layer(backbone, backbone.layers[index].name) == index


@pytest.mark.parametrize(("name", "first"), [("xception", 96), ("vgg16", 14)])
def test_auto_opens_the_last_quarter(name, first):
    assert architecture.find_layer(architecture.make_backbone(name, 80), "auto") == first


def test_no_layer_leaves_the_head_alone(model):
    first = architecture.find_layer(architecture.backbone_of(model), "")
    architecture.open_layers(model, first)
    assert list(map(id, model.trainable_weights)) == list(map(id, architecture.head_of(model).weights))


@pytest.mark.parametrize("unknown", ["132", "-1", "block99", "9.5"])
def test_an_unknown_layer_is_refused(model, unknown):
    with pytest.raises(InputError, match=f"--unfreeze_from={unknown}.*block11_sepconv1_act"):
        architecture.find_layer(architecture.backbone_of(model), unknown)


def test_the_layers_named_for_an_unknown_one_are_the_backbones_own():
    backbone = architecture.make_backbone("vgg16", 32)
    with pytest.raises(
        InputError, match=r"--unfreeze_from=96: vgg16 has the layers 0 to 18, named like (.*) \(14\)"
    ) as e:
        architecture.find_layer(backbone, "96")
    assert backbone.layers[14].name in str(e.value)


def test_saved_and_loaded_it_predicts_the_same(model, tmp_path):
    path = tmp_path / "m.keras"
    model_files.save(model, path, DESCRIPTION)
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]
    loaded, description = model_files.load(path)
    assert description == DESCRIPTION
    expected = model(pictures(4)).numpy()
    np.testing.assert_array_equal(loaded(pictures(4)).numpy(), expected)
    # Plain Keras, in safe mode, needs nothing of this project.
    plain = keras.models.load_model(path, safe_mode=True, compile=False)
    np.testing.assert_array_equal(plain(pictures(4)).numpy(), expected)


def test_what_is_no_model_is_refused(model, tmp_path):
    path = tmp_path / "m.keras"
    path.write_text("no model")
    with pytest.raises(InputError, match="is not a model that dogcat.train wrote"):
        model_files.load(path)
    keras.Sequential([keras.layers.Dense(1, input_shape=(2,))]).save(path)
    with pytest.raises(InputError, match="is not a model that dogcat.train wrote"):
        model_files.load(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("dogcat.json", json.dumps(dataclasses.asdict(DESCRIPTION)))
    with pytest.raises(InputError, match="is damaged"):
        model_files.load(path)
    model_files.save(model, path, DESCRIPTION)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="is a damaged archive"):
        model_files.load(path)


@pytest.mark.parametrize(
    "change",
    [
        *({"image_size": "x"}, {"image_size": 0}, {"image_size": 70}, {"classes": ["cat"]}, {"classes": "cd"}),
        *({"resize": "no"}, {"backbone": "lenet"}, {"backbone": ["xception"]}, {"temperature": 0.0}),
        *({"temperature": math.nan}, {"temperature": math.inf}, {"temperature": "1"}, {"new": 1}),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path, change):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dogcat.json", json.dumps({**dataclasses.asdict(DESCRIPTION), **change}))
    with pytest.raises(InputError, match="is not a model that dogcat.train wrote"):
        model_files.describe(path)


def test_a_file_from_before_there_were_other_backbones_is_an_xceptions(tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dogcat.json", json.dumps({"classes": ["cat", "dog"], "image_size": 96, "resize": "stretch"}))
    assert model_files.describe(path) == dataclasses.replace(DESCRIPTION, temperature=1.0)


def test_a_run_folder_stands_for_its_best_model(tmp_path):
    with pytest.raises(InputError, match="no model there"):
        model_files.find_file(str(tmp_path), "model")
    (tmp_path / "best.keras").write_text("")
    assert model_files.find_file(str(tmp_path), "model") == tmp_path / "best.keras"
    assert model_files.find_file(str(tmp_path / "best.keras"), "model") == tmp_path / "best.keras"
