"""Runs that go to trackers: the real packages, wandb offline and mlflow with a store of files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import need_python_3_10
from small_runs import history_of, small_run

from dogcat.core import files
from dogcat.core.interrupts import Terminated
from dogcat.core.options import InputError
from dogcat.dataset import manifest
from dogcat.library.runs import train_with_page
from dogcat.training import tracking
from dogcat.training.tracking import Tracking

pytestmark = pytest.mark.usefixtures("without_drawings")

_BLOCK, _HEADER, _FILE_HEADER = 2**15, struct.Struct("<IHB"), 7


@pytest.fixture
def stores(tmp_path, monkeypatch):
    """Places for both trackers; what they write beside goes there, too. No process of theirs outlives the test."""
    need_python_3_10()
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    files.note.cache_clear()
    yield tmp_path
    assert not services()


def services() -> list[int]:
    """The processes of wandb that this one has started and that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"wandb-core") and str(os.getpid()).encode() in words:
            found.append(int(path.parent.name))
    return found


def tracked(tfrecords, folder, **changes):
    options = {"unfreeze_from": "conv2", "optimizer": "sgd", "epochs": 2, "patience": 9, "track": "wandb,mlflow"}
    return small_run(tfrecords, folder / "runs", **{**options, "report": False, **changes})


