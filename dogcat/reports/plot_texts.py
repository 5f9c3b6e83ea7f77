"""What report.html says of its plots: in words, for whoever does not see them, and below them."""

from __future__ import annotations

from dogcat.reports.findings import Findings
from dogcat.reports.wording import figure_text, interval_text
from dogcat.training import epoch_records, plots

CALIBRATION_CAPTION = (
    "Left: pictures in ten bins by what the model said; a point on the dotted line means that it was right as often as "
    "it said. Below it the number of pictures in each bin; a bin with few of them says little. Right: how its "
    "probabilities are spread over the pictures of each class. Numbers of pictures are on a logarithmic scale."
)
ROC_CAPTION = (
    "Each point of the curve is a threshold: how many of the class are found, and how many of the others are taken for "
    "it. Right: the upper left corner, ten times as large."
)


def curves_in_words(findings: Findings) -> str:
    """The plots of the epochs."""
    history = findings.run.history
    first, best, last = history[0], epoch_records.best_of(history), history[-1]
    return (
        f"Two plots over the epochs {first.epoch} to {last.epoch}. Validation log loss: {first.val_loss:.4f} at epoch "
        f"{first.epoch}, {best.val_loss:.4f} at the best, epoch {best.epoch}, {last.val_loss:.4f} at the last. "
        f"Validation accuracy: {first.val_accuracy:.1%}, {best.val_accuracy:.1%}, {last.val_accuracy:.1%}. The "
        "table below has every epoch."
    )


def curves_caption(findings: Findings) -> str:
    """What stands below the plots of the epochs."""
    opened = f"From epoch 0 on the layers from {findings.opening} train with the head. " if findings.opening else ""
    return (
        f"{opened}Training figures are those of augmented pictures, as the model was at each step; validation is after "
        "the epoch, on pictures that are not augmented."
    )


def calibration_in_words(findings: Findings) -> str:
    """The reliability diagram."""
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


def roc_in_words(findings: Findings) -> str:
    """The ROC curve."""
    auc = findings.assessment.overall["roc_auc"]
    kind = "ROC curve" if len(findings.predictions.classes) == 2 else "ROC curves, each class against the rest"
    return f"{kind}. Area under the curve {figure_text(auc.value)} ({interval_text(auc)}); 0.5 would be chance."
