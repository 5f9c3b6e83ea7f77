"""The best temperature and the best clip: fitted on one half of the pictures, scored on the other.

Fitted where they are scored, either would look good whatever it does.
"""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np
from scipy import optimize

from dogcat.evaluation import bootstrap, metrics
from dogcat.evaluation.bootstrap import Interval

# What a temperature is looked for between, and what a clip is chosen from.
_TEMPERATURES = (0.05, 20.0)
_CLIPS = np.geomspace(1e-6, 0.25, 200)
# Of a mean log loss; far below what four digits show.
_ROUNDING = 1e-9


class Adjustment(NamedTuple):
    """A change of probabilities that was fitted on some pictures and scored on others.

    Attributes:
        value: The temperature, relative to that of the predictions, or the clip.
        fitted_on: Number of pictures it was fitted on.
        scored_on: Number of pictures it was scored on.
        before: Mean log loss of these without it.
        after: Mean log loss of these with it.
        gain: `before - after`, with its interval.
    """

    value: float
    fitted_on: int
    scored_on: int
    before: float
    after: float
    gain: Interval

    @property
    def helped(self) -> bool:
        """Whether the log loss fell by more than chance, or rounding, explains."""
        return self.gain.low > _ROUNDING

    @property
    def effect(self) -> str:
        """What it did to the log loss, in words that follow on its name."""
        if self.helped:
            return "helps"
        return "makes it worse" if self.gain.value < -_ROUNDING else "does not help beyond chance"


def fit_temperature(labels: np.ndarray, log_probabilities: np.ndarray, resamples: int, seed: int) -> Adjustment:
    """Fits what the logits are divided by (temperature scaling, Guo et al. 2017).

    Args:
        labels: Indices of the classes, [n], n of 2 or more.
        log_probabilities: float64 [n, classes].
        resamples: Number of resamples for the interval.
        seed: Of the halves and of the resamples.
    """
    return _fit(_best_temperature, with_temperature, labels, log_probabilities, resamples, seed)


def fit_clip(labels: np.ndarray, log_probabilities: np.ndarray, resamples: int, seed: int) -> Adjustment:
    """Fits the clip of `metrics.clip_probabilities`; arguments as for `fit_temperature`."""
    return _fit(_best_clip, with_clip, labels, log_probabilities, resamples, seed)


def with_temperature(log_probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Log-probabilities, [n, classes], of the logits divided by `temperature`."""
    # They are logits but for a summand that all classes share.
    return metrics.log_probabilities(log_probabilities / temperature)


def with_clip(log_probabilities: np.ndarray, clip: float) -> np.ndarray:
    """Log-probabilities, [n, classes], of the clipped probabilities; `clip` above 0."""
    return np.log(metrics.clip_probabilities(np.exp(log_probabilities), clip))


def _best_temperature(targets: np.ndarray, log_probabilities: np.ndarray) -> float:
    def loss(log_temperature: float) -> float:
        return -np.mean(np.sum(targets * with_temperature(log_probabilities, np.exp(log_temperature)), axis=1))

    # Convex in the temperature's inverse, so there is one minimum.
    found = optimize.minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def _best_clip(targets: np.ndarray, log_probabilities: np.ndarray) -> float:
    # May have several minima, as one picture after the other is clipped: so all are tried.
    losses = [-np.mean(np.sum(targets * with_clip(log_probabilities, clip), axis=1)) for clip in _CLIPS]
    return float(_CLIPS[np.argmin(losses)])


def _fit(
    best: Callable[[np.ndarray, np.ndarray], float],
    apply: Callable[[np.ndarray, float], np.ndarray],
    labels: np.ndarray,
    log_probabilities: np.ndarray,
    resamples: int,
    seed: int,
) -> Adjustment:
    order = np.random.default_rng(seed).permutation(len(labels))
    fitted, scored = np.array_split(order, 2)
    value = best(_targets(labels[fitted], log_probabilities.shape[1]), log_probabilities[fitted])
    pictures = np.arange(len(scored))
    before = -log_probabilities[scored][pictures, labels[scored]]
    after = -apply(log_probabilities[scored], value)[pictures, labels[scored]]
    gain = bootstrap.mean_interval(before - after, resamples, seed)
    return Adjustment(value, len(fitted), len(scored), float(before.mean()), float(after.mean()), gain)


def _targets(labels: np.ndarray, classes: int) -> np.ndarray:
    """What the fits aim at, float64 [n, classes]: not quite 1 for the right class, after Platt (1999), section 2.2.

    Where every picture is right, 1 would make any model infinitely sure. Of `k` pictures of a class, one more of each
    class is added to those that are: `(k + 1) / (k + classes)`.
    """
    counts = np.bincount(labels, minlength=classes)[labels][:, np.newaxis]
    right = labels[:, np.newaxis] == np.arange(classes)
    return (counts * right + 1) / (counts + classes)
