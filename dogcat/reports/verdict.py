"""The first line of a run's report: how good its best model is, as far as the pictures tell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dogcat.evaluation.bootstrap import Interval
from dogcat.reports.findings import Findings
from dogcat.reports.wording import legend_names, listed, share_range

# Where the accuracy may be lower than this although nothing is wrong, or its interval is wider than this, more pictures
# are needed.
_SURE, _WIDEST = 0.95, 0.15


class Verdict(NamedTuple):
    """What a report begins with.

    Attributes:
        title: The classes and how good the model is, for a window's title.
        headline: How good it is, with what is uncertain about that.
        notes: Sentences on what the headline leaves open; often none.
    """

    title: str
    headline: str
    notes: list[str]


def of_run(findings: Findings) -> Verdict:
    """Judges by accuracy beside that of always saying the most common class, and by the ranking (ROC AUC)."""
    labels, classes = findings.predictions.labels, legend_names(findings.predictions.classes)
    overall = findings.assessment.overall
    accuracy = overall["accuracy"]
    counts = np.bincount(labels, minlength=len(classes))
    commonest, constant = classes[int(counts.argmax())], counts.max() / len(labels)
    notes = []
    if constant == 1:
        short = f"only {commonest} to judge by"
        headline = f"All {len(labels):,} validation pictures are {commonest}: nothing to tell it from"
    elif not findings.wrong:
        short, headline = _flawless(len(labels), accuracy)
    elif accuracy.low > constant:
        short = f"{accuracy.value:.1%} right"
        headline = f"{short} ({share_range(accuracy)})" + _if_unsure(accuracy)
    elif _ranks(overall["roc_auc"]):
        short = f"{accuracy.value:.1%} right"
        than = "hardly better" if accuracy.value > constant else "no better"
        headline = f"{short}, {than} than always saying {commonest} ({constant:.1%})"
        notes.append(
            f"It does rank pictures better than chance: ROC AUC {overall['roc_auc'].value:.3f}, where 0.5 is chance."
        )
    else:
        short = f"{'perhaps ' if accuracy.value > constant else ''}no better than chance"
        headline = (
            f"{short[0].upper()}{short[1:]}: {accuracy.value:.1%} right ({share_range(accuracy)}), and always saying "
            f"{commonest} {constant:.1%}"
        )
    said = np.unique(findings.predicted)
    if len(said) == 1 and constant < 1:
        notes.append(f"It takes every picture for {classes[int(said[0])]}.")
    elif constant < 1 and accuracy.low > constant and overall["log_loss"].value > _log_loss_of_shares(counts):
        notes.append(
            f"Its probabilities are worse than none: their log loss is {overall['log_loss'].value:.4f}, and that of "
            f"the classes' shares {_log_loss_of_shares(counts):.4f}."
        )
    return Verdict(f"{listed(classes)}: {short}", headline, notes)


def _flawless(pictures: int, accuracy: Interval) -> tuple[str, str]:
    """Title and headline where all are right."""
    right = "both right" if pictures == 2 else f"all {pictures:,} right"
    least = f"{accuracy.low:.1%}" if accuracy.low >= _SURE else f"{accuracy.low:.0%}"
    sure = accuracy.low >= _SURE
    doubt = f" (accuracy above {least})" if sure else f"; too few to be sure (accuracy could be {least})"
    return right, right[0].upper() + right[1:] + doubt


def _if_unsure(accuracy: Interval) -> str:
    return "; too few pictures to be sure" if accuracy.high - accuracy.low > _WIDEST else ""


def _ranks(auc: Interval) -> bool:
    return auc.low > 0.5 if auc.is_known else auc.value == 1


def _log_loss_of_shares(counts: np.ndarray) -> float:
    """The log loss of saying each class's share among these pictures, whatever the picture."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
