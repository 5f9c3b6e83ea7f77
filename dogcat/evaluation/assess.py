"""How good one model or two are on labelled pictures: metrics with intervals, the comparison, the calibration."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from dogcat.evaluation import bootstrap, calibration, metrics
from dogcat.evaluation.bootstrap import Interval
from dogcat.evaluation.calibration import Adjustment
from dogcat.evaluation.metrics import Metrics

# What decides whether the data tells two models apart: what Kaggle scores.
DECIDING = "log_loss_clipped"
# Resampling raises it, since chance adds to the gap of every bin.
_RAISED_BY_CHANCE = "expected_calibration_error"


class Scoring(NamedTuple):
    """With what figures are measured.

    Attributes:
        clip: Distance that probabilities keep from 0 and 1 in the clipped log loss.
        resamples: Number of bootstrap resamples that intervals come from, but for those of shares of pictures.
        seed: Seed of the resamples, and of the halves that temperature and clip are fitted and scored on.
    """

    clip: float = 0.001
    resamples: int = 1000
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class LabelledPredictions:
    """Pictures with their right classes, and what one model or two predict for them.

    Attributes:
        source: Where the pictures are from, for a person.
        keys: Key or id of each picture.
        labels: Indices of the classes, int [pictures], 2 pictures or more.
        classes: Names of the classes, two or more.
        predicted_by: What predicted, a file each.
        log_probabilities: What each predicted, float64 [pictures, classes], finite.
        left_out: Pictures that are not among these, with the reason.
    """

    source: str
    keys: list[str]
    labels: np.ndarray
    classes: list[str]
    predicted_by: list[str]
    log_probabilities: list[np.ndarray]
    left_out: dict[str, str]


@dataclasses.dataclass(frozen=True)
class ModelAssessment:
    """How good a model is.

    Attributes:
        overall: Each metric of `metrics.Metrics` by name.
        by_class: Those of each class, in the order of the classes.
        confusion: Number of pictures by class (rows) and most probable class (columns).
        temperature: The fitted temperature, relative to that of the predictions.
        clip: The fitted clip.
    """

    overall: dict[str, Interval]
    by_class: list[dict[str, Interval]]
    confusion: list[list[Interval]]
    temperature: Adjustment
    clip: Adjustment


@dataclasses.dataclass(frozen=True)
class Assessment:
    """How good the models are.

    Attributes:
        models: One for each of `LabelledPredictions.predicted_by`.
        differences: The overall metrics of the first less those of the second, by name; empty for one model.
    """

    models: list[ModelAssessment]
    differences: dict[str, Interval]


class _Measured(NamedTuple):
    """Metrics of the pictures as they are, the one row, and of resamples, a row each."""

    given: Metrics
    resampled: Metrics


def assess(predictions: LabelledPredictions, scoring: Scoring) -> Assessment:
    """Measures what was predicted, and over resamples how far the figures can be trusted."""
    measured = []
    models = []
    for log_probabilities in predictions.log_probabilities:
        of_model = _measure(predictions.labels, log_probabilities, scoring)
        fit = (predictions.labels, log_probabilities, scoring.resamples, scoring.seed)
        measured.append(of_model)
        matrix = metrics.confusion_matrix(predictions.labels, log_probabilities)
        models.append(
            ModelAssessment(
                overall={
                    **{name: _interval(name, *pair) for name, pair in _overall(of_model).items()},
                    "accuracy": bootstrap.share_interval(int(matrix.trace()), len(predictions.labels)),
                },
                by_class=[_of_class(of_model, matrix, label) for label in range(len(predictions.classes))],
                confusion=[[bootstrap.count_interval(count, matrix.sum()) for count in row] for row in matrix.tolist()],
                temperature=calibration.fit_temperature(*fit),
                clip=calibration.fit_clip(*fit),
            )
        )
    return Assessment(models, _differences(*measured) if len(measured) == 2 else {})


def _measure(labels: np.ndarray, log_probabilities: np.ndarray, scoring: Scoring) -> _Measured:
    evaluator = metrics.Evaluator(labels, log_probabilities, scoring.clip)
    given = evaluator.measure(np.ones((1, len(labels))))
    parts = [
        evaluator.measure(weights) for weights in bootstrap.draw_weights(len(labels), scoring.resamples, scoring.seed)
    ]
    overall = {name: np.concatenate([part.overall[name] for part in parts]) for name in given.overall}
    by_class = {name: np.concatenate([part.by_class[name] for part in parts]) for name in given.by_class}
    return _Measured(given, Metrics(overall, by_class))


def _overall(measured: _Measured) -> dict[str, tuple[float, np.ndarray]]:
    """Each overall metric by name: its value, and those of the resamples."""
    return {name: (values[0], measured.resampled.overall[name]) for name, values in measured.given.overall.items()}


def _of_class(measured: _Measured, matrix: np.ndarray, label: int) -> dict[str, Interval]:
    resampled = {
        name: bootstrap.percentile_interval(values[0, label], measured.resampled.by_class[name][:, label])
        for name, values in measured.given.by_class.items()
    }
    hits = int(matrix[label, label])
    return {
        **resampled,
        "recall": bootstrap.share_interval(hits, int(matrix[label].sum())),
        "precision": bootstrap.share_interval(hits, int(matrix[:, label].sum())),
    }


def _interval(name: str, value: float, resampled: np.ndarray) -> Interval:
    if name != _RAISED_BY_CHANCE:
        return bootstrap.percentile_interval(value, resampled)
    return Interval(*np.maximum(bootstrap.pivotal_interval(value, resampled), 0.0).tolist())


def _differences(first: _Measured, second: _Measured) -> dict[str, Interval]:
    """The paired comparison: a resample has the same pictures for both, so what makes pictures hard cancels out."""
    others = _overall(second)
    return {
        name: bootstrap.percentile_interval(value - others[name][0], resampled - others[name][1])
        for name, (value, resampled) in _overall(first).items()
    }
