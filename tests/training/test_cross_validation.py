from __future__ import annotations

import csv
import dataclasses
import json
import signal
import time

import numpy as np
import pytest
from conftest import command, make, start, without_progress
from sklearn import metrics
from small_runs import small_run

from dogcat.core.options import InputError, as_flag
from dogcat.dataset import manifest
from dogcat.library.runs import train_with_page
from dogcat.loading import fold_set, pipeline, readers
from dogcat.models import architecture, model_files
from dogcat.prediction import predictor
from dogcat.prediction.options import PredictionOptions
from dogcat.training import data_set, frozen_features

FOLDS = 2
SECONDS = 300

pytestmark = pytest.mark.usefixtures("without_drawings")


def options(tfrecords, runs, **changes):
    """A cross-validation of one epoch of the tiny backbone's end, its trunk kept."""
    of_folds = {"folds": FOLDS, "unfreeze_from": "conv2", "epochs": 1, "report": False, "shear": 0.0, "zoom": 0.0}
    return small_run(tfrecords, runs, **{**of_folds, **changes})


@pytest.fixture(scope="module")
def folder(tfrecords, tmp_path_factory):
    """The folder of a cross-validation, with the pages of its runs."""
    return train_with_page(options(tfrecords, tmp_path_factory.mktemp("runs"), report=True))


def rows_of(folder):
    with open(folder / "out_of_fold.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_each_picture_is_predicted_by_the_run_that_never_saw_it(tfrecords, folder):
    rows = rows_of(folder)
    data = manifest.load(tfrecords)
    read = {split: readers.open_split(tfrecords, data, split) for split in ("train", "validation")}
    assert [row["key"] for row in rows] == read["train"].keys + read["validation"].keys
    for number in range(1, FOLDS + 1):
        data = data_set.load_fold({"tfrecords": str(tfrecords), "folds": FOLDS, "seed": 0}, number)
        training, validation = (readers.open_split(tfrecords, data, split) for split in ("train", "validation"))
        assert not set(training.keys) & set(validation.keys)
        assert len(training.keys) + len(validation.keys) == len(rows)
        # By the run's model and Keras' own predict, picture by picture.
        model, _ = model_files.load(folder / f"fold-{number}" / "best.keras")
        batches = pipeline.evaluation_dataset(validation, 1)
        logits = architecture.logits_model(model).predict(batches, verbose=0)[:, 0].astype(np.float64)
        of_fold = [row for row in rows if row["fold"] == str(number)]
        assert [row["key"] for row in of_fold] == validation.keys
        probabilities = [float(row["p_dog"]) for row in of_fold]
        np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-4)
        assert [data.classes[label] for label in validation.labels] == [row["class"] for row in of_fold]


def test_the_figures_are_of_all_pictures_together(folder):
    rows = rows_of(folder)
    labels = [row["class"] == "dog" for row in rows]
    probabilities = np.array([float(row["p_dog"]) for row in rows])
    [model] = json.loads((folder / "metrics.json").read_text())["models"]
    loss, accuracy = model["metrics"]["log_loss"], model["metrics"]["accuracy"]
    assert loss["value"] == pytest.approx(metrics.log_loss(labels, probabilities), rel=1e-4)
    assert loss["value"] == pytest.approx(np.mean([float(row["loss"]) for row in rows]), rel=1e-6)
    assert loss["low"] < loss["value"] < loss["high"]
    assert accuracy["value"] == pytest.approx(metrics.accuracy_score(labels, probabilities > 0.5))


def test_the_folder_is_an_ensemble_and_each_fold_a_run(folder, samples, tmp_path):
    runs = folder.parent
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "summary.json", "out_of_fold.csv", "metrics.json", "models.txt", "tensorboard"),
        *(f"fold-{number}" for number in range(1, FOLDS + 1)),
    }
    assert (runs / "latest").resolve() == folder.resolve()
    for number in range(1, FOLDS + 1):
        page = (folder / f"fold-{number}" / "report.html").read_text()
        assert f"--folds={FOLDS}" in page and str(runs) in page and f"--runs={folder}" not in page
    of_all, one_by_one = (
        predictor.predict(
            PredictionOptions(
                str(place), str(samples / "test"), output=str(tmp_path / f"{number}.csv"), engine="tensorflow"
            )
        )
        for number, place in enumerate((runs / "latest", f"{folder}/fold-*"))
    )
    np.testing.assert_array_equal(of_all.log_probabilities, one_by_one.log_probabilities)
    with pytest.raises(InputError, match=r"^--model=.*latest: is several models; give one of them, like .*fold-1$"):
        model_files.find_file(str(runs / "latest"), "model")


