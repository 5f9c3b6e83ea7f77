from __future__ import annotations

import itertools
import re
import time

import pytest
from small_runs import small_run

from dogcat.library.runs import train_with_page
from dogcat.training import estimate
from dogcat.training.estimate import _Pace

pytestmark = pytest.mark.usefixtures("without_drawings")


@pytest.fixture
def line(tfrecords, tmp_path, monkeypatch, capsys):
    """Gives the line of a dry run whose batches take 2 seconds each, and the first of a kind 1 second."""
    monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / "cache"))
    real = estimate._tried

    def tried(batches):
        assert real(batches).each > 0
        return _Pace(1.0, 2.0)

    def of(**changes):
        wanted = {"unfreeze_from": "conv2", "epochs": 3, "report": False, **changes}
        with monkeypatch.context() as patch:
            patch.setattr(estimate, "_tried", tried)
            assert train_with_page(small_run(tfrecords, tmp_path / "runs", dry_run=True, **wanted)) is None
        [told] = (line for line in capsys.readouterr().out.splitlines() if line.startswith("estimate: "))
        return re.sub("tried for .* s:", "tried:", told)

    return of


def test_work_is_counted_up(line, tfrecords, tmp_path):
    """33 pictures to train on in batches of 8, 14 to validate on."""
    steps = "12 steps of 2 s, 3 times validation of 14 pictures"
    # 6 batches and a first one; 12 steps and a first one; 3 times 2 batches of half a step.
    frozen = "47 pictures through frozen layers at 4/s, "
    assert line() == f"estimate: about 00:44 at most until the report, from batches tried: {frozen}{steps}"
    train_with_page(small_run(tfrecords, tmp_path / "runs", report=False))
    # Their features are in the cache by now.
    assert line() == f"estimate: about 00:31 at most until the report, from batches tried: {steps}"


def test_frozen_layers_count_once_for_all_folds(line):
    """47 pictures in 3 folds, seen as they are and mirrored."""
    told = line(folds=3, shear=0.0, zoom=0.0, epochs=1)
    assert "94 pictures through frozen layers at 4/s, 9 steps of 2 s, 3 times validation of 16 pictures" in told


def test_a_pace_leaves_out_what_comes_first():
    first = iter([0.2])

    def batches():
        for _ in itertools.count():
            time.sleep(next(first, 0.01))
            yield None

    pace = estimate._tried(batches)
    assert pace.first >= 0.2 and 0.01 <= pace.each < 0.1
