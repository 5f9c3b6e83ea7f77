"""The command dogcat.evaluate, end to end on drawn pictures."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, draw, make, touch
from fuzzing import full_disk, tree
from sklearn import metrics
from small_runs import save_model
from tensorflow import keras

import dogcat.evaluate
from dogcat.core import outputs
from dogcat.core.options import InputError
from dogcat.dataset import manifest
from dogcat.loading import pipeline, readers
from dogcat.models import architecture, devices, model_files
from dogcat.prediction import predictor
from dogcat.prediction.options import EvaluationOptions, PredictionOptions


@pytest.fixture(scope="module")
def two_models(tmp_path_factory):
    """Two models."""
    folder = tmp_path_factory.mktemp("models")
    a, b = (save_model(folder / f"{name}.keras", seed=seed, image_size=96) for seed, name in enumerate("ab"))
    return a, b


def evaluated(folder):
    """metrics.json, and the lines of predictions.csv."""
    assert sorted(path.name for path in folder.iterdir()) == [
        outputs.MARKER,
        "metrics.json",
        "predictions.csv",
    ]
    with open(folder / "predictions.csv", newline="") as file:
        return json.loads((folder / "metrics.json").read_text()), list(csv.DictReader(file))


def test_two_models_on_a_split(fork, two_models, tfrecords, tmp_path):
    output = tmp_path / "out"
    flags = {
        "model": two_models[0],
        "against": two_models[1],
        "tfrecords": tfrecords,
        "output": output,
        "tta": "none",
    }
    done = fork("dogcat.evaluate", *(f"--{name}={value}" for name, value in flags.items()), "--batch_size=5")
    assert done.code == 0, done.err
    found, rows = evaluated(output)
    data = manifest.load(tfrecords)
    assert found["pictures"] == data.splits["validation"].pictures == len(rows)
    # So the last batch was padded.
    assert found["pictures"] % 5
    assert [row["key"] for row in rows] == readers.open_split(tfrecords, data, "validation").keys
    labels = np.array([row["class"] == "dog" for row in rows])
    np.testing.assert_array_equal(labels, readers.open_split(tfrecords, data, "validation").labels)
    probabilities = np.array([float(row["p_dog"]) for row in rows])
    assert np.ptp(probabilities) > 0.001
    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    model, _ = model_files.load(two_models[0])
    expected = model.predict(
        pipeline.evaluation_dataset(readers.open_split(tfrecords, data, "validation"), 1), verbose=0
    )[:, 0]
    np.testing.assert_allclose(probabilities, expected, atol=0.02)
    first, second = found["models"]
    assert first["metrics"]["log_loss"]["value"] == pytest.approx(metrics.log_loss(labels, probabilities), abs=1e-6)
    assert first["metrics"]["roc_auc"]["value"] == pytest.approx(metrics.roc_auc_score(labels, probabilities), abs=1e-6)
    difference = first["metrics"]["log_loss"]["value"] - second["metrics"]["log_loss"]["value"]
    assert found["comparison"]["differences"]["log_loss"]["value"] == pytest.approx(difference)
    assert found["comparison"]["verdict"] in done.out
    assert f"wrote {output}" in done.out


def test_a_folder_is_predicted_as_by_predict(two_models, samples, tmp_path, capsys):
    output = tmp_path / "out"
    common = {"model": str(two_models[0]), "images": str(samples / "train"), "strategy": "one_device"}
    common |= {"precision": "float32", "engine": "tensorflow"}
    dogcat.evaluate.main(EvaluationOptions(output=str(output), **common))
    printed = capsys.readouterr().out
    assert re.search("^device: .*; float32, TensorFlow ", printed, re.MULTILINE)
    found, rows = evaluated(output)
    predicted = predictor.predict(PredictionOptions(output=str(tmp_path / "p.csv"), **common))
    by_key = {row["key"].rsplit("/", 1)[-1].rsplit(".", 1)[0]: float(row["p_dog"]) for row in rows}
    assert set(found["left_out"]) == {picture.key for picture in predicted.unreadable} != set()
    assert len(rows) + len(found["left_out"]) == len(predicted.ids)
    for id_, probability in zip(predicted.ids, np.exp(predicted.log_probabilities[:, 1])):
        if id_ in by_key:
            assert by_key[id_] == pytest.approx(probability, abs=1e-5)
    assert f"left out: {len(found['left_out'])} pictures" in printed


def test_three_classes(tmp_path):
    pictures = draw(tmp_path / "pictures", *(f"{name}/{i}.png" for name in ("cat", "dog", "owl") for i in range(4)))
    make(pictures, tmp_path / "data", validation=0.5)
    model_files.save(
        architecture.build_model("vgg16", 32, 3),
        tmp_path / "m.keras",
        model_files.Description(["cat", "dog", "owl"], 32, "stretch", "vgg16"),
    )
    common = {"model": str(tmp_path / "m.keras"), "output": str(tmp_path / "out"), "resamples": 100}
    dogcat.evaluate.main(EvaluationOptions(tfrecords=str(tmp_path / "data"), **common))
    found, rows = evaluated(tmp_path / "out")
    assert found["counts"] == {"cat": 2, "dog": 2, "owl": 2}
    dogcat.evaluate.main(EvaluationOptions(images=str(pictures), **common))
    found, rows = evaluated(tmp_path / "out")
    assert found["pictures"] == 12 and {"p_cat", "p_dog", "p_owl"} < set(rows[0])


def test_the_temperature_is_stored_only_when_it_helps(tmp_path, capsys):
    """Red pictures all look the same, so the best prediction is the share of each class, far from a sure model's."""
    draw(tmp_path / "pictures", *(f"{name}/{i}.png" for name in ("cat", "dog") for i in range(40)))
    model = architecture.build_model("vgg16", 32, 2)
    head = architecture.head_of(model)
    path = tmp_path / "m.keras"
    stored = []
    for bias in (8.0, 0.0):
        head.set_weights([np.zeros_like(head.get_weights()[0]), np.array([bias], np.float32)])
        model_files.save(model, path, model_files.Description(["cat", "dog"], 32, "stretch", "vgg16", 1.5))
        options = EvaluationOptions(
            model=str(path), images=str(tmp_path / "pictures"), output=str(tmp_path / "out"), save_temperature=True
        )
        dogcat.evaluate.main(options)
        stored.append(model_files.describe(path).temperature)
        fitted = json.loads((tmp_path / "out" / "metrics.json").read_text())["models"][0]["temperature"]
        assert fitted["helped"] == (bias == 8.0)
        if fitted["helped"]:
            assert stored[-1] == pytest.approx(1.5 * fitted["value"])
            assert "stored the temperature" in capsys.readouterr().out
    assert stored[0] > 10 and stored[1] == 1.5
    assert "was not stored" in capsys.readouterr().out


