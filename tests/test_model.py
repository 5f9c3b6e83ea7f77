from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from dogcat import model as models
from dogcat.config import InputError

DESCRIPTION = models.Description(["cat", "dog"], 96, "stretch")


@pytest.fixture(scope="module")
def model():
    return models.build_model(96)


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 96, 96, 3), np.uint8)


def test_uint8_in_float32_probability_out(model):
    assert model.input.dtype == tf.uint8
    out = model(pictures(3))
    assert out.dtype == tf.float32 and out.shape == (3, 1)
    assert np.all((out > 0) & (out < 1))


def test_preprocessing_is_xceptions_own(model):
    batch = pictures(2)
    scaled = model.get_layer("preprocessing")(batch)
    expected = keras.applications.xception.preprocess_input(batch.astype(np.float32))
    np.testing.assert_allclose(scaled, expected, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_head_is_float32_under_mixed_precision(policy):
    keras.mixed_precision.set_global_policy(policy)
    mixed = models.build_model(96)
    assert mixed.get_layer("preprocessing").compute_dtype == policy.split("_")[1]
    assert models.head_of(mixed).compute_dtype == "float32"
    head = models.head_of(mixed)
    head.set_weights([np.zeros((2048, 1), np.float32), np.array([12.0], np.float32)])
    # In float16 this would be 1.
    assert mixed.predict(pictures(1), verbose=0)[0, 0] == pytest.approx(1 / (1 + np.exp(-12.0)), abs=1e-7)


@pytest.mark.parametrize(("index", "name"), [(96, "block11_sepconv1_act"), (116, "block13_sepconv1_act"), (0, "input")])
def test_layers_are_found_by_index_and_by_name(model, index, name):
    backbone = models.backbone_of(model)
    assert len(backbone.layers) == 132
    assert models.find_layer(backbone, str(index)) == index
    assert backbone.layers[index].name.startswith(name)
    assert models.find_layer(backbone, backbone.layers[index].name) == index


def test_no_layer_leaves_the_head_alone(model):
    first = models.find_layer(models.backbone_of(model), "")
    models.open_layers(model, first)
    assert [w.name.split("/")[0] for w in model.trainable_weights] == ["logits", "logits"]


@pytest.mark.parametrize("unknown", ["132", "-1", "block99", "9.5"])
def test_an_unknown_layer_is_refused(model, unknown):
    with pytest.raises(InputError, match=f"--unfreeze_from={unknown}.*block11_sepconv1_act"):
        models.find_layer(models.backbone_of(model), unknown)


def test_saved_and_loaded_it_predicts_the_same(model, tmp_path):
    path = tmp_path / "m.keras"
    models.save(model, path, DESCRIPTION)
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]
    loaded, description = models.load(path)
    assert description == DESCRIPTION
    expected = model.predict(pictures(4), verbose=0)
    np.testing.assert_array_equal(loaded.predict(pictures(4), verbose=0), expected)
    # Plain Keras, in safe mode, needs nothing of this project.
    plain = keras.models.load_model(path, safe_mode=True, compile=False)
    np.testing.assert_array_equal(plain.predict(pictures(4), verbose=0), expected)


def test_forward_trims_the_padding(model):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    batch = pictures(5)
    padded = np.concatenate([batch, np.zeros_like(batch[:1])])
    dataset = tf.data.Dataset.from_tensor_slices(padded).batch(2)
    out = models.forward(model, dataset, 5, strategy, "test")
    np.testing.assert_allclose(out, model.predict(batch, verbose=0), atol=1e-6)


def test_what_is_no_model_is_refused(model, tmp_path):
    path = tmp_path / "m.keras"
    path.write_text("no model")
    with pytest.raises(InputError, match="is no model that dogcat.train wrote"):
        models.load(path)
    keras.Sequential([keras.layers.Dense(1, input_shape=(2,))]).save(path)
    with pytest.raises(InputError, match="is no model that dogcat.train wrote"):
        models.load(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("dogcat.json", json.dumps({"classes": ["cat", "dog"], "image_size": 96, "resize": "stretch"}))
    with pytest.raises(InputError, match="is damaged"):
        models.load(path)
    models.save(model, path, DESCRIPTION)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="is no model"):
        models.load(path)


@pytest.mark.parametrize(
    "change", [{"image_size": "x"}, {"image_size": 0}, {"classes": ["cat"]}, {"classes": "cd"}, {"resize": "no"}]
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path, change):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        sound = {"classes": ["cat", "dog"], "image_size": 96, "resize": "stretch"}
        archive.writestr("dogcat.json", json.dumps({**sound, **change}))
    with pytest.raises(InputError, match="is no model that dogcat.train wrote"):
        models.describe(path)


def test_a_run_folder_stands_for_its_best_model(tmp_path):
    with pytest.raises(InputError, match="no model there"):
        models.find_file(str(tmp_path), "model")
    (tmp_path / "best.keras").write_text("")
    assert models.find_file(str(tmp_path), "model") == tmp_path / "best.keras"
    assert models.find_file(str(tmp_path / "best.keras"), "model") == tmp_path / "best.keras"
