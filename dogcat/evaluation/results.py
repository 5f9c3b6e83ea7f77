"""The results of dogcat.evaluate: metrics.json, predictions.csv, and a table for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dogcat.core import tables
from dogcat.core.text import printable
from dogcat.evaluation import bootstrap
from dogcat.evaluation.assess import DECIDING, Assessment, LabelledPredictions, ModelAssessment, Scoring
from dogcat.evaluation.bootstrap import Interval
from dogcat.evaluation.calibration import Adjustment

TITLES = {
    "log_loss": "log loss",
    "log_loss_clipped": "log loss, clipped",
    "accuracy": "accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "brier_score": "Brier score",
    "expected_calibration_error": "calibration error",
    "recall": "recall",
    "precision": "precision",
}
# A confusion matrix of more classes fits no terminal.
_MOST_CLASSES_SHOWN = 10


def metrics_json(predictions: LabelledPredictions, assessment: Assessment, scoring: Scoring) -> str:
    """The content of metrics.json; what is not defined, like the ROC AUC of one class, is null."""
    content: dict[str, Any] = {
        "source": predictions.source,
        "pictures": len(predictions.keys),
        "counts": dict(zip(predictions.classes, _counts(predictions))),
        "left_out": predictions.left_out,
        "clip": scoring.clip,
        "confidence": bootstrap.CONFIDENCE,
        "resamples": scoring.resamples,
        "seed": scoring.seed,
        "models": [
            {
                "predicted_by": name,
                "metrics": _as_json(model.overall),
                "classes": dict(zip(predictions.classes, map(_as_json, model.by_class))),
                "confusion_matrix": [[_interval_as_json(cell) for cell in row] for row in model.confusion],
                "temperature": _adjustment_as_json(model.temperature),
                "clip": _adjustment_as_json(model.clip),
            }
            for name, model in zip(predictions.predicted_by, assessment.models)
        ],
    }
    if assessment.differences:
        content["comparison"] = {
            "differences": _as_json(assessment.differences),
            "told_apart": assessment.differences[DECIDING].excludes_zero,
            "verdict": verdict(predictions, assessment),
        }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def predictions_csv(predictions: LabelledPredictions, more: Mapping[str, Sequence[Any]] | None = None) -> str:
    """The content of predictions.csv: key, class, log loss and probabilities of each picture.

    Columns of the second model begin with `against_`.

    Args:
        predictions: The pictures, and what was predicted.
        more: Further columns behind the class, by name: a value for each picture.
    """
    more = more or {}
    prefixes = ("", "against_")[: len(predictions.predicted_by)]
    columns = ("loss", *(f"p_{name}" for name in predictions.classes))
    pictures = np.arange(len(predictions.keys))
    figures = np.hstack(
        [
            np.column_stack([-log_probabilities[pictures, predictions.labels], np.exp(log_probabilities)])
            for log_probabilities in predictions.log_probabilities
        ]
    )
    rows = (
        # Adding 0 turns the -0.0 of a certain picture into 0.
        [key, predictions.classes[label], *(values[picture] for values in more.values())]
        + [f"{figure + 0:.9g}" for figure in figures[picture]]
        for picture, (key, label) in enumerate(zip(predictions.keys, predictions.labels))
    )
    names = ["key", "class", *more, *(prefix + column for prefix in prefixes for column in columns)]
    return tables.as_csv(names, rows).decode("utf-8", "surrogateescape")


def verdict(predictions: LabelledPredictions, assessment: Assessment) -> str:
    """A sentence whether the data tells the two models apart."""
    difference = assessment.differences[DECIDING]
    first, second = predictions.predicted_by
    if not difference.is_known:
        return (
            f"The data does not tell {first} and {second} apart: the difference of their clipped log losses is "
            f"{_text(difference.value)} in every resample."
        )
    figures = f"{_text(difference.value)} (95% interval {_range(difference)})"
    if not difference.excludes_zero:
        return (
            f"The data does not tell {first} and {second} apart: the difference of their clipped log losses is "
            f"{figures}, which includes 0."
        )
    better, worse = (first, second) if difference.value < 0 else (second, first)
    return (
        f"The data tells them apart: {better} is better than {worse}; the difference of the clipped log losses of "
        f"{first} and {second} is {figures}."
    )


def table(predictions: LabelledPredictions, assessment: Assessment, scoring: Scoring) -> str:
    """All of it in some lines for a person."""
    counts = ", ".join(f"{count} {name}" for name, count in zip(predictions.classes, _counts(predictions)))
    lines = [printable(f"pictures: {len(predictions.keys)} of {predictions.source} ({counts})")]
    if predictions.left_out:
        lines.append(f"left out: {len(predictions.left_out)} pictures, named in metrics.json")
    for name, model in zip(predictions.predicted_by, assessment.models):
        lines += ["", printable(name), *_rows(model.overall), *_class_rows(predictions, model)]
        lines += [_adjustment("temperature", model.temperature), _adjustment("clip", model.clip)]
    if assessment.differences:
        lines += ["", "difference, first less second", *_rows(assessment.differences)]
        lines.append(printable(verdict(predictions, assessment)))
    lines += [
        "",
        f"Intervals are 95%: of accuracy, recall and precision exact, of the others from {scoring.resamples} "
        f"resamples; -: the pictures tell none. Log loss is clipped at {scoring.clip:g}.",
    ]
    return "\n".join(lines)


def in_words(name: str, interval: Interval) -> str:
    """A metric of `TITLES` and its interval within a sentence."""
    known = f" ({_range(interval)})" if interval.is_known else ""
    return f"{TITLES[name]} {_text(interval.value)}{known}"


def _rows(metrics: dict[str, Interval]) -> list[str]:
    return [_row(title, metrics[name]) for name, title in TITLES.items() if name in metrics]


def _row(title: str, interval: Interval) -> str:
    return f"  {title:27}{_text(interval.value):>9}   {_range(interval)}".rstrip()


def _class_rows(predictions: LabelledPredictions, model: ModelAssessment) -> list[str]:
    """The confusion matrix, and the shares that belong to its rows and columns."""
    if len(predictions.classes) > _MOST_CLASSES_SHOWN:
        return ["  each class and the confusion matrix: in metrics.json"]
    names = [printable(name)[:16] for name in predictions.classes]
    rows = ["  " + "class \\ predicted".ljust(18) + "".join(f"{name:>18}" for name in names)]
    for name, cells in zip(names, model.confusion):
        rows.append(f"  {name:18}" + "".join(f"{cell.value:>18.0f}" for cell in cells))
    for name, metrics in zip(names, model.by_class):
        for metric in ("recall", "precision"):
            rows.append(_row(f"{TITLES[metric]}, {name}", metrics[metric]))
    return rows


def _adjustment(what: str, fitted: Adjustment) -> str:
    return (
        f"  {what} {fitted.value:.4g}, fitted on {fitted.fitted_on} pictures, {fitted.effect}: on the other "
        f"{fitted.scored_on} the log loss goes from {fitted.before:.4f} to {fitted.after:.4f} "
        f"(gain {_text(fitted.gain.value)}, {_range(fitted.gain)})"
    )


def _counts(predictions: LabelledPredictions) -> list[int]:
    return np.bincount(predictions.labels, minlength=len(predictions.classes)).tolist()


def _text(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def _range(interval: Interval) -> str:
    if math.isnan(interval.value):
        return ""
    return f"{interval.low:.4f} to {interval.high:.4f}" if interval.is_known else "-"


def _as_json(metrics: dict[str, Interval]) -> dict[str, Any]:
    return {name: _interval_as_json(interval) for name, interval in metrics.items()}


def _interval_as_json(interval: Interval) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in interval._asdict().items()}


def _adjustment_as_json(fitted: Adjustment) -> dict[str, Any]:
    return {**fitted._asdict(), "gain": _interval_as_json(fitted.gain), "helped": fitted.helped}
