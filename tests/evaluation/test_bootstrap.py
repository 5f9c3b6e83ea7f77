"""Resamples and intervals, against theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dogcat.evaluation import bootstrap, metrics
from dogcat.evaluation.bootstrap import Interval


def test_resamples_are_of_full_size_and_repeat_with_the_seed(monkeypatch):
    weights = np.concatenate(list(bootstrap.draw_weights(50, 2000, 3)))
    assert weights.shape == (2000, 50)
    assert (weights.sum(axis=1) == 50).all()
    # Each picture is in a resample once on average, as often as a binomial number says.
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.12)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.02)
    np.testing.assert_array_equal(weights, np.concatenate(list(bootstrap.draw_weights(50, 2000, 3))))
    assert not np.array_equal(weights, np.concatenate(list(bootstrap.draw_weights(50, 2000, 4))))
    monkeypatch.setattr(bootstrap, "_VALUES_AT_ONCE", 500)
    parts = list(bootstrap.draw_weights(50, 2000, 3))
    assert max(part.size for part in parts) == 500
    np.testing.assert_array_equal(weights, np.concatenate(parts))


def test_the_interval_of_a_mean_is_close_to_the_normal_one():
    values = np.random.default_rng(0).normal(5, 2, 1000)
    interval = bootstrap.mean_interval(values, 4000, 0)
    half = stats.norm.ppf(0.975) * values.std() / math.sqrt(1000)
    assert interval.value == values.mean()
    assert interval.low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.05 * half)


def test_95_of_100_intervals_hold_the_truth():
    generator = np.random.default_rng(0)
    intervals = [bootstrap.mean_interval(generator.exponential(1, 200), 400, seed) for seed in range(400)]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in intervals])
    assert 0.91 <= covered <= 0.98


@pytest.mark.parametrize(("count", "of"), [(1, 2), (30, 200), (199, 200)])
def test_the_interval_of_a_share_is_the_binomial_one(count, of):
    exact = stats.binomtest(count, of).proportion_ci(bootstrap.CONFIDENCE, method="exact")
    assert bootstrap.share_interval(count, of) == pytest.approx((count / of, exact.low, exact.high))
    assert bootstrap.count_interval(count, of) == pytest.approx((count, exact.low * of, exact.high * of))


def test_of_none_or_all_one_end_is_sure_and_the_other_is_as_far_as_5_in_100():
    assert bootstrap.share_interval(12, 12) == pytest.approx((1, 0.05 ** (1 / 12), 1))
    assert bootstrap.share_interval(0, 12) == pytest.approx((0, 0, 1 - 0.05 ** (1 / 12)))
    assert math.isnan(bootstrap.share_interval(0, 0).value)


def test_resamples_that_are_all_equal_tell_no_interval():
    same = bootstrap.percentile_interval(1.0, np.array([math.nan, 1.0, 1.0 + 1e-15]))
    assert same.value == 1 and not same.is_known and not same.excludes_zero
    assert bootstrap.percentile_interval(1.0, np.array([0.9, 1.0])).is_known


def test_the_calibration_error_of_a_calibrated_model_may_be_nothing():
    """Resampling adds chance to chance: percentiles alone would nearly never reach down to the truth, 0."""
    generator = np.random.default_rng(0)
    reached = {bootstrap.percentile_interval: 0, bootstrap.pivotal_interval: 0}
    for seed in range(40):
        positive = generator.uniform(0, 1, 500)
        labels = (generator.uniform(0, 1, 500) < positive).astype(int)
        evaluator = metrics.Evaluator(labels, np.log(np.stack([1 - positive, positive], axis=1)), 0.01)
        name = "expected_calibration_error"
        value = evaluator.measure(np.ones((1, 500))).overall[name][0]
        weights = bootstrap.draw_weights(500, 200, seed)
        resampled = np.concatenate([evaluator.measure(some).overall[name] for some in weights])
        for interval in reached:
            reached[interval] += interval(value, resampled).low <= 0.005
    assert reached[bootstrap.percentile_interval] == 0
    assert reached[bootstrap.pivotal_interval] >= 30


def test_what_is_not_defined_has_no_interval():
    nothing = bootstrap.percentile_interval(math.nan, np.full(100, math.nan))
    assert all(math.isnan(value) for value in nothing) and not nothing.excludes_zero
    some = bootstrap.percentile_interval(1.0, np.array([math.nan, 1.0, 2.0]))
    assert some == pytest.approx((1, 1.025, 1.975))


@pytest.mark.parametrize(
    ("low", "high", "excludes"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0, 0, False)]
)
def test_excluding_zero(low, high, excludes):
    assert Interval(low, low, high).excludes_zero == excludes
