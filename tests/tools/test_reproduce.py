from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import make
from fuzzing import tree
from PIL import Image

from dogcat.core.options import InputError
from dogcat.training import epoch_records
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.finished_runs import FinishedRun
from dogcat.training.options import TrainingOptions
from tools import child_commands, reproduce
from tools.reproduce import ReproductionOptions

ROOT = Path(__file__).parents[2]


def own_run(best):
    epochs = [
        EpochRecord(epoch, math.nan if epoch == 0 else 0.2, 0.9, loss, 0.99, 0.999, 1e-4, 10.0, 9.0, 0.01)
        for epoch, loss in enumerate((0.5, best, best + 0.1))
    ]
    return FinishedRun(
        Path("somewhere"), {"device": "Some Processor"}, {"seconds": {"training": 1000.0, "validation": 234.5}}, epochs
    )


@pytest.fixture
def five():
    return [own_run(0.0123 * (number + 1)) for number in range(5)]


def test_the_table_sets_each_run_beside_the_sources(five):
    table = reproduce.compare(five, ReproductionOptions())
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0] for line in lines] == ["| top", "| continue", "| open2", "| open4", "| open4-sgd"]
    assert "2 / 26 | 1 / 21 | 0.0123 / 0.0853 | 99.00% | 1,234 s / 5,330 s" in lines[0]
    assert "On Some Processor" in table and "shortened" not in table


def test_a_shortened_table_says_so(five):
    table = reproduce.compare(five, ReproductionOptions(epochs=2, limit=500))
    assert "shortened to 2 epochs a run at most" in table and "shortened to 500 pictures of each split" in table


def test_the_plot_is_a_picture(five):
    with Image.open(io.BytesIO(reproduce.draw(five, ReproductionOptions(epochs=2)))) as image:
        assert image.format == "PNG" and image.size[0] > 1000


def test_an_output_that_is_called_again_is_replaced_and_others_are_not(five, tfrecords, samples, tmp_path, monkeypatch):
    predicted = []

    def predict(module, *arguments):
        [output] = [Path(argument[9:]) for argument in arguments if argument.startswith("--output=")]
        output.write_text(f"id,label\n{len(predicted)}\n")
        predicted.append(output.name)

    monkeypatch.setattr(child_commands, "call", predict)
    monkeypatch.setattr(reproduce, "finished_run", lambda *of_run: five[0])
    output = tmp_path / "out"
    options = ReproductionOptions(tfrecords=str(tfrecords), test_images=str(samples / "test"), output=str(output))
    reproduce.main(options)
    reproduce.main(options)
    assert len(predicted) == 10
    before = tree(output)
    for name in ("top.csv", "table.md", "comparison.png"):
        content = (output / name).read_bytes()
        (output / name).write_bytes(b"mine")
        with pytest.raises(InputError, match=f"out/{name}: is in the way"):
            reproduce.main(options)
        assert len(predicted) == 10
        (output / name).write_bytes(content)
    assert tree(output) == before


def test_a_finished_run_of_the_same_options_is_taken_again(tmp_path):
    options = ReproductionOptions(tfrecords="data", runs=str(tmp_path), epochs=2)
    assert reproduce.finished_run(options, "top", "digest") is None
    folder = tmp_path / "20260101-000000-top"
    folder.mkdir()
    (tmp_path / "latest-top").symlink_to(folder.name)
    made = own_run(0.1)
    (folder / "history.jsonl").write_text(epoch_records.as_jsonl(made.history))
    wanted = TrainingOptions.from_given({"preset": "top", "tfrecords": "data", "epochs": 2, "keep": 1})

    def store(**changes):
        of_run = {"device": "a", "replicas": 1, "precision": "float32", "versions": {"dogcat": "1"}, "commit": None}
        stored = {**dataclasses.asdict(wanted), **changes}
        (folder / "config.json").write_text(json.dumps({**of_run, "data_digest": "digest", "options": stored}))

    store()
    # Not finished yet.
    assert reproduce.finished_run(options, "top", "digest") is None
    summary = {**made.summary, "best": {"epoch": made.history[0].epoch}, "epochs": 2, "input_wait": None}
    (folder / "summary.json").write_text(json.dumps(summary))
    found = reproduce.finished_run(options, "top", "digest")
    assert (found.path, found.seconds) == (folder.resolve(), 1234.5)
    assert epoch_records.as_csv(found.history) == epoch_records.as_csv(made.history)
    for other in ({"epochs": 3}, {"epochs": 0}, {"limit": 200}):
        assert reproduce.finished_run(dataclasses.replace(options, **other), "top", "digest") is None
    assert reproduce.finished_run(options, "top", "another") is None
    # The same data set in another place is the same.
    moved = dataclasses.replace(options, tfrecords="elsewhere")
    assert reproduce.finished_run(moved, "top", "digest").path == folder.resolve()
    store(backbone="mobilenetv2")
    assert reproduce.finished_run(options, "top", "digest") is None


def test_what_is_missing_is_said_before_anything_runs(run, tfrecords, samples, tmp_path):
    for given in (
        (f"--tfrecords={tfrecords}", "--test_images=/no/such"),
        ("--tfrecords=/no/such", f"--test_images={samples}/test"),
    ):
        done = run("tools.reproduce", *given, f"--runs={tmp_path}/runs", f"--output={tmp_path}/out", cwd=tmp_path)
        assert done.code == 2 and len(done.err.splitlines()) == 1 and "/no/such does not exist" in done.err
        assert list(tmp_path.iterdir()) == []


def test_less_than_a_batch_is_refused_at_once():
    with pytest.raises(InputError, match="--limit=20: use 128 or more, or 0 for all"):
        ReproductionOptions(limit=20)


def test_a_run_that_fails_ends_the_command(run, samples, tmp_path):
    make(samples / "train", tmp_path / "data", image_size=71, validation=0.9)
    given = (f"--tfrecords={tmp_path}/data", f"--test_images={samples}/test", f"--runs={tmp_path}/runs")
    done = run("tools.reproduce", *given, f"--output={tmp_path}/out", cwd=tmp_path)
    assert done.code == 2
    said, last = done.err.splitlines()
    assert said.startswith("error: --batch_size=128: the training split has ")
    assert "--preset=top" in last and "ended with exit code 2, see above" in last


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_ends_before_the_one_that_called_it(tmp_path, number):
    (tmp_path / "slow.py").write_text(
        "import signal, sys, time\n"
        "def end(number, frame):\n    time.sleep(1)\n    open('ended', 'w').close()\n    sys.exit(75)\n"
        "signal.signal(signal.SIGTERM, end)\nsignal.signal(signal.SIGINT, end)\n"
        "open('began', 'w').close()\ntime.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    process = subprocess.Popen(
        [sys.executable, "-c", "from tools import child_commands; child_commands.call('slow')"],
        **{"cwd": tmp_path, "env": environment, "stderr": subprocess.PIPE, "text": True, "start_new_session": True},
        # What a shell starts in the background ignores Ctrl-C; so may these tests have been started.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "began").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    # A terminal sends Ctrl-C to all of its processes, a scheduler SIGTERM to the first alone.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    error = process.communicate(timeout=60)[1]
    assert (tmp_path / "ended").exists()
    assert error.strip().endswith("the same command goes on from there")