def test_storing_a_temperature_keeps_the_weights(two_models, tmp_path):
    path = tmp_path / "m.keras"
    shutil.copy(two_models[0], path)
    model_files.store_temperature(path, 2.5)
    model, description = model_files.load(path)
    assert description == model_files.Description(["cat", "dog"], 96, "stretch", "tiny", 2.5)
    for before, after in zip(model_files.load(two_models[0])[0].get_weights(), model.get_weights()):
        np.testing.assert_array_equal(before, after)


def write_submissions(folder):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 300)
    (folder / "labels.csv").write_text("id,label\n" + "".join(f"{i},{'cd'[y]}\n" for i, y in enumerate(labels)))
    columns = {}
    for name, noise in (("good", 1), ("bad", 4)):
        columns[name] = 1 / (1 + np.exp(-3 * (2 * labels - 1) - generator.normal(0, noise, 300)))
        rows = "".join(f"{i},{p:.6g}\n" for i, p in enumerate(columns[name]))
        (folder / f"{name}.csv").write_text("id,label\n" + rows)
    return labels, columns


def test_submissions_need_no_tensorflow(tmp_path):
    labels, columns = write_submissions(tmp_path)
    script = """
import sys
sys.modules["tensorflow"] = None
import dogcat.evaluate
from dogcat.core import flags
flags.run(dogcat.evaluate.main, dogcat.evaluate.EvaluationOptions)
"""
    flags = {"predictions": "good.csv", "against": "bad.csv", "labels": "labels.csv", "output": "out"}
    arguments = [f"--{name}={tmp_path / value}" for name, value in flags.items()]
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    found, _ = evaluated(tmp_path / "out")
    for model, name in zip(found["models"], ("good", "bad")):
        expected = metrics.log_loss(labels, columns[name])
        assert model["metrics"]["log_loss"]["value"] == pytest.approx(expected, abs=1e-4)
    assert found["comparison"]["told_apart"] is True
    assert f"tells them apart: {tmp_path / 'good.csv'} is better" in done.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "/no/run"}, "--model=/no/run: no model there"),
        ({"against": "/no/run"}, "--against=/no/run: no model there"),
        ({"against": "owls.keras"}, "owls.keras: knows cat, owl, and not cat, dog"),
        ({"model": "small.keras"}, "small.keras: made for pictures of 32 pixels (stretch)"),
        ({"tfrecords": "/no/data"}, "/no/data does not exist"),
        ({"split": "test"}, "--split=test: "),
        ({"images": "/no/folder"}, "/no/folder does not exist"),
        ({"images": "foreign"}, "has pictures of 'fox', which is none of the model's classes, cat, dog"),
        ({"images": "unlabelled"}, "have no class"),
        ({"images": "broken"}, "0 pictures can be read"),
        ({"images": "a", "predictions": "b", "labels": "c"}, "--images=a: give it or --predictions, not both"),
        ({"predictions": "b"}, "--labels=: give --predictions and --labels together"),
        ({"predictions": "/no/p.csv", "labels": "labels.csv"}, "--predictions=/no/p.csv: no such file"),
        ({"predictions": "good.csv", "labels": "/no/l.csv"}, "--labels=/no/l.csv: no such file"),
        ({"predictions": "b", "labels": "c", "save_temperature": True}, "--save_temperature: goes with --model"),
        ({"classes": "dog,cat"}, "--classes=dog,cat: goes with --predictions"),
        (
            {"predictions": "predictions.csv", "labels": "labels.csv", "output": "."},
            "--predictions=predictions.csv: --output=. would replace it",
        ),
        ({"model": "good.csv", "save_temperature": True}, "good.csv: a temperature is stored in a .keras file alone"),
        ({"output": "good.csv"}, "good.csv: is not a folder"),
        ({"output": "none/out"}, "none does not exist; make it first"),
        ({"clip": 0.0}, "--clip=0.0: use more than 0 and less than 0.5, like 0.001"),
        ({"resamples": 1}, "--resamples=1: use 100 or more"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(bad_inputs, two_models, tfrecords, tmp_path, monkeypatch, changes, said):
    monkeypatch.chdir(bad_inputs)
    given = {"model": str(two_models[0]), "tfrecords": str(tfrecords), "output": str(tmp_path / "out"), **changes}
    with pytest.raises(InputError) as caught:
        dogcat.evaluate.main(EvaluationOptions(**given))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory):
    """A folder with what cannot be used."""
    folder = tmp_path_factory.mktemp("bad")
    write_submissions(folder)
    draw(folder / "foreign", "cat/1.png", "fox/2.png")
    draw(folder / "unlabelled", "1.png", "2.png")
    touch(folder / "broken", "cat.1.png", "dog.2.png")
    small = architecture.build_model("tiny", 32, 2)
    for name, classes in (("owls", ["cat", "owl"]), ("small", ["cat", "dog"])):
        model_files.save(small, folder / f"{name}.keras", model_files.Description(classes, 32, "stretch", "tiny"))
    return folder


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"predictions": "p.csv", "labels": "l.csv", "engine": "openvino"}, "--engine=openvino: goes with a model"),
        ({"predictions": "p.csv", "labels": "l.csv", "tta": "none"}, "--tta=none: goes with a model"),
        ({"images": "pictures", "split": "train"}, "--split=train: give it or --images, not both"),
    ],
)
def test_what_would_do_nothing_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        EvaluationOptions.from_given(given)


