"""The page of a run, report.html: the verdict, figures, the mistakes, plots, tables, how to repeat the run."""

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
from dogcat.reports import html, plot_texts, recipe, run_tables, thumbnails, verdict
from dogcat.reports.findings import Findings, least_certain, worst_mistakes
from dogcat.reports.html import Plot
from dogcat.reports.wording import duration, interval_text, listed, probability_text, share_range
from dogcat.training.finished_runs import FinishedRun

# Fitted on fewer, a temperature follows one or two of them.
_FEWEST_FOR_TEMPERATURE = 10


class Picture(NamedTuple):
    """A picture to be shown, with what the model saw.

    Attributes:
        pixels: uint8 [height, width, 3].
        heat: What speaks for the most probable class, float32 [rows, columns], 0 to 1.
    """

    pixels: np.ndarray
    heat: np.ndarray


class Plots(NamedTuple):
    """The plots of the page; None where one would say nothing."""

    loss: Plot | None
    accuracy: Plot | None
    reliability: Plot | None
    spread: Plot | None
    roc: Plot | None
    corner: Plot | None


def render(findings: Findings, pictures: Mapping[int, Picture], plots: Plots) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        findings: What it is about.
        pictures: Those of `worst_mistakes` and `least_certain` by place.
        plots: Its plots.
    """
    run, predictions = findings.run, findings.predictions
    mistakes = worst_mistakes(findings)
    count, classes = len(predictions.keys), predictions.classes
    judged = verdict.of_run(findings)
    network = BACKBONES[run.options["backbone"]].constructor
    differing = recipe.differing(run)
    return html.render(
        "report.html",
        made_by=f"dogcat {dogcat.__version__}",
        run=run.name,
        verdict=judged,
        lead=f"{network} tells {listed(classes)} apart: trained on {findings.trained_on:,} pictures, measured on "
        f"{count:,} others, in {duration(run.seconds)} on {run.config['device']}.",
        figures=_tiles(findings),
        chose_epoch=run.summary["epochs"] > 0,
        confusion=run_tables.confusion(findings),
        of_classes=run_tables.of_classes(findings),
        metrics=run_tables.all_metrics(findings.assessment),
        mistakes=_cards(findings, pictures, mistakes),
        mistakes_lead=_mistakes_lead(findings, mistakes),
        uncertain=_cards(findings, pictures, least_certain(findings, mistakes)),
        cleaning=f"{commands.spelled('clean-images')} --images=FOLDER_OF_THE_PICTURES --output=cleaning/",
        calibration=html.figure(
            [
                (plots.reliability, plot_texts.reliability_in_words(findings)),
                (plots.spread, plot_texts.spread_in_words(findings)),
            ],
            plot_texts.calibration_caption(findings),
        ),
        temperature=_temperature(findings.assessment),
        roc=html.figure(
            [
                (plots.roc, plot_texts.roc_in_words(findings)),
                (plots.corner, "The upper left corner of the same, enlarged."),
            ],
            plot_texts.ROC_CAPTION,
        ),
        without_roc=plot_texts.without_roc(findings),
        curves=html.figure(
            [
                (plot, plot_texts.curve_in_words(findings, name))
                for plot, name in ((plots.loss, "loss"), (plots.accuracy, "accuracy"))
            ],
            plot_texts.curves_caption(findings),
        ),
        epochs=run_tables.epochs(run),
        preset=run.options["preset"],
        differing=[(f"--{name}", _shown(value)) for name, value in differing.items()],
        command=recipe.command(run),
        options=[(f"--{name}", _shown(value)) for name, value in run.options.items() if name not in differing],
        made_with=run_tables.made_with(run),
        stages=run_tables.stages(run),
        waiting=_waiting(run),
        source=run_tables.source(findings),
    )


def _tiles(findings: Findings) -> list[dict[str, str]]:
    overall = findings.assessment.overall
    count = len(findings.predictions.keys)
    tiles = [
        {
            "name": name,
            "value": f"{overall[metric].value:{form}}",
            "note": f"{CONFIDENCE:.0%} interval: {worded(overall[metric])}",
        }
        for name, metric, form, worded in (
            ("accuracy", "accuracy", ".1%", share_range),
            ("validation log loss", "log_loss", ".4f", interval_text),
            ("ROC AUC", "roc_auc", ".4f", interval_text),
        )
        if not math.isnan(overall[metric].value)
    ]
    tiles.insert(1, {"name": "wrong", "value": f"{findings.wrong:,}", "note": f"of {count:,} pictures"})
    best = findings.run.summary
    time = {
        "name": "time",
        "value": duration(findings.run.seconds),
        "note": f"best epoch: {best['best']['epoch']} of {best['epochs']}",
    }
    return [*tiles, time]


def _mistakes_lead(findings: Findings, shown: Sequence[int]) -> str:
    share = f"{findings.losses[shown].sum() / findings.losses.sum():.0%} of the log loss of all pictures"
    if findings.wrong == 1:
        return f"One picture, with {share}."
    which = "All" if len(shown) == findings.wrong else f"The {len(shown)} surest"
    return f"{which} of {findings.wrong:,}, the surest first, with {share}."


def _temperature(assessment: ModelAssessment) -> str:
    fitted = assessment.temperature
    error = assessment.overall["expected_calibration_error"]
    interval = f" ({interval_text(error)})" if error.is_known else ""
    text = f"Expected calibration error {error.value:.4f}{interval}. "
    if fitted.fitted_on < _FEWEST_FOR_TEMPERATURE:
        return text + "A temperature is not fitted on so few pictures."
    advice = ""
    if fitted.helped:
        advice = f"; {commands.spelled('evaluate')} --save_temperature stores it with the model"
    return text + (
        f"A temperature of {fitted.value:.2f}, fitted on {fitted.fitted_on:,} of the pictures, {fitted.effect}: on the "
        f"other {fitted.scored_on:,} the log loss goes from {fitted.before:.4f} to {fitted.after:.4f}{advice}."
    )


def _cards(findings: Findings, pictures: Mapping[int, Picture], places: Sequence[int]) -> list[dict[str, Any]]:
    predictions, losses, predicted = findings.predictions, findings.losses, findings.predicted
    probabilities = np.exp(predictions.log_probabilities[0])
    # A model that is sure beyond what a number holds has no loss at all.
    whole = losses.sum() or 1.0
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
