from __future__ import annotations

import csv
import dataclasses
import shutil

import numpy as np
import pytest
from scipy import special
from tensorflow import keras

from dogcat import devices, images, inference
from dogcat import model as models
from dogcat.config import MAX_PIXELS, PredictionOptions


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A model with random weights, whose probabilities are spread."""
    model = models.build_model("xception", 96, 2)
    head = models.head_of(model)
    head.set_weights([head.get_weights()[0] * 5000, np.zeros(1, np.float32)])
    path = tmp_path_factory.mktemp("model") / "m.keras"
    models.save(model, path, models.Description(["cat", "dog"], 96, "stretch", "xception"))
    return path


def predict(model_file, images, **changes):
    options = PredictionOptions(model=str(model_file), images=str(images), output="unused.csv", **changes)
    return inference.predict_folder(options)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_every_picture_has_its_row_in_order(model_file, samples):
    predictions = predict(model_file, samples / "test", batch_size=5)
    count = len(list((samples / "test").glob("*.jpg")))
    assert count % 5
    assert predictions.ids == [str(i) for i in range(1, count + 1)]
    assert predictions.classes == ["cat", "dog"]
    [unreadable] = predictions.unreadable
    assert unreadable.reason == "truncated"
    place = predictions.ids.index(unreadable.key.split(".")[0])
    assert predictions.probabilities[place].tolist() == [0.5, 0.5]
    others = np.delete(predictions.probabilities[:, 1], place)
    assert np.ptp(others) > 0.01


def test_the_batch_size_changes_nothing(model_file, samples):
    one = predict(model_file, samples / "test", batch_size=1).probabilities
    for batch_size in (4, 64):
        other = predict(model_file, samples / "test", batch_size=batch_size).probabilities
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_equals_keras_on_the_same_pixels(model_file, samples, tmp_path):
    names = sorted(path.name for path in (samples / "train").glob("cat.[0-9].jpg"))[:4]
    for name in names:
        shutil.copy(samples / "train" / name, tmp_path)
    pixels = [images.read_pixels((tmp_path / name).read_bytes(), 96, "stretch", MAX_PIXELS) for name in names]
    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    expected = models.load(model_file)[0].predict(np.stack(pixels), verbose=0)[:, 0]
    predictions = predict(model_file, tmp_path)
    assert predictions.ids == [name.rsplit(".", 1)[0] for name in names]
    np.testing.assert_allclose(predictions.probabilities[:, 1], expected, atol=1e-4)


def test_the_temperature_divides_the_logits(samples, tmp_path):
    model = models.build_model("vgg16", 32, 3)
    description = models.Description(["cat", "dog", "owl"], 32, "stretch", "vgg16")
    predicted = {}
    for temperature in (1.0, 2.0):
        models.save(model, tmp_path / "m.keras", dataclasses.replace(description, temperature=temperature))
        predictions = predict(tmp_path / "m.keras", samples / "test")
        predicted[temperature] = predictions.probabilities
    assert predictions.classes == ["cat", "dog", "owl"]
    assert predicted[1.0].shape == (len(predictions.ids), 3)
    assert np.ptp(predicted[1.0], axis=0).max() > 0.01
    softened = special.softmax(np.log(predicted[1.0]) / 2, axis=1)
    np.testing.assert_allclose(predicted[2.0], softened, atol=1e-6)


def test_clipping_and_the_list_of_unreadable_pictures(tmp_path):
    path = tmp_path / "out.csv"
    bad = inference.Unreadable("b/3.jpg", "truncated", "x, y")
    probabilities = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]])
    predictions = inference.Predictions(["1", "2", "3"], probabilities, [bad], ["cat", "dog"])
    assert inference.write_submission(predictions, 0.01, path) == tmp_path / "out.unreadable.csv"
    assert rows_of(path) == [["id", "label"], ["1", "0.01"], ["2", "0.25"], ["3", "0.5"]]
    assert rows_of(tmp_path / "out.unreadable.csv") == [
        ["path", "reason", "detail"],
        ["b/3.jpg", "truncated", "x, y"],
    ]
    # A later prediction without trouble takes the list away.
    clean = inference.Predictions(["1"], np.array([[0.0, 1.0]]), [], ["cat", "dog"])
    assert inference.write_submission(clean, 0.0, path) is None
    assert rows_of(path) == [["id", "label"], ["1", "1"]]
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_more_classes_have_a_column_each(tmp_path):
    path = tmp_path / "out.csv"
    probabilities = np.array([[1.0, 0.0, 0.0, 0.0], [0.4, 0.3, 0.2, 0.1]])
    predictions = inference.Predictions(["1", "2"], probabilities, [], ["a", "b,c", "d", "e"])
    inference.write_submission(predictions, 0.02, path)
    assert rows_of(path) == [
        ["id", "a", "b,c", "d", "e"],
        ["1", "0.97", "0.01", "0.01", "0.01"],
        ["2", "0.4", "0.3", "0.2", "0.1"],
    ]


def test_clipped_rows_are_probabilities():
    clipped = inference.clip_probabilities(np.array([[0.9, 0.1 - 1e-9, 1e-9], [0.5, 0.5, 0.0]]), 0.015)
    np.testing.assert_allclose(clipped.sum(axis=1), 1, atol=1e-12)
    assert clipped.min() >= 0.0098


def test_the_command(run, model_file, samples, tmp_path):
    output = tmp_path / "s.csv"
    done = run("dogcat.predict", f"--model={model_file}", f"--images={samples}/test", f"--output={output}")
    assert done.code == 0
    count = len(list((samples / "test").glob("*.jpg")))
    assert f"wrote {output}: {count} rows" in done.out
    [line] = done.err.splitlines()
    assert line.startswith("unreadable: ") and "truncated" in line
    assert len(rows_of(output)) == count + 1
    assert rows_of(tmp_path / "s.unreadable.csv")[1][1] == "truncated"


@pytest.mark.parametrize("kind", ["no model", "text model", "no folder", "empty folder", "no place"])
def test_bad_input_is_one_line_and_leaves_nothing(run, model_file, samples, tmp_path, kind):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty").mkdir()
    flags, said = {
        "no model": ({"model": "/no/run"}, "--model=/no/run"),
        "text model": ({"model": tmp_path / "text.keras"}, "text.keras is no model"),
        "no folder": ({"images": "/no/images"}, "/no/images does not exist"),
        "empty folder": ({"images": tmp_path / "empty"}, "holds no picture"),
        "no place": ({"output": tmp_path / "none" / "s.csv"}, "does not exist; make it first"),
    }[kind]
    flags = {"model": model_file, "images": samples / "test", "output": tmp_path / "s.csv", **flags}
    done = run("dogcat.predict", *(f"--{name}={value}" for name, value in flags.items()))
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "text.keras"]
