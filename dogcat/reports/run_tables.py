"""The tables of report.html."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from dogcat.evaluation import metrics, results
from dogcat.evaluation.assess import ModelAssessment
from dogcat.evaluation.bootstrap import CONFIDENCE
from dogcat.reports.findings import Findings
from dogcat.reports.html import Table
from dogcat.reports.wording import MOST_CLASSES, duration, figure_text, interval_text
from dogcat.training import epoch_records
from dogcat.training.finished_runs import FinishedRun
from dogcat.training.source_runs import SOURCE_RUNS

# The source's pictures: 25,000 of this kind of name, nearly all of them.
_KEY_OF_KAGGLE = re.compile(r"(.*/)?(cat|dog)\.\d{1,5}\.jpg")
_MOST_OF_KAGGLE = 20_000
_METRICS = ("log_loss", "log_loss_clipped", "accuracy", "roc_auc", "brier_score", "expected_calibration_error")


def source(findings: Findings) -> Table | None:
    """The run beside the five of the source; None where it is not on the source's pictures."""
    keys = findings.predictions.keys
    pictures = findings.trained_on + len(keys)
    if pictures < _MOST_OF_KAGGLE or not all(map(_KEY_OF_KAGGLE.fullmatch, keys)):
        return None
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


def epochs(run: FinishedRun) -> Table:
    """Every epoch."""
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


def confusion(findings: Findings) -> dict[str, Any]:
    """The matrix, each cell with its share of the row; of many classes the cells that are wrong, as a table."""
    predictions = findings.predictions
    classes = predictions.classes
    matrix = metrics.confusion_matrix(predictions.labels, predictions.log_probabilities[0])
    if len(classes) > MOST_CLASSES:
        cells = [(-matrix[cell], *cell) for cell in zip(*np.nonzero(matrix)) if cell[0] != cell[1]]
        rows = [(classes[right], classes[taken], int(-count)) for count, right, taken in sorted(cells)[:MOST_CLASSES]]
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


def of_classes(findings: Findings) -> Table:
    """How each class is told from the others."""
    counts = np.bincount(findings.predictions.labels, minlength=len(findings.predictions.classes))
    rows = [
        (
            name,
            int(count),
            *(
                figure_text(of_class[metric].value, form)
                for metric, form in (("recall", ".1%"), ("precision", ".1%"), ("log_loss", ".4f"), ("roc_auc", ".4f"))
            ),
        )
        for name, count, of_class in zip(findings.predictions.classes, counts, findings.assessment.by_class)
    ]
    heads = ("class", "pictures", "found (recall)", "right when named (precision)", "log loss", "ROC AUC")
    return Table("Each class", heads, rows)


def all_metrics(assessment: ModelAssessment) -> Table:
    """All figures, with their intervals."""
    rows = [
        (results.TITLES[name], figure_text(interval.value), interval_text(interval))
        for name, interval in ((name, assessment.overall[name]) for name in _METRICS)
    ]
    return Table("All figures", ("", "value", f"{CONFIDENCE:.0%} interval"), rows)


def made_with(run: FinishedRun) -> Table:
    """The device, the data set and the versions of the run."""
    config = run.config
    rows = [
        ("device", config["device"]),
        ("replicas", str(config["replicas"])),
        ("precision", config["precision"]),
        ("data set", run.options["tfrecords"]),
        ("its hash", config["data_digest"]),
        *((name, version) for name, version in config["versions"].items()),
        ("commit", config["commit"] or "not from a checkout"),
    ]
    return Table("Device, data and versions", ("what", "which"), rows)


def stages(run: FinishedRun) -> Table:
    """How long each stage of the run took."""
    seconds = run.summary["seconds"]
    rows = [(stage, duration(value), f"{value / max(run.seconds, 1e-9):.1%}") for stage, value in seconds.items()]
    return Table("Time of each stage", ("stage", "time", "share"), [*rows, ("together", duration(run.seconds), "")])