def test_a_mistake_is_one_line_and_exit_code_2(call, tmp_path):
    done = call("dogcat.evaluate", "--predictions=/no/p.csv", "--labels=/no/l.csv", f"--output={tmp_path}/out")
    assert done.code == 2
    assert done.err.splitlines() == ["error: --labels=/no/l.csv: no such file"]
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_files_of_before(tmp_path):
    write_submissions(tmp_path)
    given = {name: str(tmp_path / f"{file}.csv") for name, file in (("predictions", "good"), ("labels", "labels"))}
    options = EvaluationOptions(**given, output=str(tmp_path / "out"), resamples=100)
    other = dataclasses.replace(options, predictions=str(tmp_path / "bad.csv"))
    for room in (0, 300, 1500):
        with full_disk(room), pytest.raises(OSError) as error:
            dogcat.evaluate.main(options)
        assert str(tmp_path / "out") in error.value.filename
        assert not (tmp_path / "out").exists()
    dogcat.evaluate.main(options)
    before = tree(tmp_path)
    for room in (0, 300, 1500, (tmp_path / "out" / "predictions.csv").stat().st_size - 1):
        with full_disk(room), pytest.raises(OSError):
            dogcat.evaluate.main(other)
        after = tree(tmp_path)
        marker = f"out/{outputs.MARKER}"
        assert {**after, marker: before[marker]} == before
    dogcat.evaluate.main(other)
    assert tree(tmp_path) != before


def test_files_of_somebody_else_are_refused_before_the_work(tmp_path):
    write_submissions(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"out/metrics\.json: is in the way"):
        # Not even the predictions are looked for.
        dogcat.evaluate.main(EvaluationOptions(predictions="none.csv", labels="none.csv", output=str(tmp_path / "out")))
    assert tree(tmp_path) == before
