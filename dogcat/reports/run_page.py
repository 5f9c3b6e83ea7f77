"""What report.html says of a run: figures, descriptions of plots, tables, the pictures that cost most."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import dogcat
from dogcat.core import commands
from dogcat.core.text import printable
from dogcat.evaluation import metrics as evaluation
from dogcat.evaluation import results
from dogcat.evaluation.assess import LabelledPredictions, ModelAssessment
from dogcat.evaluation.bootstrap import CONFIDENCE, Interval
from dogcat.models.backbones import BACKBONES
from dogcat.reports import html, thumbnails
from dogcat.reports.html import Plot, Table
from dogcat.training import epoch_records, plots
from dogcat.training.finished_runs import FinishedRun
from dogcat.training.source_runs import CLASSES as SOURCE_CLASSES
from dogcat.training.source_runs import SOURCE_RUNS

# Pictures of each of the two galleries.
MOST_SHOWN = 24
PICTURES_COLUMNS = ("picture", "class", "taken for", "probability of the class", "log loss")
# A confusion matrix of more classes is told by its largest cells.
_MOST_CLASSES = 12
# A longer name of a class loses its end in legends.
_LONGEST_LEGEND = 24
_METRICS = ("log_loss", "log_loss_clipped", "accuracy", "roc_auc", "brier_score", "expected_calibration_error")


class Picture(NamedTuple):
    """A picture to be shown, with what the model saw.

    Attributes:
        pixels: uint8 [height, width, 3].
        heat: What speaks for the most probable class, float32 [rows, columns], 0 to 1.
    """

    pixels: np.ndarray
    heat: np.ndarray


@dataclasses.dataclass(frozen=True)
class Findings:
    """A run, and how its best model does on the validation split.

    Attributes:
        run: The run.
        predictions: What the best model predicts.
        assessment: How good that is.
        trained_on: Number of training pictures.
        opening: Name of the first layer of the backbone that trained; empty: none did.
    """

    run: FinishedRun
    predictions: LabelledPredictions
    assessment: ModelAssessment
    trained_on: int
    opening: str

    @property
    def losses(self) -> np.ndarray:
        """Log loss of each picture, [pictures]."""
        labels = self.predictions.labels
        return -self.predictions.log_probabilities[0][np.arange(len(labels)), labels]

    @property
    def predicted(self) -> np.ndarray:
        """Index of each picture's most probable class, [pictures]."""
        return self.predictions.log_probabilities[0].argmax(axis=1)

    @property
    def wrong(self) -> int:
        """Number of pictures that are taken for another class."""
        return int((self.predicted != self.predictions.labels).sum())


def most_expensive(findings: Findings) -> list[int]:
    """Places of the pictures with the highest log loss, the highest first."""
    return np.argsort(-findings.losses, kind="stable")[:MOST_SHOWN].tolist()


def least_certain(findings: Findings, without: Sequence[int]) -> list[int]:
    """Places of the pictures whose most probable class is the least probable, but for those of `without`."""
    order = np.argsort(findings.predictions.log_probabilities[0].max(axis=1), kind="stable")
    return [place for place in order.tolist() if place not in set(without)][:MOST_SHOWN]


def pictures_table(findings: Findings) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """Columns and rows of a table of all pictures, the most expensive first."""
    predictions, losses, predicted = findings.predictions, findings.losses, findings.predicted
    probabilities = np.exp(predictions.log_probabilities[0])
    rows = [
        (
            predictions.keys[place],
            predictions.classes[predictions.labels[place]],
            predictions.classes[predicted[place]],
            *(float(f"{value:.6g}") for value in (probabilities[place, predictions.labels[place]], losses[place])),
        )
        for place in np.argsort(-losses, kind="stable")
    ]
    return PICTURES_COLUMNS, rows


