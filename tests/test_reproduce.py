from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from PIL import Image

from dogcat import history
from dogcat.config import ReproductionOptions
from dogcat.finished_runs import FinishedRun
from dogcat.history import EpochRecord
from tools import reproduce


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


def test_the_plot_is_a_picture(five, tmp_path):
    reproduce.draw(five, ReproductionOptions(epochs=2), tmp_path / "comparison.png")
    with Image.open(tmp_path / "comparison.png") as image:
        assert image.size[0] > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.png"]


def test_a_finished_run_of_the_same_options_is_taken_again(tmp_path):
    options = ReproductionOptions(tfrecords="data", runs=str(tmp_path), epochs=2)
    assert reproduce.finished_run(options, "top") is None
    folder = tmp_path / "20260101-000000-top"
    folder.mkdir()
    (tmp_path / "latest-top").symlink_to(folder.name)
    made = own_run(0.1)
    (folder / "history.jsonl").write_text(history.as_jsonl(made.history))
    stored = {"tfrecords": "data", "limit": 0, "epochs": 2}
    (folder / "config.json").write_text(json.dumps({"options": stored, "device": "Some Processor"}))
    # Not finished yet.
    assert reproduce.finished_run(options, "top") is None
    (folder / "summary.json").write_text(json.dumps({"seconds": {"training": 1000.0, "validation": 234.5}}))
    found = reproduce.finished_run(options, "top")
    assert (found.path, found.seconds, found.config["device"]) == (folder.resolve(), 1234.5, "Some Processor")
    assert history.as_csv(found.history) == history.as_csv(made.history)
    for other in ({"epochs": 3}, {"limit": 7}, {"tfrecords": "elsewhere"}):
        changed = ReproductionOptions(**{"tfrecords": "data", "runs": str(tmp_path), "epochs": 2, **other})
        assert reproduce.finished_run(changed, "top") is None


def test_a_run_that_fails_ends_the_command(run, tmp_path):
    done = run(
        "tools.reproduce", "--tfrecords=/no/such", f"--runs={tmp_path}/runs", f"--output={tmp_path}/out", cwd=tmp_path
    )
    assert done.code == 2
    said, last = done.err.splitlines()
    assert said == "error: /no/such does not exist; make a data set with tools.make_tfrecords"
    assert "--preset=top" in last and "ended with exit code 2, see above" in last
