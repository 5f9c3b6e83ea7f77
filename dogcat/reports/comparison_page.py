"""What the page of several runs says: a table, curves over each other, and whether the data tells them apart."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

import dogcat
from dogcat.core import commands
from dogcat.evaluation import assess
from dogcat.evaluation.assess import LabelledPredictions, ModelAssessment
from dogcat.evaluation.bootstrap import Interval
from dogcat.reports import html
from dogcat.reports.html import Plot, Table
from dogcat.reports.wording import duration, figure_text, interval_text, legend_names, listed, share_range
from dogcat.training import epoch_records
from dogcat.training.finished_runs import FinishedRun
from dogcat.training.plots import FIGURES

_SCORING = assess.Scoring()
# Resamples of fewer pictures are too much alike for their intervals to be wide enough.
_FEW = 50


def short_names(runs: Sequence[FinishedRun]) -> list[str]:
    """Names for a legend: without the beginning that all share; paths where two runs have the same name."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        return [str(run.path) for run in runs]
    shared = names[0].rfind("-", 0, len(os.path.commonprefix(names))) + 1
    return [name[shared:] or name for name in names]


def curve_names(runs: Sequence[FinishedRun]) -> list[str]:
    """The names as a plot can show them, each another."""
    names = legend_names(short_names(runs))
    return names if len(set(names)) == len(names) else [f"{number}: {name}" for number, name in enumerate(names, 1)]


class Scored(NamedTuple):
    """A run as it is compared.

    Attributes:
        run: The run.
        predictions: What its best model says of its validation split.
        view: What that model was shown of the pictures, in words.
        validated_on: The same of the validation of the run itself, in whose figures the best epoch was chosen.
    """

    run: FinishedRun
    predictions: LabelledPredictions
    view: str
    validated_on: str


class _Ranked(NamedTuple):
    """A run among the others.

    Attributes:
        scored: The run.
        found: How good it is.
        difference: Of the deciding metric: the best one's less its own; None for the best, and where pictures differ.
    """

    scored: Scored
    found: ModelAssessment
    difference: Interval | None