def render(findings: Findings, pictures: Mapping[int, Picture], curves: Plot, calibration: Plot, roc: Plot) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        findings: What it is about.
        pictures: Those of `most_expensive` and `least_certain` by place.
        curves: Plot of the epochs.
        calibration: Reliability diagram and histogram of the probabilities.
        roc: The ROC curve.
    """
    run, predictions = findings.run, findings.predictions
    expensive = most_expensive(findings)
    uncertain = least_certain(findings, expensive)
    count, classes = len(predictions.keys), predictions.classes
    share = findings.losses[expensive].sum() / findings.losses.sum()
    return html.render(
        "report.html",
        made_by=f"dogcat {dogcat.__version__}",
        run=run.name,
        lead=f"{BACKBONES[run.options['backbone']].constructor} tells {_listed(classes)} apart: trained on "
        f"{findings.trained_on:,} pictures, measured on {count:,} others, in {duration(run.seconds)} on "
        f"{run.config['device']}.",
        figures=_tiles(findings),
        chose_epoch=run.summary["epochs"] > 0,
        source=_source(findings) if classes == SOURCE_CLASSES else None,
        curves=html.figure(curves, _curves_in_words(findings), _curves_caption(findings)),
        epochs=_epochs(run),
        calibration=html.figure(calibration, _calibration_in_words(findings), _CALIBRATION_CAPTION),
        temperature=_temperature(findings.assessment),
        confusion=_confusion(findings),
        of_classes=_of_classes(findings),
        roc=html.figure(roc, _roc_in_words(findings), _ROC_CAPTION),
        metrics=_metrics(findings.assessment),
        expensive=_cards(findings, pictures, expensive),
        wrong=findings.wrong,
        expensive_lead=f"The {len(expensive)} pictures with the highest log loss make up {share:.0%} of all of it; "
        f"{sum(findings.predicted[place] != predictions.labels[place] for place in expensive)} of them are taken for "
        "the wrong class.",
        uncertain=_cards(findings, pictures, uncertain),
        cleaning=f"{commands.spelled('clean-images')} --images=FOLDER_OF_THE_PICTURES --output=cleaning/",
        options=[(f"--{name}", _shown(value)) for name, value in run.options.items()],
        made_with=_made_with(run),
        stages=_stages(run),
        waiting=_waiting(run),
    )


_CALIBRATION_CAPTION = (
    "Left: pictures in ten bins by what the model said; a point on the dotted line means that it was right as often as "
    "it said. Below it the number of pictures in each bin; a bin with few of them says little. Right: how its "
    "probabilities are spread over the pictures of each class. Numbers of pictures are on a logarithmic scale."
)
_ROC_CAPTION = (
    "Each point of the curve is a threshold: how many of the class are found, and how many of the others are taken for "
    "it. Right: the upper left corner, ten times as large."
)


def duration(seconds: float) -> str:
    """A time in words."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def interval_text(interval: Interval, form: str = ".4f") -> str:
    """The ends of an interval; empty where the figure is not defined."""
    return "" if math.isnan(interval.value) else f"{interval.low:{form}} to {interval.high:{form}}"


def figure_text(value: float, form: str = ".4f") -> str:
    """A figure, or that it is not defined."""
    return "undefined" if math.isnan(value) else f"{value:{form}}"


def _tiles(findings: Findings) -> list[dict[str, str]]:
    overall = findings.assessment.overall
    count = len(findings.predictions.keys)
    tiles = []
    for name, metric, form in (
        ("validation log loss", "log_loss", ".4f"),
        ("accuracy", "accuracy", ".1%"),
        ("ROC AUC", "roc_auc", ".4f"),
    ):
        interval = overall[metric]
        if metric == "accuracy" and not findings.wrong:
            note = f"above {_accuracy_at_least(count):.1%} ({CONFIDENCE:.0%} sure)"
        else:
            note = f"{interval_text(interval, form)} (95% interval)"
        if not math.isnan(interval.value):
            tiles.append({"name": name, "value": f"{interval.value:{form}}", "note": note})
    best = findings.run.summary
    return [
        *tiles,
        {"name": "wrong", "value": f"{findings.wrong:,}", "note": f"of {count:,} pictures"},
        {
            "name": "time",
            "value": duration(findings.run.seconds),
            "note": f"best epoch: {best['best']['epoch']} of {best['epochs']}",
        },
    ]


def _accuracy_at_least(pictures: int) -> float:
    """The accuracy below which a model gets so many pictures all right in less than 5% of the cases.

    No resample of flawless pictures has a flaw, so the bootstrap has nothing to tell here.
    """
    return (1 - CONFIDENCE) ** (1 / pictures)


