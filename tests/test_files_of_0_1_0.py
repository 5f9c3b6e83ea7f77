"""Files that version 0.1.0 wrote are opened by the commands of today, and give the figures that 0.1.0 had.

`files_of_0_1_0/make.sh` tells what the files are and how they were made.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from fuzzing import tree

import dogcat.evaluate
import dogcat.train
from dogcat import predict
from dogcat.core import cache, files
from dogcat.core.options import InputError
from dogcat.dataset import manifest, stored_picture, tfrecord
from dogcat.dataset.options import ShardOptions
from dogcat.loading import pipeline, readers
from dogcat.models import linear_head, model_files
from dogcat.prediction.options import EvaluationOptions, PredictionOptions
from dogcat.training import epoch_records
from dogcat.training.options import TrainingOptions
from tools import inspect_tfrecords, make_report, make_tfrecords

ARCHIVE = Path(__file__).parent / "files_of_0_1_0" / "files.tar.xz"
SAME = {"engine": "tensorflow", "precision": "float32", "strategy": "one_device", "batch_size": 4}
# Of probabilities and log losses; sums of many steps come further apart on another machine.
NEAR, NEAR_TRAINED = 1e-5, 1e-4


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("0.1.0")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(autouse=True)
def in_its_folder(unpacked, monkeypatch):
    """The working folder, as it was for 0.1.0; another command than the one that is tested has its own cache."""
    monkeypatch.chdir(unpacked)
    monkeypatch.setenv("DOGCAT_CACHE", str(unpacked / "new cache"))
    files.note.cache_clear()


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def notes_in(err):
    """What the program said on standard error, without TensorFlow's warnings of so many models in one process."""
    return [line for line in err.splitlines() if "WARNING:tensorflow:" not in line]


