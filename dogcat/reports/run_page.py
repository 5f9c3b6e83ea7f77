"""The page of a run, report.html: figures, plots, tables, the pictures that cost most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import dogcat
from dogcat.core import commands
from dogcat.evaluation.assess import ModelAssessment
from dogcat.evaluation.bootstrap import CONFIDENCE
from dogcat.models.backbones import BACKBONES
from dogcat.reports import html, plot_texts, run_tables, thumbnails
from dogcat.reports.findings import Findings, highest_losses, least_certain
from dogcat.reports.html import Plot
from dogcat.reports.wording import duration, interval_text, listed, probability_text
from dogcat.training import source_runs
from dogcat.training.finished_runs import FinishedRun


class Picture(NamedTuple):
    """A picture to be shown, with what the model saw.

    Attributes:
        pixels: uint8 [height, width, 3].
        heat: What speaks for the most probable class, float32 [rows, columns], 0 to 1.
    """

    pixels: np.ndarray
    heat: np.ndarray


def render(findings: Findings, pictures: Mapping[int, Picture], curves: Plot, calibration: Plot, roc: Plot) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        findings: What it is about.
        pictures: Those of `highest_losses` and `least_certain` by place.
        curves: Plot of the epochs.
        calibration: Reliability diagram and histogram of the probabilities.
        roc: The ROC curve.
    """
    run, predictions = findings.run, findings.predictions
    highest = highest_losses(findings)
    uncertain = least_certain(findings, highest)
    count, classes = len(predictions.keys), predictions.classes
    share = findings.losses[highest].sum() / findings.losses.sum()
    return html.render(
        "report.html",
        made_by=f"dogcat {dogcat.__version__}",
        run=run.name,
        lead=f"{BACKBONES[run.options['backbone']].constructor} tells {listed(classes)} apart: trained on "
        f"{findings.trained_on:,} pictures, measured on {count:,} others, in {duration(run.seconds)} on "
        f"{run.config['device']}.",
        figures=_tiles(findings),
        chose_epoch=run.summary["epochs"] > 0,
        source=run_tables.source(findings) if classes == source_runs.CLASSES else None,
        curves=html.figure(curves, plot_texts.curves_in_words(findings), plot_texts.curves_caption(findings)),
        epochs=run_tables.epochs(run),
        calibration=html.figure(calibration, plot_texts.calibration_in_words(findings), plot_texts.CALIBRATION_CAPTION),
        temperature=_temperature(findings.assessment),
        confusion=run_tables.confusion(findings),
        of_classes=run_tables.of_classes(findings),
        roc=html.figure(roc, plot_texts.roc_in_words(findings), plot_texts.ROC_CAPTION),
        metrics=run_tables.all_metrics(findings.assessment),
        highest=_cards(findings, pictures, highest),
        wrong=findings.wrong,
        highest_lead=f"The {len(highest)} pictures with the highest log loss make up {share:.0%} of all of it; "
        f"{sum(findings.predicted[place] != predictions.labels[place] for place in highest)} of them are taken for "
        "the wrong class.",
        uncertain=_cards(findings, pictures, uncertain),
        cleaning=f"{commands.spelled('clean-images')} --images=FOLDER_OF_THE_PICTURES --output=cleaning/",
        options=[(f"--{name}", _shown(value)) for name, value in run.options.items()],
        made_with=run_tables.made_with(run),
        stages=run_tables.stages(run),
        waiting=_waiting(run),
    )


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


def _temperature(assessment: ModelAssessment) -> str:
    fitted = assessment.temperature
    error = assessment.overall["expected_calibration_error"]
    text = f"Expected calibration error {error.value:.4f} ({interval_text(error)}). "
    effect = f"the log loss of the other half goes from {fitted.before:.4f} to {fitted.after:.4f}"
    if fitted.helped:
        return text + (
            f"A temperature of {fitted.value:.2f}, fitted on one half, helps: {effect}; "
            f"{commands.spelled('evaluate')} --save_temperature stores it with the model."
        )
    return text + f"A temperature of {fitted.value:.2f}, fitted on one half, does not help beyond chance: {effect}."


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
                "probability": probability_text(probabilities[place, label]),
                "loss": f"{losses[place]:.4f}" if losses[place] < 1 else f"{losses[place]:.2f}",
                "share": f"{losses[place] / whole:.1%}",
                "picture": thumbnails.picture_address(pixels),
                "heat": thumbnails.heat_address(pixels, heat),
                "hottest": thumbnails.place_in_words(heat),
            }
        )
    return cards


def _waiting(run: FinishedRun) -> str:
    share = run.summary["input_wait"]
    if share is None:
        return "Nothing waited for input: no epoch was trained."
    return f"{share:.2%} of the training time went into waiting for the next batch."


def _shown(value: Any) -> str:
    return "(empty)" if value == "" else str(value)