def _source(findings: Findings) -> Table:
    best = findings.assessment.overall["log_loss"]
    preset = findings.run.options["preset"]
    own = (
        "this run" if preset == "none" else f"this run, {preset}",
        f"{best.value:.4f} ({interval_text(best)})",
        "not measured",
        duration(findings.run.seconds),
    )
    rows = [
        (f"source, {run.preset}: {run.trains}", f"{run.val_loss:.4f}", f"{run.test_loss:.5f}", duration(run.seconds))
        for run in SOURCE_RUNS
    ]
    heads = ("run", "validation log loss", "Kaggle's test log loss", "time")
    return Table("This run and the five of the source", heads, [own, *rows])


def _curves_in_words(findings: Findings) -> str:
    history = findings.run.history
    first, best, last = history[0], epoch_records.best_of(history), history[-1]
    return (
        f"Two plots over the epochs {first.epoch} to {last.epoch}. Validation log loss: {first.val_loss:.4f} at epoch "
        f"{first.epoch}, {best.val_loss:.4f} at the best, epoch {best.epoch}, {last.val_loss:.4f} at the last. "
        f"Validation accuracy: {first.val_accuracy:.1%}, {best.val_accuracy:.1%}, {last.val_accuracy:.1%}. The "
        "table below has every epoch."
    )


def _curves_caption(findings: Findings) -> str:
    opened = f"From epoch 0 on the layers from {findings.opening} train with the head. " if findings.opening else ""
    return (
        f"{opened}Training figures are those of augmented pictures, as the model was at each step; validation is after "
        "the epoch, on pictures that are not augmented."
    )


def _epochs(run: FinishedRun) -> Table:
    best = epoch_records.best_of(run.history)
    rows = [
        (
            f"{record.epoch}, the best" if record is best else str(record.epoch),
            *(
                "-" if math.isnan(value) else f"{value:{form}}"
                for value, form in (
                    (record.loss, ".4f"),
                    (record.accuracy, ".2%"),
                    (record.val_loss, ".4f"),
                    (record.val_accuracy, ".2%"),
                    (record.val_auc, ".4f"),
                    (record.learning_rate, ".2g"),
                    (record.pictures_per_second, ".1f"),
                )
            ),
            duration(record.seconds),
        )
        for record in run.history
    ]
    heads = (
        *("epoch", "log loss", "accuracy", "validation log loss", "validation accuracy", "validation AUC"),
        *("learning rate", "pictures/s", "time"),
    )
    return Table("Every epoch", heads, rows)


def _calibration_in_words(findings: Findings) -> str:
    predictions = findings.predictions
    found = plots.reliability(predictions.labels, predictions.log_probabilities[0])
    bins = "; ".join(
        f"said {said:.0%}, was {was:.0%}, {count:,} pictures"
        for said, was, count in zip(found.said, found.was, found.counts)
        if count
    )
    what = f"probability of {predictions.classes[1]}" if len(predictions.classes) == 2 else "probability of the guess"
    return (
        f"Reliability diagram of the {what}, bin by bin: {bins}. Beside it a histogram of the probabilities by class."
    )


def _temperature(assessment: ModelAssessment) -> str:
    fitted = assessment.temperature
    error = assessment.overall["expected_calibration_error"]
    text = f"Expected calibration error {error.value:.4f} ({interval_text(error)}). "
    effect = f"the log loss of the other half goes from {fitted.before:.4f} to {fitted.after:.4f}"
    if fitted.helped:
        return text + (
            f"A temperature of {fitted.value:.2f}, fitted on one half, helps: {effect}; dogcat.evaluate "
            "--save_temperature stores it with the model."
        )
    return text + f"A temperature of {fitted.value:.2f}, fitted on one half, does not help beyond chance: {effect}."


def _confusion(findings: Findings) -> dict[str, Any]:
    """The matrix, each cell with its share of the row; of many classes the cells that are wrong, as a table."""
    predictions = findings.predictions
    classes = predictions.classes
    matrix = evaluation.confusion_matrix(predictions.labels, predictions.log_probabilities[0])
    if len(classes) > _MOST_CLASSES:
        cells = [(-matrix[cell], *cell) for cell in zip(*np.nonzero(matrix)) if cell[0] != cell[1]]
        rows = [(classes[right], classes[taken], int(-count)) for count, right, taken in sorted(cells)[:_MOST_CLASSES]]
        table = Table("What is taken for what most often", ("class", "taken for", "pictures"), rows)
        return {"classes": [], "rows": [], "table": table}
    totals = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    rows_ = [
        {
            "name": name,
            "cells": [
                {"count": int(count), "share": round(100 * float(part)), "right": column == row}
                for column, (count, part) in enumerate(zip(matrix[row], (matrix / totals)[row]))
            ],
        }
        for row, name in enumerate(classes)
    ]
    return {"classes": classes, "rows": rows_, "table": None}


