"""Runs that go on, and what is left of them where they cannot."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, environment
from small_runs import flags_of, one_epoch

from dogcat.core.interrupts import Terminated
from dogcat.core.options import InputError
from dogcat.library.runs import train_with_page
from dogcat.reports import build
from dogcat.training import checkpoint as state
from dogcat.training import run as training
from dogcat.training import run_folder

pytestmark = pytest.mark.usefixtures("without_drawings")


def test_of_unfinished_runs_that_of_the_same_options_goes_on(tfrecords, tmp_path):
    def begun(**changes):
        run = training.train(one_epoch(tfrecords, tmp_path, epochs=0, **changes))
        (run / "summary.json").unlink()
        return run

    older, newer = begun(seed=1), begun(seed=2)
    assert (tmp_path / "latest").resolve() == newer
    assert training.train(one_epoch(tfrecords, tmp_path, epochs=0, seed=1, resume=True)) == older
    assert (tmp_path / "latest").resolve() == older
    with pytest.raises(InputError, match=f"--seed=3: {newer} began with --seed=2"):
        training.train(one_epoch(tfrecords, tmp_path, epochs=0, seed=3, resume=True))


def test_on_another_number_of_devices_a_run_goes_on_and_says_so(tfrecords, tmp_path, capsys):
    run = training.train(one_epoch(tfrecords, tmp_path, epochs=0))
    (run / "summary.json").unlink()
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "replicas": 4}))
    assert training.train(one_epoch(tfrecords, tmp_path, epochs=0, resume=True)) == run
    assert "note: the run began on 4 devices; on 1 " in capsys.readouterr().out


def test_a_run_goes_on_from_what_it_started_from_wherever_its_data_are(tfrecords, tmp_path, capsys):
    small = {"unfreeze_from": "", "epochs": 0}
    first = training.train(one_epoch(tfrecords, tmp_path, preset="top", **small))
    run = training.train(one_epoch(tfrecords, tmp_path, preset="continue", init_from="top", **small))
    assert json.loads((run / "config.json").read_text())["start"] == str(first / "best.keras")
    (run / "summary.json").unlink()
    # By now the preset has another run.
    training.train(one_epoch(tfrecords, tmp_path, preset="top", seed=1, **small))
    moved = shutil.copytree(tfrecords, tmp_path / "moved")
    capsys.readouterr()
    again = one_epoch(moved, tmp_path, preset="continue", init_from="top", resume=True, **small)
    assert training.train(again) == run
    assert f"start: {first / 'best.keras'}\n" in capsys.readouterr().out


def test_stopped_while_it_makes_the_page_a_run_is_finished(tfrecords, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "write", lambda run: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Terminated, match="the run .* is finished; the same command with --resume makes its page"):
        train_with_page(one_epoch(tfrecords, tmp_path, epochs=0, report=True))
    assert (tmp_path / "latest" / "summary.json").is_file()


def test_the_page_that_a_finished_run_lacks_is_made_by_resume(tfrecords, tmp_path, capsys):
    run = training.train(one_epoch(tfrecords, tmp_path, epochs=0))
    kept = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(InputError, match=f"has no unfinished run; {run} is finished"):
        training.train(one_epoch(tfrecords, tmp_path, epochs=0, resume=True))
    capsys.readouterr()
    again = one_epoch(tfrecords, tmp_path, epochs=0, resume=True, report=True)
    assert train_with_page(dataclasses.replace(again, dry_run=True)) is None
    assert not (run / "report.html").exists()
    assert train_with_page(again) == run
    said = capsys.readouterr().out
    assert f"the run {run} is finished; what is left is its page, report.html" in said
    assert f"report: {run / 'report.html'}" in said
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name in kept} == kept
    with pytest.raises(InputError, match=f"has no unfinished run; {run} is finished"):
        train_with_page(again)


def test_a_damaged_run_is_named_unless_another_is_meant(tfrecords, tmp_path):
    wanted = one_epoch(tfrecords, tmp_path, epochs=0)
    run = training.train(wanted)
    (run / "summary.json").unlink()
    damaged = shutil.copytree(run, tmp_path / "20990101-000000-other", symlinks=True)
    (damaged / "config.json").write_text('{"options": {}}')
    resuming = dataclasses.replace(wanted, resume=True)
    assert training.train(resuming) == run
    with pytest.raises(InputError, match=f"{damaged}/config.json: is damaged: options lacks 'backbone'"):
        training.train(resuming)


def test_a_run_that_was_finished_meanwhile_stays_as_it_is(tfrecords, tmp_path, monkeypatch):
    run = training.train(one_epoch(tfrecords, tmp_path, epochs=0))
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    # As it was when the second process looked.
    found = run_folder.Unfinished(run, json.loads((run / "config.json").read_text()))
    monkeypatch.setattr(run_folder, "unfinished", lambda options, digest: found)
    with pytest.raises(InputError, match=f"--resume: {run} has been finished by another process meanwhile"):
        training.train(one_epoch(tfrecords, tmp_path, epochs=0, resume=True))
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_run_goes_on_after_room_was_made(tfrecords, tmp_path, monkeypatch):
    small = {"unfreeze_from": "", "epochs": 2}
    whole = training.train(one_epoch(tfrecords, tmp_path / "whole", **small))
    save, limits = state.save, resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_a_full_disk(folder, progress, variables):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000 if progress.epoch == 1 else limits[0], limits[1]))
        try:
            save(folder, progress, variables)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(state, "save", on_a_full_disk)
    wanted = one_epoch(tfrecords, tmp_path / "full", **small)
    with pytest.raises(InputError, match="the state cannot be written .*; make room, then --resume"):
        training.train(wanted)
    monkeypatch.setattr(state, "save", save)
    run = training.train(dataclasses.replace(wanted, resume=True))
    assert (run / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()


def test_a_full_disk_is_one_line(tfrecords, tmp_path):
    """The limit on the size of a file stands for a disk that is full."""
    script = """
import tiny_backbone, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
from dogcat.core import flags
import dogcat.train
flags.run(dogcat.train.main, dogcat.train.TrainingOptions)
"""
    line = [sys.executable, "-c", script, *flags_of(one_epoch(tfrecords, tmp_path / "runs"))]
    done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "too large" in done.stderr, done.stderr
    assert list((tmp_path / "runs").iterdir()) == []
