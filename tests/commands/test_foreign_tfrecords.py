"""Runs and evaluations on TFRecords that other programs wrote."""

from __future__ import annotations

import csv
import json

import pytest
from conftest import contents
from foreign_records import CLASSES, of_slim, of_tfds, write, write_set
from small_runs import save_model

from dogcat.training.step import Trainer

pytestmark = pytest.mark.usefixtures("empty_cache", "without_drawings")

TRAIN = (
    *("dogcat.train", "--backbone=tiny", "--weights=none", "--image_size=32", "--batch_size=8", "--epochs=1"),
    *("--unfreeze_from=conv2", "--optimizer=adam", "--precision=float32", "--strategy=one_device"),
    "--engine=tensorflow",
)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def one_line(done):
    assert done.code == 2, done.err
    [line] = done.err.splitlines()
    return line


def losses(run):
    return (run / "history.csv").read_bytes()


def test_a_run_is_trained_resumed_reported_and_evaluated(folder, tmp_path, call, monkeypatch):
    flags = [*write_set(folder, of_slim, gzip=True), "--classes=cat,dog"]
    before = contents(folder)
    runs = tmp_path / "runs"
    done = call(*TRAIN, *flags, f"--runs={runs}", "--noreport")
    assert (done.code, done.err) == (0, "")
    assert "records: pictures from image/encoded, labels from image/class/text: cat, dog" in done.out
    run = (runs / "latest").resolve()
    config = json.loads((run / "config.json").read_text())
    assert config["classes"] == list(CLASSES) and config["options"]["image_size"] == 32

    # Stopped within the first epoch, it goes on to the same end, and only with the same records.
    def stop(self, batch, epoch, number):
        if number == 2:
            raise KeyboardInterrupt
        return take_step(self, batch, epoch, number)

    take_step = Trainer.step
    other = tmp_path / "other"
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", stop)
        assert call(*TRAIN, *flags, f"--runs={other}").code == 130
    again = (*TRAIN, *flags, f"--runs={other}", "--resume", "--noreport")
    first = folder / "train.tfrecord-00000-of-00002"
    write(first, [of_slim(number + 50, number % 2) for number in range(13)], gzip=True)
    # What follows may be cut short, as the paths are long.
    assert f"--tfrecords={folder}/train.tfrecord-*: has changed since " in one_line(call(*again))
    first.write_bytes(before[first.name])
    assert "--image_size=48: " in one_line(call(*again, "--image_size=48"))
    done = call(*again, "--cache=memory")
    assert done.code == 0 and "in epoch 1, of which 2 of 3 steps are done" in done.out
    assert losses((other / "latest").resolve()) == losses(run)

    assert call("tools.make_report", run).code == 0
    assert f"--validation_tfrecords={folder}" in (run / "report.html").read_text()
    evaluate = ("dogcat.evaluate", f"--model={run}", f"--output={tmp_path}/evaluation", "--engine=tensorflow")
    done = call(*evaluate, f"--tfrecords={folder}/val*", "--resamples=100")
    assert (done.code, done.err) == (0, "")
    with open(tmp_path / "evaluation/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == [f"val.tfrecord-00000-of-00001:{number}" for number in range(12)]
    assert contents(folder) == before


def test_what_does_not_fit_is_one_line(folder, tfrecords, tmp_path, call):
    train, validation = write_set(folder, of_tfds)
    runs = f"--runs={tmp_path}/runs"
    small = (*TRAIN, runs)
    assert "need others to validate on; give them by --validation_tfrecords" in one_line(call(*small, train))
    said = one_line(call(*small, f"--tfrecords={tfrecords}", "--image_size=32"))
    assert "--image_size=32: goes with TFRecords of another program" in said
    own = [flag for flag in small if flag != "--image_size=32"]
    assert "--label_key=label: goes with" in one_line(call(*own, f"--tfrecords={tfrecords}", "--label_key=label"))
    said = one_line(call(*own, train, validation, "--image_size=20"))
    assert "has pictures of 20 pixels; tiny takes 32 or more" in said and "--image_size=96" in said
    assert "no training picture of bird" in one_line(call(*small, train, validation, "--classes=cat,dog,bird"))
    said = one_line(call(*small, f"--tfrecords={folder}", validation))
    assert f"{folder} has no dataset.json" in said and f"by a pattern, like '{folder}/*train*'" in said
    assert "no file matches" in one_line(call(*small, f"--tfrecords={folder}/other*", validation))
    assert not (tmp_path / "runs").exists()

    evaluate = ("dogcat.evaluate", f"--model={save_model(tmp_path / 'a.keras')}", f"--output={tmp_path}/evaluation")
    assert "--split=train: goes with the folder of a data set" in one_line(call(*evaluate, train, "--split=train"))
    said = one_line(call(*evaluate, f"--tfrecords={tfrecords}", "--image_key=image"))
    assert "--image_key=image: goes with TFRecords of another program" in said
    assert "record 0: label is 0, not one of 1 to 2" in one_line(call(*evaluate, train, "--first_label=1"))


def test_a_dry_run_takes_the_size_of_the_backbone(folder, tmp_path, call):
    flags = write_set(folder)
    own = [flag for flag in TRAIN if flag != "--image_size=32"]
    done = call(*own, *flags, f"--runs={tmp_path}/runs", "--dry_run", "--classes=cat,dog", "--limit=20")
    assert (done.code, done.err) == (0, "")
    assert "20 for train, 12 for validation" in done.out
    assert "records: pictures from image, labels from label, counted from 0: cat, dog" in done.out