def sent_to_wandb(run):
    """What its process has written to send: the records of each start in their order."""
    from wandb.proto import wandb_internal_pb2

    for file in sorted(run.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        data, at, payload = file.read_bytes(), _FILE_HEADER, b""
        while at + _HEADER.size <= len(data):
            if _BLOCK - at % _BLOCK < _HEADER.size:
                # Nothing begins there.
                at += _BLOCK - at % _BLOCK
            _, length, kind = _HEADER.unpack_from(data, at)
            payload += data[at + _HEADER.size : at + _HEADER.size + length]
            at += _HEADER.size + length
            # Whole, or its last part.
            if kind in (1, 4):
                yield wandb_internal_pb2.Record.FromString(payload)
                payload = b""


def of_items(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def mlflow_run(run):
    from mlflow import MlflowClient

    return MlflowClient().get_run(json.loads((run / "tracking.json").read_text())["mlflow"])


def mlflow_curve(run, name):
    from mlflow import MlflowClient

    history = MlflowClient().get_metric_history(mlflow_run(run).info.run_id, name)
    return [(metric.step, metric.value) for metric in history]


def test_both_trackers_get_options_figures_and_report(tfrecords, stores, capsys):
    run = train_with_page(tracked(tfrecords, stores, report=True))
    history = history_of(run)
    steps = 2 * (manifest.load(tfrecords).splits["train"].pictures // 8)
    records = list(sent_to_wandb(run))
    rows = [of_items(record.history.item) for record in records if record.WhichOneof("record_type") == "history"]
    losses = {row["epoch"]: row["validation/loss"] for row in rows if "epoch" in row}
    assert losses == pytest.approx({row["epoch"]: row["val_loss"] for row in history}, abs=1e-6)
    assert [row["step"] for row in rows if "step" in row][-1] == steps
    [begun] = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert json.loads(next(item.value_json for item in begun.config.update if item.key == "optimizer")) == "sgd"
    assert [record.artifact.type for record in records if record.WhichOneof("record_type") == "artifact"] == ["report"]
    assert [record.exit.exit_code for record in records if record.WhichOneof("record_type") == "exit"] == [0]

    at_mlflow = mlflow_run(run)
    assert (at_mlflow.info.status, at_mlflow.info.run_name) == ("FINISHED", run.name)
    assert at_mlflow.data.params["optimizer"] == "sgd" and at_mlflow.data.params["precision"] == "float32"
    assert at_mlflow.data.metrics["best/loss"] == pytest.approx(min(row["val_loss"] for row in history), abs=1e-6)
    curve = dict(mlflow_curve(run, "train/loss"))
    assert curve == pytest.approx({row["epoch"]: row["loss"] for row in history[1:]}, abs=1e-6)
    assert mlflow_curve(run, "step/loss")[-1][0] == steps
    assert list(stores.glob("mlflow/*/*/artifacts/report.html"))
    out, err = capsys.readouterr()
    assert "tracking: wandb, offline; wandb sync " in out and "tracking: mlflow, file://" in out
    assert "wandb" not in err.lower()


def test_a_resumed_run_is_the_same_one_at_the_trackers(tfrecords, stores, monkeypatch):
    add_epoch = Tracking.add_epoch

    def stop_after_epoch_1(self, record):
        add_epoch(self, record)
        if record.epoch == 1:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Tracking, "add_epoch", stop_after_epoch_1)
    with pytest.raises(Terminated):
        train_with_page(tracked(tfrecords, stores))
    [run] = stores.glob("runs/2*")
    assert mlflow_run(run).info.status == "KILLED"
    names = (run / "tracking.json").read_text()
    monkeypatch.setattr(Tracking, "add_epoch", add_epoch)
    assert train_with_page(tracked(tfrecords, stores, resume=True)) == run
    assert (run / "tracking.json").read_text() == names
    assert mlflow_run(run).info.status == "FINISHED"
    assert [epoch for epoch, _ in mlflow_curve(run, "validation/loss")] == [0, 1, 2]
    records = list(sent_to_wandb(run))
    begun = {record.run.run_id for record in records if record.WhichOneof("record_type") == "run"}
    assert begun == {json.loads(names)["wandb"]}
    rows = [of_items(record.history.item) for record in records if record.WhichOneof("record_type") == "history"]
    assert [row["epoch"] for row in rows if "epoch" in row] == [0, 1, 2]


def test_trackers_that_fail_in_the_middle_cost_a_line_each_and_nothing_else(tfrecords, stores, monkeypatch, capsys):
    add_epoch = Tracking.add_epoch

    def break_after_epoch_0(self, record):
        add_epoch(self, record)
        if record.epoch == 0:
            [service] = services()
            os.kill(service, signal.SIGKILL)
            shutil.rmtree(stores / "mlflow")
            (stores / "mlflow").touch()

    monkeypatch.setattr(Tracking, "add_epoch", break_after_epoch_0)
    run = train_with_page(tracked(tfrecords, stores))
    err = capsys.readouterr().err
    for name in ("wandb", "mlflow"):
        [line] = [line for line in err.splitlines() if line.startswith(f"note: tracking by {name} has ended (")]
        assert line.endswith("); the run goes on without it")
    assert "Traceback" not in err
    monkeypatch.setattr(Tracking, "add_epoch", add_epoch)
    untracked = train_with_page(tracked(tfrecords, stores, track=""))
    np.testing.assert_equal(history_of(run), history_of(untracked))


def test_a_tracker_that_cannot_begin_is_named_before_anything_is_computed(tfrecords, stores, capsys):
    (stores / "mlflow").touch()
    with pytest.raises(
        InputError, match="--track=mlflow: cannot begin .*; look at MLFLOW_TRACKING_URI, or leave it out"
    ):
        train_with_page(tracked(tfrecords, stores))
    # Nor does the one leave anything that has begun.
    assert not list(stores.glob("runs/2*"))
    assert "note: " not in capsys.readouterr().err


def test_a_package_that_is_not_there_and_a_mistyped_word_are_told(tfrecords, tmp_path, monkeypatch):
    for name in ("wandb", "mlflow"):
        # What Python takes for a module that is not there.
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InputError, match=f"--track={name}: {name} cannot be imported .*; pip install {name}$"):
            train_with_page(tracked(tfrecords, tmp_path, track=name))
    with pytest.raises(InputError, match="--track=wandb,mlfow: 'mlfow' is not .*; did you mean mlflow?"):
        tracked(tfrecords, tmp_path, track="wandb,mlfow")


def test_what_a_tracker_says_is_shown_without_secrets(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "0123456789abcdef")
    said = tracking._said(OSError("no answer from https://me:pass@host/api for 0123456789abcdef\nmore"))
    assert said == "no answer from https://***@host/api for *** more"