def _of_classes(findings: Findings) -> Table:
    counts = np.bincount(findings.predictions.labels, minlength=len(findings.predictions.classes))
    rows = [
        (
            name,
            int(count),
            *(
                figure_text(metrics[metric].value, form)
                for metric, form in (("recall", ".1%"), ("precision", ".1%"), ("log_loss", ".4f"), ("roc_auc", ".4f"))
            ),
        )
        for name, count, metrics in zip(findings.predictions.classes, counts, findings.assessment.by_class)
    ]
    heads = ("class", "pictures", "found (recall)", "right when named (precision)", "log loss", "ROC AUC")
    return Table("Each class", heads, rows)


def _roc_in_words(findings: Findings) -> str:
    auc = findings.assessment.overall["roc_auc"]
    kind = "ROC curve" if len(findings.predictions.classes) == 2 else "ROC curves, each class against the rest"
    return f"{kind}. Area under the curve {figure_text(auc.value)} ({interval_text(auc)}); 0.5 would be chance."


def _metrics(assessment: ModelAssessment) -> Table:
    rows = [
        (results.TITLES[name], figure_text(interval.value), interval_text(interval))
        for name, interval in ((name, assessment.overall[name]) for name in _METRICS)
    ]
    return Table("All figures", ("", "value", f"{CONFIDENCE:.0%} interval, by bootstrap"), rows)


def _cards(findings: Findings, pictures: Mapping[int, Picture], places: Sequence[int]) -> list[dict[str, Any]]:
    predictions, losses, predicted = findings.predictions, findings.losses, findings.predicted
    probabilities = np.exp(predictions.log_probabilities[0])
    whole = losses.sum()
    cards = []
    for place in places:
        label, taken = predictions.labels[place], predicted[place]
        pixels, heat = pictures[place]
        cards.append(
            {
                "key": predictions.keys[place],
                "class": predictions.classes[label],
                "taken": predictions.classes[taken],
                "wrong": bool(label != taken),
                "probability": _probability(probabilities[place, label]),
                "loss": f"{losses[place]:.4f}" if losses[place] < 1 else f"{losses[place]:.2f}",
                "share": f"{losses[place] / whole:.1%}",
                "picture": thumbnails.picture_address(pixels),
                "heat": thumbnails.heat_address(pixels, heat),
                "hottest": thumbnails.place_in_words(heat),
            }
        )
    return cards


def _probability(value: float) -> str:
    return f"{value:.2%}" if 0.0001 <= value <= 0.9999 else f"{value:.4g}" if value < 0.5 else "above 99.99%"


def _made_with(run: FinishedRun) -> Table:
    config = run.config
    rows = [
        ("device", config["device"]),
        ("replicas", str(config["replicas"])),
        ("arithmetic", config["precision"]),
        ("data set", run.options["tfrecords"]),
        ("its hash", config["data_digest"]),
        *((name, version) for name, version in config["versions"].items()),
        ("commit", config["commit"] or "not from a checkout"),
    ]
    return Table("Device, data and versions", ("what", "which"), rows)


def _stages(run: FinishedRun) -> Table:
    seconds = run.summary["seconds"]
    rows = [(stage, duration(value), f"{value / max(run.seconds, 1e-9):.1%}") for stage, value in seconds.items()]
    return Table("Time of each stage", ("stage", "time", "share"), [*rows, ("together", duration(run.seconds), "")])


def _waiting(run: FinishedRun) -> str:
    share = run.summary["input_wait"]
    if share is None:
        return "Nothing waited for input: no epoch was trained."
    return f"{share:.2%} of the training time went into waiting for the next batch."


def _shown(value: Any) -> str:
    return "(empty)" if value == "" else str(value)


def _listed(classes: Sequence[str]) -> str:
    if len(classes) > _MOST_CLASSES:
        return f"{len(classes)} classes"
    return f"{', '.join(classes[:-1])} and {classes[-1]}"


def legend_names(classes: Sequence[str]) -> list[str]:
    """Names of classes or runs as a plot can show them."""
    shown = [printable(name) for name in classes]
    return [name if len(name) <= _LONGEST_LEGEND else name[: _LONGEST_LEGEND - 1] + "…" for name in shown]
