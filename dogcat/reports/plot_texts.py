"""What report.html says of its plots: in words, for whoever does not see them, and below them."""

from __future__ import annotations

import dataclasses
import math

from dogcat.reports import prediction_plots
from dogcat.reports.findings import Findings
from dogcat.reports.prediction_plots import FEWEST_FOR_RELIABILITY
from dogcat.reports.wording import figure_text, interval_text
from dogcat.training import epoch_records
from dogcat.training.augmentations import AugmentationRanges
from dogcat.training.finished_runs import FinishedRun

# The views of pictures, in words.
AS_STORED = "pictures as they are stored"
_MAGNIFIED = "pictures magnified about their middle"

_RELIABILITY = (
    "Reliability: pictures in ten bins by what the model said; a point on the dotted line means that it was right as "
    "often as it said. Below it the number of pictures in each bin; a bin with few of them says little. "
)
_SPREAD = "Spread: how its probabilities are distributed over the pictures of each class."
_LOGARITHMIC = " Numbers of pictures are on a logarithmic scale."
ROC_CAPTION = (
    "Each point of the curve is a threshold: how many of the class are found, and how many of the others are taken for "
    "it."
)


def curve_in_words(findings: Findings, name: str) -> str:
    """A plot of the epochs, of `loss` or `accuracy`."""
    history = findings.run.history
    title, form = ("log loss", ".4f") if name == "loss" else ("accuracy", ".1%")
    first, best, last = (
        f"{getattr(record, f'val_{name}'):{form}} at epoch {record.epoch}"
        for record in (history[0], epoch_records.best_of(history), history[-1])
    )
    return f"Plot over the epochs. Validation {title}: {first}, {best}, the best, and {last}, the last."


def curves_caption(findings: Findings) -> str:
    """What stands below the plots of the epochs."""
    opened = f"From epoch 0 on the layers from {findings.opening} train with the head. " if findings.opening else ""
    options = findings.run.options
    augmented = any(options.get(field.name) for field in dataclasses.fields(AugmentationRanges))
    training = "of augmented pictures, " if augmented else ""
    return (
        f"{opened}Training figures are {training}as the model was at each step; validation is after the epoch, on "
        f"{view_of(findings.run)}."
    )


def view_of(run: FinishedRun) -> str:
    """The pictures that a run validated on, in words; those of version 0.2.0 may have magnified them."""
    return _MAGNIFIED if run.options.get("magnify") else AS_STORED


def calibration_caption(findings: Findings) -> str:
    """What stands below the reliability diagram and the spread of the probabilities."""
    count = len(findings.predictions.labels)
    few = f"{count} pictures are too few for a reliability diagram. "
    caption = (_RELIABILITY if count >= FEWEST_FOR_RELIABILITY else few) + _SPREAD
    return caption + _LOGARITHMIC if count >= prediction_plots.LOGARITHMIC_FROM else caption


def reliability_in_words(findings: Findings) -> str:
    """The reliability diagram."""
    predictions = findings.predictions
    found = prediction_plots.reliability(predictions.labels, predictions.log_probabilities[0])
    bins = "; ".join(
        f"said {said:.0%}, was {was:.0%}, {count:,} pictures"
        for said, was, count in zip(found.said, found.was, found.counts)
        if count
    )
    what = f"probability of {predictions.classes[1]}" if len(predictions.classes) == 2 else "probability of the guess"
    return f"Reliability diagram of the {what}, bin by bin: {bins}."


def spread_in_words(findings: Findings) -> str:
    """The histogram beside it."""
    classes = findings.predictions.classes
    of_class = classes[1] if len(classes) == 2 else "the right class"
    return f"Histogram of the probability of {of_class}, a curve for each class."


def without_roc(findings: Findings) -> str:
    """What stands in the place of a ROC curve that would say nothing."""
    if math.isnan(findings.assessment.overall["roc_auc"].value):
        return "There is no ROC curve, since a class has no picture among these."
    return "There is no ROC curve to show: a threshold keeps these pictures apart without a mistake."


def roc_in_words(findings: Findings) -> str:
    """The ROC curve."""
    auc = findings.assessment.overall["roc_auc"]
    kind = "ROC curve" if len(findings.predictions.classes) == 2 else "ROC curves, each class against the rest"
    interval = f" ({interval_text(auc)})" if auc.is_known else ""
    return f"{kind}. Area under the curve {figure_text(auc.value)}{interval}; 0.5 would be chance."