def assert_near(found, expected, path=""):
    """Holds two JSON values together: numbers nearly the same, all else exactly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for name in expected:
            assert_near(found[name], expected[name], f"{path}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for place, both in enumerate(zip(found, expected)):
            assert_near(*both, f"{path}[{place}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=NEAR, abs=NEAR), path
    else:
        assert found == expected, path


def without_share_intervals(value, name=""):
    """A JSON value in which accuracy, recall, precision and the cells of confusion matrices are without intervals."""
    if isinstance(value, list):
        return [without_share_intervals(one, name) for one in value]
    if not isinstance(value, dict):
        return value
    if name in ("accuracy", "recall", "precision", "confusion_matrix"):
        return value["value"]
    return {inner: without_share_intervals(one, inner) for inner, one in value.items()}


def assert_same_history(found, expected):
    """Holds together what two runs computed; times differ."""
    found, expected = (rows_of(run / "history.csv") for run in (found, expected))
    assert [list(row) for row in found] == [list(row) for row in expected]
    figures = [[[float(value) for value in row.values()] for row in rows] for rows in (found, expected)]
    np.testing.assert_allclose(*figures, rtol=0, atol=NEAR_TRAINED)


@pytest.mark.parametrize("name", ["jpeg", "png", "raw"])
def test_a_data_set_is_read_to_the_same_pixels(name, capsys):
    folder = Path("data", name)
    assert inspect_tfrecords.main(inspect_tfrecords.InspectOptions(str(folder), verify=True)) == 0
    data = manifest.load(folder)
    found = {}
    for split in data.splits:
        reader = readers.open_split(folder, data, split)
        [pictures] = pipeline.evaluation_dataset(reader, len(reader.labels)).as_numpy_iterator()
        hashes = [zlib.crc32(picture.tobytes()) for picture in pictures]
        found[split] = [list(row) for row in zip(reader.keys, reader.labels.tolist(), hashes)]
    assert found == json.loads(Path("read.json").read_text())[name]
    assert capsys.readouterr().err == ""


def test_a_data_set_is_replaced_where_that_is_asked_for(tmp_path):
    output = shutil.copytree("data/png", tmp_path / "data")
    options = {"images": "pictures/test", "output": str(output), "unlabeled": True, "image_size": 16, "workers": 1}
    with pytest.raises(InputError, match="already holds a data set; --overwrite replaces it"):
        make_tfrecords.make_data_set(ShardOptions(**options))
    made = make_tfrecords.make_data_set(ShardOptions(**options, overwrite=True))
    assert manifest.load(output) == made and made.image_size == 16
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_work_that_was_not_finished_is_named_and_stays(unpacked):
    # Its lines have no checksums, so that it cannot be told from damage; none of it takes long to make again.
    before = tree(unpacked / "data")
    with pytest.raises(InputError, match=r"data/half\.partial: is in the way of unfinished work, since this version"):
        make_tfrecords.make_data_set(
            ShardOptions("pictures/test", "data/half", unlabeled=True, image_size=16, shards=2, workers=1)
        )
    assert tree(unpacked / "data") == before
    partial = Path("stopped.csv.partial").read_bytes()
    options = {**SAME, "images": "", "tfrecords": "data/png", "batch_size": 2, "output": "stopped.csv"}
    for resume in (False, True):
        with pytest.raises(InputError, match=r"stopped\.csv\.partial: is damaged or of a former version; remove it"):
            predict.main(PredictionOptions("runs/latest", **options, resume=resume))
    assert Path("stopped.csv.partial").read_bytes() == partial and not Path("stopped.csv").exists()


@pytest.mark.parametrize("model", ["runs/latest", "exported"])
def test_a_model_predicts_the_same_of_a_data_set(model, tmp_path):
    output = tmp_path / "png.csv"
    columns = {"clip": 0.0, "columns": "path,logit,probabilities"}
    predict.main(PredictionOptions(model, "", "data/png", output=str(output), **columns, **SAME))
    found, expected = rows_of(output), rows_of("png.csv")
    assert len(expected) == 4 and [list(row) for row in found] == [list(row) for row in expected]
    assert [(row["id"], row["path"]) for row in found] == [(row["id"], row["path"]) for row in expected]
    # Version 0.1.0 magnified pictures, so its own probabilities were others.
    pictures = readers.open_split(Path("data/png"), manifest.load(Path("data/png")), "test")
    by_key = dict(zip(pictures.keys, readers.take(pictures, np.arange(4))))
    plain = model_files.load(Path("runs/latest/best.keras"))[0]
    said = plain.predict(np.stack([by_key[row["path"]] for row in found]), verbose=0)[:, 0]
    np.testing.assert_allclose([float(row["label"]) for row in found], said, rtol=0, atol=NEAR)


def test_a_model_predicts_the_same_of_files(tmp_path):
    output = tmp_path / "test.jsonl"
    options = {"clip": 0.0, "tta": "flip", "output": str(output), **SAME}
    predict.main(PredictionOptions("runs/latest", "pictures/test", **options))
    found, expected = (
        [json.loads(line) for line in path.read_text().splitlines()] for path in (output, Path("test.jsonl"))
    )
    # Of 2.jpg, which is large, there is the prediction alone.
    assert_near(found, [row for row in expected if row["id"] != "2"])
    listed = [rows_of(path) for path in (tmp_path / "test.jsonl.unreadable.csv", "test.jsonl.unreadable.csv")]
    assert listed[0][0]["path"] == listed[1][0]["path"] == "5.jpg"


def test_an_evaluation_has_the_same_figures(tmp_path):
    options = {"tfrecords": "data/jpeg", "tta": "none", "output": str(tmp_path / "new"), **SAME}
    dogcat.evaluate.main(EvaluationOptions("runs/latest", **options))
    found, expected = (
        json.loads((Path(folder) / "metrics.json").read_text()) for folder in (options["output"], "evaluation")
    )
    # Intervals of shares are exact by now.
    assert_near(without_share_intervals(found), without_share_intervals(expected))
    found, expected = (rows_of(Path(folder) / "predictions.csv") for folder in (options["output"], "evaluation"))
    assert [row["key"] for row in found] == [row["key"] for row in expected]
    # An evaluation of 0.1.0 has no mark that tells it from somebody's own files.
    with pytest.raises(InputError, match="evaluation"):
        dogcat.evaluate.main(EvaluationOptions("runs/latest", **{**options, "output": "evaluation"}))


def test_runs_get_their_pages(capsys):
    make_report.main(make_report.ReportOptions("runs/latest"))
    page = Path("runs", "latest", "report.html").read_text()
    assert "0.8444" in page and "0.1.0" in page
    make_report.main(make_report.ReportOptions("runs/2*"))
    page = Path("runs", "comparison.html").read_text()
    assert "0.8444" in page and "0.8708" in page
    assert notes_in(capsys.readouterr().err) == []


@pytest.mark.keras(3, reason="the state is of Keras 2")
def test_a_stopped_run_is_for_the_other_keras():
    given = {"config": "stopped/latest/config.json", "resume": True}
    said = r"--resume: .* began with Keras 2.15.0, whose state Keras 3.* does not read; "
    with pytest.raises(InputError, match=said):
        dogcat.train.main(TrainingOptions.from_given(given))


@pytest.mark.keras(2, reason="the state is of Keras 2")
def test_a_stopped_run_goes_on_to_the_same_end(capsys, without_drawings):
    given = {"config": "stopped/latest/config.json", "resume": True, "save_minutes": 10.0}
    dogcat.train.main(TrainingOptions.from_given(given))
    said = capsys.readouterr()
    # Saved before the validation, where no step was left in which the optimizer would be read.
    assert "in epoch 3, of which 5 of 5 steps are done" in said.out and notes_in(said.err) == []
    run = Path("stopped", "latest")
    assert_same_history(run, Path("runs", "latest"))
    np.testing.assert_allclose(
        np.load(run / "validation.npy"), np.load("runs/latest/validation.npy"), rtol=0, atol=NEAR_TRAINED
    )
    assert not (run / "state").exists() and len(list(run.parent.glob("2*"))) == 1


@pytest.mark.keras(2, reason="Keras 3 has other layers in MobileNetV3")
def test_a_run_begins_with_a_model(tmp_path, without_drawings):
    given = {"config": "runs/latest/config.json", "init_from": "runs/latest", "runs": str(tmp_path)}
    dogcat.train.main(TrainingOptions.from_given({**given, "epochs": 1, "steps_per_epoch": 1}))
    before, after = epoch_records.read(tmp_path / "latest" / "history.jsonl")
    last = epoch_records.read(Path("runs", "latest", "history.jsonl"))[-1]
    assert before.val_loss == pytest.approx(last.val_loss, abs=NEAR)
    assert math.isfinite(after.loss)


@pytest.mark.keras(2, reason="features are kept by the version of TensorFlow that made them")
def test_features_are_taken_from_the_cache_and_pixels_made_anew(tmp_path, monkeypatch, capsys, without_drawings):
    kept = shutil.copytree("cache", tmp_path / "cache")
    monkeypatch.setenv("DOGCAT_CACHE", str(kept))
    before = tree(kept)
    # 0.1.0 penalised the head of a few pictures like that of many.
    monkeypatch.setattr(linear_head, "_PICTURES_TIMES_C", 0)
    [former] = Path("runs").glob("*-head-adam")
    dogcat.train.main(
        TrainingOptions.from_given({"config": str(former / "config.json"), "runs": str(tmp_path / "runs")})
    )
    run = tmp_path / "runs" / "latest"
    assert_same_history(run, former)
    # No picture went through the backbone.
    [epoch] = epoch_records.read(run / "history.jsonl")
    assert math.isnan(epoch.pictures_per_second)
    after = {name: content for name, content in tree(kept).items() if not name.startswith("indexes")}
    assert after.keys() == before.keys()
    by_ending = {ending: [name for name in before if name.endswith(ending)] for ending in (".npz", ".pixels")}
    assert [len(names) for names in by_ending.values()] == [2, 2]
    for name in by_ending[".npz"]:
        assert after[name] == before[name]
    # Pixels alone do not tell of which data set they are; they are decoded anew, to the same place.
    for name in by_ending[".pixels"]:
        records = tmp_path / "records"
        records.write_bytes(after[name][1][cache.HEAD_BYTES :])
        pictures = [stored_picture.parse_picture(record.data) for record in tfrecord.read_records(records)]
        assert b"".join(picture.encoded for picture in pictures) == before[name][1]
    said = notes_in(capsys.readouterr().err)
    assert len(said) == 2 and all(line.endswith("and counts as none") for line in said)
