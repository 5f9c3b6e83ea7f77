"""Files that run code when they are loaded carelessly: refused, and nothing in them ran."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from older_layout import save_in_older_layout
from small_runs import save_model
from tensorflow import keras

from dogcat.core.options import InputError
from dogcat.models import model_files, untrusted
from dogcat.prediction import predictor
from dogcat.prediction.options import PredictionOptions


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


def with_lambda(trace: Path) -> keras.Model:
    """A model that makes a file when it is built or run."""
    place = str(trace)

    inputs = keras.Input((32, 32, 3), dtype="uint8")
    evil = keras.layers.Lambda(lambda pictures: (open(place, "w").close(), pictures)[1], name="evil")
    features = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(evil(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(features))
    trace.unlink()
    return model


@pytest.fixture
def good(tmp_path):
    return save_model(tmp_path / "good.keras")


@pytest.fixture
def trace(tmp_path):
    """The file that must not exist afterwards."""
    return tmp_path / "trace"


def description_of(path):
    return model_files.description_json(model_files.describe(path))


def refusal(path, tmp_path):
    """What dogcat.predict says of a model."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "1.png").touch()
    options = PredictionOptions(model=str(path), images=str(pictures), output=str(tmp_path / "p.csv"))
    with pytest.raises(InputError) as caught:
        predictor.predict(options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "p.csv.partial").exists()
    return str(caught.value)


def test_a_lambda_layer(good, trace, tmp_path):
    path = tmp_path / "m.keras"
    with_lambda(trace).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("dogcat.json", description_of(good))
    said = refusal(path, tmp_path)
    assert f"{path} has a Lambda layer, 'evil', which is code; give a .keras file that dogcat.train wrote" in said
    assert not trace.exists()
    # It would have, loaded carelessly.
    keras.models.load_model(path, safe_mode=False)
    assert trace.exists()


def test_a_lambda_layer_inside_another_model(good, trace, tmp_path):
    inner = with_lambda(trace)
    model = keras.Sequential([keras.Input((32, 32, 3), dtype="uint8"), inner])
    trace.unlink(missing_ok=True)
    model.save(tmp_path / "m.keras")
    assert "has a Lambda layer, 'evil'" in refusal(tmp_path / "m.keras", tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["m.h5", "m.keras"])
def test_a_whole_model_in_hdf5(trace, tmp_path, name):
    save_in_older_layout(with_lambda(trace), tmp_path / "m.h5", whole=True)
    path = tmp_path / name
    (tmp_path / "m.h5").rename(path)
    assert f"{path} is a whole model in HDF5, which can hold code that runs" in refusal(path, tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["m.pkl", "m.keras"])
def test_a_pickle(trace, tmp_path, name, protocol):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Malicious(trace), protocol))
    said = refusal(path, tmp_path)
    # Under a wrong name the first protocols look like text.
    assert f"{path} is a pickle" in said or (protocol < 2 and name == "m.keras" and "is not a model" in said)
    assert not trace.exists()
    pickle.loads(path.read_bytes()).close()
    assert trace.exists()


def test_a_pickle_in_an_archive(trace, tmp_path):
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Malicious(trace)))
    shutil.copy(tmp_path / "m.keras", path)
    assert "is a pickle" in untrusted.reason(path)
    assert "holds a pickle, 'archive/data.pkl'" in refusal(tmp_path / "m.keras", tmp_path)
    assert not trace.exists()


def test_a_saved_model(good, trace, tmp_path):
    class Writer(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 32, 32, 3), tf.uint8)])
        def __call__(self, pictures):
            tf.io.write_file(str(trace), "")
            return tf.zeros((tf.shape(pictures)[0], 1))

    path = tmp_path / "saved"
    tf.saved_model.save(Writer(), str(path))
    assert f"{path} is a SavedModel, a program that could read and write files" in refusal(path, tmp_path)
    # Nor with what this program's own have beside them: its graph is never read.
    (path / "dogcat.json").write_text(description_of(good))
    assert f"{path} is damaged, or its weights are of another model" in refusal_of_loading(path)
    assert not trace.exists()
    tf.saved_model.load(str(path))(tf.zeros((1, 32, 32, 3), tf.uint8))
    assert trace.exists()


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "..\\x", "C:\\x", "C:x"])
def test_an_archive_with_members_outside_of_it(good, tmp_path, name):
    with zipfile.ZipFile(good, "a") as archive:
        archive.writestr(name, "x")
    assert f"{good} is a damaged archive: it has a member {name!r} outside of it" in refusal(good, tmp_path)


def test_weights_alone(good, tmp_path):
    path = tmp_path / "m.weights.h5"
    model_files.load(good)[0].save_weights(path)
    assert "holds weights in HDF5 and tells neither classes nor size" in refusal(path, tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    assert "is a damaged HDF5 file" in refusal_of(path)


def test_weights_alone_with_their_description_are_loaded(good, tmp_path):
    model, description = model_files.load(good)
    model.save_weights(tmp_path / "m.weights.h5")
    (tmp_path / "dogcat.json").write_text(description_of(good))
    loaded, loaded_description = model_files.load(tmp_path / "m.weights.h5")
    assert loaded_description == description
    for weights, wanted in zip(loaded.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(weights, wanted)
    with pytest.raises(InputError, match="a temperature is stored in a .keras file alone"):
        model_files.store_temperature(tmp_path / "m.weights.h5", 2.0)


def refusal_of_loading(path):
    with pytest.raises(InputError) as caught:
        model_files.load(path)
    return str(caught.value)


def refusal_of(path):
    with pytest.raises(InputError) as caught:
        model_files.describe(path)
    return str(caught.value)


def test_weights_of_other_classes_than_the_description_tells(good, tmp_path):
    models_of_two = zipfile.ZipFile(good)
    with models_of_two, zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for member in models_of_two.infolist():
            content = models_of_two.read(member)
            archive.writestr(member, content.replace(b'"dog"', b'"dog", "owl"'))
    assert "m.keras is damaged, or its weights are of another model than it tells" in refusal(
        tmp_path / "m.keras", tmp_path
    )


@pytest.mark.parametrize("member", ["config.json", "metadata.json", "dogcat.json"])
@pytest.mark.parametrize("content", ["{", "[" * 100_000, "null"])
def test_broken_json(good, tmp_path, member, content):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as archive:
        for info in source.infolist():
            if info.filename != member:
                archive.writestr(info, source.read(info))
        archive.writestr(member, content)
    if (member, content) == ("config.json", "null"):
        # Never used.
        model_files.load(path)
    else:
        assert "\n" not in refusal_of(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_anywhere_is_one_line(tmp_path, method):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in ("config.json", "dogcat.json"):
            archive.writestr(name, '{"classes": ["cat", "dog"], "image_size": 96, "resize": "stretch"}')
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                model_files.describe(path)
            except InputError as error:
                refused += 1
                assert str(error).startswith(str(path))
    assert refused > 4 * len(whole)


def test_models_of_this_program_are_none_of_these(good, tmp_path):
    assert untrusted.reason(good) == ""
    assert untrusted.reason(tmp_path) == ""
    assert os.path.getsize(good) > 0 and not h5py.is_hdf5(good)
