"""Runs that are killed and go on, in processes of their own."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import signal
import subprocess
import termios
import time

import pytest
from conftest import command, environment, start, without_progress

SECONDS = 300


def line(tfrecords, runs, *more):
    return command(
        *("dogcat.train", f"--tfrecords={tfrecords}", f"--runs={runs}", "--backbone=tiny", "--weights=none"),
        *("--unfreeze_from=conv2", "--optimizer=adam", "--learning_rate=0.001", "--schedule=cosine", "--batch_size=4"),
        *("--epochs=4", "--patience=9", "--precision=float32", "--strategy=one_device", "--save_minutes=0.01"),
        *("--keep=0", "--noreport", *more),
    )


def wait_for(process, runs, pattern):
    """Waits until a file below the run's folder is there; the process must still be running."""
    deadline = time.monotonic() + SECONDS
    while not list(runs.glob(f"*/{pattern}")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finish(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, without_progress(err)


def files_of(runs):
    """What a run computed: the bytes of its history, and the names of its checkpoints, which hold the losses."""
    folder = (runs / "latest").resolve()
    return (folder / "history.csv").read_bytes(), sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def unbroken(tfrecords, tmp_path_factory):
    runs = tmp_path_factory.mktemp("unbroken")
    code, out, err = finish(start(line(tfrecords, runs)))
    assert (code, err) == (0, ""), err
    assert len(files_of(runs)[1]) == 5
    return runs


@pytest.fixture
def go_on(call, without_drawings):
    """Resumes a run, in this process."""

    def resume(tfrecords, runs):
        done = call(*line(tfrecords, runs, "--resume")[3:])
        assert (done.code, without_progress(done.err)) == (0, "")
        assert "resuming: " in done.out

    return resume


def test_a_killed_run_ends_as_an_unbroken_one(tfrecords, unbroken, tmp_path):
    generator = random.Random(0)
    runs = tmp_path / "runs"
    process = start(line(tfrecords, runs))
    # Before the head is fitted; then after states of more and more epochs, a random moment later.
    for pattern in ("config.json", "state/00000-*", "state/00002-*"):
        wait_for(process, runs, pattern)
        time.sleep(generator.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start(line(tfrecords, runs, "--resume"))
    code, out, err = finish(process)
    assert (code, err) == (0, ""), err
    assert "resuming: " in out
    folder = (runs / "latest").resolve()
    assert {path for path in runs.iterdir() if not path.is_symlink()} == {folder, runs / "tensorboard"}
    assert files_of(runs) == files_of(unbroken)
    assert not (folder / "state").exists() and (folder / "summary.json").is_file()
    # Its tensorboard, too, is one run's.
    assert (folder / "best.keras").read_bytes()


@pytest.mark.parametrize(
    ("number", "code", "scheme"),
    [pytest.param(signal.SIGTERM, 75, "", id="folder"), pytest.param(signal.SIGINT, 130, "file://", id="address")],
)
def test_a_stopped_run_saves_and_says_how_to_go_on(tfrecords, unbroken, tmp_path, go_on, number, code, scheme):
    tfrecords = f"{scheme}{tfrecords}"
    runs = tmp_path / "runs"
    process = start(line(tfrecords, runs))
    wait_for(process, runs, "state/00001-*")
    process.send_signal(number)
    returned, out, err = finish(process)
    assert returned == code, err
    assert err.strip().endswith(f"the same command with --resume goes on with {(runs / 'latest').resolve()}")
    assert "Traceback" not in err
    go_on(tfrecords, runs)
    assert files_of(runs) == files_of(unbroken)


def test_a_run_whose_terminal_goes_saves(tfrecords, unbroken, tmp_path, go_on):
    runs = tmp_path / "runs"
    master, slave = pty.openpty()

    def take_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        line(tfrecords, runs),
        env=environment(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=take_terminal,
        pass_fds=(slave,),
    )
    os.close(slave)
    wait_for(process, runs, "state/00001-*")
    # The system sends SIGHUP, and what is printed from here on fails.
    os.close(master)
    assert process.wait(timeout=SECONDS) == 75
    assert list(runs.glob("*/state/*"))
    go_on(tfrecords, runs)
    assert files_of(runs) == files_of(unbroken)


def test_what_cannot_be_resumed_is_named(tfrecords, unbroken, tmp_path, call):
    def refused(runs, *more):
        done = call(*line(tfrecords, runs, "--resume", *more)[3:])
        assert done.code == 2 and len(done.err.splitlines()) == 1, done.err
        return done.err

    # Nothing was begun; all is finished.
    assert "has no unfinished run" in refused(tmp_path / "nothing")
    assert "has no unfinished run" in refused(unbroken)
    before = files_of(unbroken)
    summary = unbroken / "latest" / "summary.json"
    kept = summary.read_bytes()
    summary.unlink()
    try:
        said = refused(unbroken, "--learning_rate=0.5")
        assert "--learning_rate=0.5: " in said and "--learning_rate=0.001" in said
        assert "--epochs=9: " in refused(unbroken, "--epochs=9")
    finally:
        summary.write_bytes(kept)
    assert files_of(unbroken) == before