def render(scored: Sequence[Scored], plots: Sequence[Plot | None]) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        scored: Two runs or more, all with the same view.
        plots: Of their epochs, one of each of `training.plots.FIGURES`.
    """
    runs = [one.run for one in scored]
    found = [assess.assess(one.predictions, _SCORING).models[0] for one in scored]
    best = int(np.argmin([one.overall[assess.DECIDING].value for one in found]))
    ranked = [
        _Ranked(one, how, None if place == best else _difference(scored[best], one))
        for place, (one, how) in enumerate(zip(scored, found))
    ]
    names = short_names(runs)
    headline, lead = _verdict(ranked, names, best)
    in_words = "; ".join(_in_words(name, run) for name, run in zip(names, runs))
    return html.render(
        "comparison.html",
        made_by=f"dogcat {dogcat.__version__}",
        title=f"{len(runs)} runs compared",
        headline=headline,
        lead=lead,
        runs=_table(ranked),
        made_with=_differences(runs),
        curves=html.figure(
            [
                (plot, f"Validation {'log loss' if name == 'loss' else name} of each run over its epochs. {in_words}.")
                for plot, name in zip(plots, FIGURES)
            ],
            "As each run validated itself. The large dot is a run's best epoch. Epoch 0 is the model that the epochs "
            "start from.",
        ),
        best=names[best],
        pairs=_pairs(ranked, names[best]) if _is_same_data(runs) else None,
    )


def _is_same_data(runs: Sequence[FinishedRun]) -> bool:
    return len({run.config["data_digest"] for run in runs}) == 1


def _difference(best: Scored, other: Scored) -> Interval | None:
    """The best run's deciding metric less another's on the same pictures; None where they are others."""
    if not _is_same_data([best.run, other.run]):
        return None
    first, second = best.predictions, other.predictions
    both = dataclasses.replace(
        first,
        predicted_by=[*first.predicted_by, *second.predicted_by],
        log_probabilities=[*first.log_probabilities, *second.log_probabilities],
    )
    return assess.assess(both, _SCORING).differences[assess.DECIDING]


def _verdict(ranked: Sequence[_Ranked], names: Sequence[str], best: int) -> tuple[str, str]:
    """What the page begins with: a headline, and a sentence or two below it."""
    first = ranked[best].scored
    count = len(first.predictions.keys)
    if not _is_same_data([one.scored.run for one in ranked]):
        return "No order: not all runs were validated on the same pictures", (
            "Their figures stand side by side below. To compare the models, measure both on the same pictures: "
            f"{commands.spelled('evaluate')} --model=ONE --against=OTHER."
        )
    rivals = [place for place, one in enumerate(ranked) if one.difference and not one.difference.excludes_zero]
    told = f"All are scored on the same {count:,} {first.view}."
    if any(one.scored.validated_on != first.view for one in ranked):
        told += " Some validated themselves on other views; those figures are in the table, and have no order."
    if not rivals:
        headline = f"{names[best]} is the best"
        if count < _FEW:
            headline = f"{names[best]} is ahead; {count} pictures are too few to be sure"
        return headline, f"The data tells it apart from every other run. {told}"
    alike = listed([names[place] for place in sorted([best, *rivals])])
    others = "" if len(rivals) + 1 == len(ranked) else "; each other run is worse"
    return "No clear winner", f"The data does not tell {alike} apart{others}. {told}"


def _table(ranked: Sequence[_Ranked]) -> Table:
    rows = []
    for one in ranked:
        run, overall = one.scored.run, one.found.overall
        loss, accuracy = overall["log_loss"], overall["accuracy"]
        itself = epoch_records.best_of(run.history).val_loss
        rows.append(
            (
                run.name,
                f"{loss.value:.4f} ({interval_text(loss)})",
                f"{accuracy.value:.1%} ({share_range(accuracy)})",
                figure_text(overall["roc_auc"].value),
                f"{run.summary['best']['epoch']} of {run.summary['epochs']}",
                f"{itself:.4f}, {one.scored.validated_on}",
                duration(run.seconds),
                run.config["device"],
            )
        )
    heads = (
        *("run", "validation log loss (95% interval)", "accuracy", "ROC AUC", "best epoch"),
        *("log loss as it validated itself", "time", "device"),
    )
    return Table(f"Each run's best model on {ranked[0].scored.view}", heads, rows)


def _differences(runs: Sequence[FinishedRun]) -> Table:
    """The options that are not the same in all runs."""
    every = dict.fromkeys(name for run in runs for name in run.options)
    rows = []
    for name in every:
        values = [str(run.options.get(name, "not known yet")) for run in runs]
        if len(set(values)) > 1:
            rows.append((f"--{name}", *(value or "(empty)" for value in values)))
    return Table("Options that differ", ("option", *short_names(runs)), rows)


def _in_words(name: str, run: FinishedRun) -> str:
    best = epoch_records.best_of(run.history)
    return f"{name}: lowest log loss {best.val_loss:.4f} at epoch {best.epoch}, accuracy there {best.val_accuracy:.1%}"


def _pairs(ranked: Sequence[_Ranked], best: str) -> Table:
    """The best run against each other one."""
    rows = [
        (
            one.scored.run.name,
            f"{one.difference.value:+.4f}",
            interval_text(one.difference, "+.4f"),
            _told_apart(one.difference),
        )
        for one in ranked
        if one.difference
    ]
    return Table(f"{best} less each other run", ("run", "difference", "95% interval", "told apart?"), rows)


def _told_apart(difference: Interval) -> str:
    if difference.excludes_zero:
        return "yes: it is worse"
    return "no: the interval includes 0" if difference.is_known else "no: they do not differ"
