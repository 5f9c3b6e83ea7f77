"""Trying learning rates."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from small_runs import small_run

from dogcat.core.options import InputError
from dogcat.training import rate_finder
from dogcat.training import run as training

RATES = [float(rate) for rate in np.geomspace(1e-6, 1, 100)]


def test_a_tenth_of_the_rate_with_the_lowest_loss_is_suggested():
    noise = np.random.default_rng(0).normal(0, 0.01, 100)
    # Falls up to step 70, a rate of 0.0175, then rises.
    losses = noise + [1 - step / 100 if step < 70 else 0.3 + (step - 70) / 10 for step in range(100)]
    suggested = rate_finder.suggest(RATES, losses)
    assert RATES[66] / 10 <= suggested <= RATES[72] / 10


def test_where_only_pictures_differ_none_is_suggested():
    generator = np.random.default_rng(0)
    for _ in range(20):
        losses = generator.normal(0.7, 0.01, 100) + np.linspace(0, 0.05, 100)
        assert rate_finder.suggest(RATES, losses) == 0.0


def test_rates_are_tried_and_no_run_is_left(tfrecords, tmp_path, capsys):
    wanted = small_run(
        tfrecords, tmp_path, find_lr=True, epochs=1, unfreeze_from="conv2", optimizer="adam", head="random"
    )
    assert training.train(wanted) is None
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {
        rate_finder.PLOT,
        rate_finder.TABLE,
    }
    assert (tmp_path / rate_finder.PLOT).read_bytes().startswith(b"\x89PNG")
    with open(tmp_path / rate_finder.TABLE, newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    rates, losses = ([row[name] for row in rows] for name in ("learning_rate", "loss"))
    assert rates == pytest.approx(RATES[: len(rates)], rel=1e-4)
    # What rates do is seen: at the lowest nothing changes, at the highest the loss is another.
    assert losses[0] == pytest.approx(np.log(2), abs=0.3) and len(set(losses)) > 20
    assert "learning_rates.png and learning_rates.csv: " in capsys.readouterr().out


def test_a_plot_of_somebody_else_is_not_replaced(tfrecords, tmp_path):
    (tmp_path / rate_finder.PLOT).write_bytes(b"mine")
    with pytest.raises(InputError, match="learning_rates.png: is in the way"):
        training.train(small_run(tfrecords, tmp_path, find_lr=True, epochs=1, dry_run=True))


def test_a_dry_run_says_what_would_be_tried(tfrecords, tmp_path, capsys):
    assert training.train(small_run(tfrecords, tmp_path, find_lr=True, epochs=1, dry_run=True)) is None
    assert f"tries up to 100 learning rates, a step each, and writes {tmp_path / rate_finder.PLOT}" in (
        capsys.readouterr().out
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{"resume": True}, {"epochs": 0}])
def test_what_does_not_go_together_is_refused(tmp_path, changes):
    with pytest.raises(InputError, match="--find_lr: t"):
        small_run(tmp_path, tmp_path, **{"find_lr": True, "epochs": 1, **changes})
    with pytest.raises(InputError, match="--cache_trunk=on: --find_lr keeps nothing; leave it out"):
        small_run(tmp_path, tmp_path, find_lr=True, epochs=1, cache_trunk="on")
