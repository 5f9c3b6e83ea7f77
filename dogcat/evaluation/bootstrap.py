"""Intervals: how much a figure would differ on other pictures of the same kind.

By bootstrap the pictures are drawn anew, with replacement, many times; the spread of a metric over these resamples
stands for its spread over data sets (Efron and Tibshirani 1993, "An Introduction to the Bootstrap"). Where no resample
differs from the others, that says nothing, and there is no interval. A share of pictures, like the accuracy, follows
the binomial distribution, so its interval is computed from that and is there also where all pictures are right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special

CONFIDENCE = 0.95
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
# Resamples that differ by less are equal but for their last digits.
_ROUNDING = 1e-12
# Values of an array that is worked on at a time, 16 MiB: memory does not grow with pictures or resamples.
_VALUES_AT_ONCE = 2**21


class Interval(NamedTuple):
    """A figure and the ends of its 95% interval; all nan where it is not defined, the ends where nothing tells them."""

    value: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0


def draw_weights(pictures: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draws resamples; the same arguments give the same ones, so that two models are measured on the same pictures.

    Yields:
        How often each picture is in each of some resamples, float64 [some, pictures]; `resamples` rows in all.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, _VALUES_AT_ONCE // pictures)
    for done in range(0, resamples, at_once):
        shape = (min(at_once, resamples - done), pictures)
        drawn = generator.integers(pictures, size=shape) + np.arange(shape[0])[:, np.newaxis] * pictures
        yield np.bincount(drawn.ravel(), minlength=drawn.size).reshape(shape).astype(np.float64)


def percentile_interval(value: float, resampled: np.ndarray) -> Interval:
    """The interval between the outer percentiles of the resamples.

    Args:
        value: The figure on the pictures as they are.
        resampled: Its values over resamples, [resamples]; those that are nan are left out.
    """
    defined = resampled[~np.isnan(resampled)]
    if math.isnan(value) or not len(defined):
        return Interval(math.nan, math.nan, math.nan)
    if np.ptp(defined) <= _ROUNDING * max(1.0, abs(value)):
        return Interval(float(value), math.nan, math.nan)
    low, high = np.quantile(defined, _TAILS)
    return Interval(float(value), float(low), float(high))


def pivotal_interval(value: float, resampled: np.ndarray) -> Interval:
    """The interval of a figure that resampling shifts: the percentiles, mirrored at `value`; arguments as above.

    As far as the resamples lie above the figure, the figure lies above what it estimates.
    """
    value, low, high = percentile_interval(value, resampled)
    return Interval(value, 2 * value - high, 2 * value - low)


def mean_interval(values: np.ndarray, resamples: int, seed: int) -> Interval:
    """The mean of some values, [n], and its interval."""
    weights = draw_weights(len(values), resamples, seed)
    means = np.concatenate([some @ values / len(values) for some in weights])
    return percentile_interval(values.mean(), means)


def share_interval(count: int, of: int) -> Interval:
    """A share of some pictures, and its exact interval (Clopper and Pearson 1934).

    Where it is none or all of them, one end is sure, and the other has the whole 5%: of 12 that are all right, fewer
    than 78% being right in the long run would show in less than 5% of the cases.

    Args:
        count: Pictures that are of the kind.
        of: Pictures among which they are counted; of none no share is defined.
    """
    if not of:
        return Interval(math.nan, math.nan, math.nan)
    tail = (1 - CONFIDENCE) / (1 if count in (0, of) else 2)
    low = special.betaincinv(count, of - count + 1, tail) if count else 0.0
    high = special.betaincinv(count + 1, of - count, 1 - tail) if count < of else 1.0
    return Interval(count / of, float(low), float(high))


def count_interval(count: int, pictures: int) -> Interval:
    """How many of the pictures are of some kind, and its interval, from that of their share."""
    _, low, high = share_interval(count, pictures)
    return Interval(count, low * pictures, high * pictures)