def test_folds_follow_from_keys_and_seed_and_are_stratified():
    keys = [f"{number}.jpg" for number in range(101)]
    labels = np.array([0] * 31 + [1] * 70)
    fold_of = fold_set.assign(keys, labels, 4, seed=5)
    for label in (0, 1):
        sizes = np.bincount(fold_of[labels == label], minlength=5)[1:]
        assert sizes.max() - sizes.min() <= 1
    order = np.random.default_rng(0).permutation(101)
    shuffled = fold_set.assign([keys[place] for place in order], labels[order], 4, seed=5)
    np.testing.assert_array_equal(shuffled, fold_of[order])
    assert (fold_set.assign(keys, labels, 4, seed=6) != fold_of).any()


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_the_pictures_of_a_fold_are_those_of_the_data_set(samples, tmp_path, encoding):
    """Also where blocks of neighbours are read in one go, across the shards of both splits."""
    made = make(samples / "train", tmp_path / "set", shards=3, validation=0.2, encoding=encoding)
    pictures = {}
    for split in made.splits:
        read = readers.open_split(tmp_path / "set", made, split)
        pictures |= zip(read.keys, readers.take(read, np.arange(len(read.keys))))
    data = fold_set.choose(tmp_path / "set", made, 4, 1, number=2)
    for split in data.splits:
        chosen = readers.open_split(tmp_path / "set", data, split)
        seen = {}
        order = pipeline.TrainingOrder(5, len(chosen.keys) // 5, 0, block=7)
        batches = pipeline.train_dataset(chosen, order).as_numpy_iterator()
        for step in range(order.steps):
            keys = pipeline.keys_of_batch(chosen, order, pipeline.Position(0, step))
            seen |= zip(keys, next(batches)[0])
        assert len(seen) == order.steps * 5
        for key, picture in seen.items():
            np.testing.assert_array_equal(picture, pictures[key])


def test_frozen_layers_are_computed_once_for_all_folds(tfrecords, tmp_path, monkeypatch):
    monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / "cache"))
    passed = []
    compute = frozen_features.FeatureExtractor._compute

    def counted(extractor, split, view):
        passed.append((split, view))
        return compute(extractor, split, view)

    monkeypatch.setattr(frozen_features.FeatureExtractor, "_compute", counted)
    # For fewer nothing but the features is kept.
    train_with_page(options(tfrecords, tmp_path / "runs", folds=3))
    assert passed == [("all", 0)]
    assert len(list((tmp_path / "cache" / "trunk").glob("*.trunk"))) == 2


def test_a_killed_cross_validation_goes_on_with_its_fold(tfrecords, tmp_path):
    wanted = options(tfrecords, tmp_path / "runs", folds=2)
    line = command("dogcat.train", *(as_flag(name, value) for name, value in dataclasses.asdict(wanted).items()))
    with start(line) as process:
        deadline = time.monotonic() + SECONDS
        while not list((tmp_path / "runs").glob("*/fold-2/state/[0-9]*")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    [killed] = (path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    assert not (tmp_path / "runs" / "latest").is_symlink() and not (killed / "models.txt").exists()
    before = (killed / "fold-1" / "summary.json").stat().st_mtime_ns
    with start([*line, "--resume"]) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, without_progress(err)) == (0, ""), err
    assert "resuming:" in out and (killed / "fold-1" / "summary.json").stat().st_mtime_ns == before
    assert {path.name for path in killed.glob("fold-*")} == {"fold-1", "fold-2"}
    assert len(rows_of(killed)) == 47 and (tmp_path / "runs" / "latest").resolve() == killed


def test_a_dry_run_says_what_would_be_done(tfrecords, tmp_path, capsys):
    assert train_with_page(options(tfrecords, tmp_path / "runs", dry_run=True)) is None
    out = capsys.readouterr().out
    assert "folds: 2 runs, each validated on 23 or 24 of all 47 pictures, and trained on the others\n" in out
    assert not (tmp_path / "runs").exists()


def test_what_cannot_be_is_refused(tfrecords, tmp_path):
    def refusal(**changes):
        with pytest.raises(InputError) as caught:
            train_with_page(options(tfrecords, tmp_path / "runs", **changes))
        return str(caught.value)

    assert refusal(folds=1) == "--folds=1: use 2 to 100, or 0 for one model, on the splits as they are"
    assert refusal(folds=41).startswith(f"--folds=41: {tfrecords} has 24 pictures of cat, and each fold needs one")
    assert refusal(strategy="multi_worker") == "--folds=2: trains in one process; use --strategy=one_device or mirrored"
    assert refusal(limit=10).startswith("--folds=2: goes without --limit")
    assert refusal(init_from="runs/latest").startswith("--init_from=runs/latest: may have seen the pictures")
    assert refusal(batch_size=32).startswith("--batch_size=32: the training split has 23 pictures")
    assert not (tmp_path / "runs").exists()
