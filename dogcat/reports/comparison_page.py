"""What the page of several runs says: a table, curves over each other, and whether the data tells them apart."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

import dogcat
from dogcat.evaluation import assess
from dogcat.evaluation.assess import Assessment, LabelledPredictions
from dogcat.evaluation.bootstrap import Interval
from dogcat.reports import html
from dogcat.reports.html import Plot, Table
from dogcat.reports.wording import duration, figure_text, interval_text, legend_names
from dogcat.training import epoch_records
from dogcat.training.finished_runs import FinishedRun

_SCORING = assess.Scoring()


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


def render(runs: Sequence[FinishedRun], predictions: Sequence[LabelledPredictions], curves: Plot) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        runs: Two or more.
        predictions: What the best model of each says of its validation split, a model each.
        curves: Plot of their epochs.
    """
    found = [assess.assess(of_run, _SCORING) for of_run in predictions]
    losses = [one.models[0].overall["log_loss"].value for one in found]
    best = int(np.argmin(losses))
    names = [run.name for run in runs]
    is_same = len({run.config["data_digest"] for run in runs}) == 1
    others = "" if is_same else " Not all runs were validated on the same pictures."
    return html.render(
        "comparison.html",
        made_by=f"dogcat {dogcat.__version__}",
        title=f"{len(runs)} runs compared",
        lead=f"{names[best]} has the lowest validation log loss, {losses[best]:.4f}, of "
        f"{len(predictions[best].keys):,} pictures.{others}",
        runs=_table(runs, found),
        made_with=_differences(runs),
        curves=html.figure(
            curves,
            "Validation log loss and accuracy of each run over its epochs. "
            + "; ".join(_in_words(name, run) for name, run in zip(short_names(runs), runs))
            + ".",
            "The large dot is a run's best epoch. Epoch 0 is the model that the epochs start from.",
        ),
        best=names[best],
        pairs=_pairs(runs, predictions, best),
    )


def _table(runs: Sequence[FinishedRun], found: Sequence[Assessment]) -> Table:
    rows = []
    for run, one in zip(runs, found):
        overall = one.models[0].overall
        loss, accuracy = overall["log_loss"], overall["accuracy"]
        rows.append(
            (
                run.name,
                f"{loss.value:.4f} ({interval_text(loss)})",
                f"{accuracy.value:.1%} ({interval_text(accuracy, '.1%')})",
                figure_text(overall["roc_auc"].value),
                f"{run.summary['best']['epoch']} of {run.summary['epochs']}",
                duration(run.seconds),
                run.config["device"],
            )
        )
    heads = ("run", "validation log loss (95% interval)", "accuracy", "ROC AUC", "best epoch", "time", "device")
    return Table("Each run's best model on its validation split", heads, rows)


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


def _pairs(runs: Sequence[FinishedRun], predictions: Sequence[LabelledPredictions], best: int) -> Table:
    """The best run against each other one, on the same pictures."""
    rows = []
    first = predictions[best]
    for number, (run, second) in enumerate(zip(runs, predictions)):
        if number == best:
            continue
        if runs[best].config["data_digest"] != run.config["data_digest"]:
            rows.append((run.name, "-", "-", "not to be said: validated on other pictures"))
            continue
        both = LabelledPredictions(
            source=first.source,
            keys=first.keys,
            labels=first.labels,
            classes=first.classes,
            predicted_by=[*first.predicted_by, *second.predicted_by],
            log_probabilities=[*first.log_probabilities, *second.log_probabilities],
            left_out={},
        )
        difference = assess.assess(both, _SCORING).differences[assess.DECIDING]
        rows.append((run.name, f"{difference.value:+.4f}", interval_text(difference, "+.4f"), _verdict(difference)))
    heads = ("run", "difference", "95% interval", "told apart?")
    return Table(f"{runs[best].name} less each other run", heads, rows)


def _verdict(difference: Interval) -> str:
    if not difference.excludes_zero:
        return "no: the interval includes 0"
    return "yes: it is better" if difference.value < 0 else "yes: it is worse"
