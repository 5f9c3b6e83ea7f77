"""Plots of what a model predicts: how far its probabilities can be trusted, and its ROC curve.

A panel that would say nothing is not drawn; whoever asks for it gets None.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_curve

from dogcat.core import plot_style
from dogcat.evaluation import metrics

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

_BINS = 10
# Inches; all stand beside each other.
_TALL_PANEL = (4.8, 4.4)
# Of fewer pictures a bin has hardly any, and its share is chance.
FEWEST_FOR_RELIABILITY = 20
# From so many pictures on counts are on a logarithmic scale, where one is to be seen beside thousands.
LOGARITHMIC_FROM = 50
# Part of the ROC curve that is drawn enlarged, of each axis.
_CORNER = 0.1
# Classes that have a ROC curve, the largest first.
_MOST_CURVES = 6


class Reliability(NamedTuple):
    """What was said against what was so, in bins of equal width of what was said; each array is [bins].

    Attributes:
        said: Mean probability; nan where a bin is empty.
        was: Share of the pictures that were so, likewise.
        counts: Number of pictures.
    """

    said: np.ndarray
    was: np.ndarray
    counts: np.ndarray


def reliability(labels: np.ndarray, log_probabilities: np.ndarray) -> Reliability:
    """Of two classes the probability of the second; of more that of the most probable one, which is right or not.

    Args:
        labels: Indices of the classes, [n].
        log_probabilities: [n, classes].
    """
    if log_probabilities.shape[1] == 2:
        said, was = np.exp(log_probabilities[:, 1]), labels == 1
    else:
        said, was = np.exp(log_probabilities.max(axis=1)), log_probabilities.argmax(axis=1) == labels
    bins = np.minimum((said * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    # An empty bin has no mean.
    with np.errstate(invalid="ignore"):
        return Reliability(
            np.bincount(bins, said, _BINS) / counts, np.bincount(bins, was.astype(float), _BINS) / counts, counts
        )


def draw_reliability(
    labels: np.ndarray, log_probabilities: np.ndarray, classes: Sequence[str], dark: bool
) -> bytes | None:
    """Draws the reliability diagram, and the number of pictures in each of its bins.

    Args:
        labels: Indices of the classes, [n].
        log_probabilities: [n, classes].
        classes: Their names, fit for a legend.
        dark: Draw on black instead of white.

    Returns:
        A PNG; None of fewer than `FEWEST_FOR_RELIABILITY` pictures.
    """
    if len(labels) < FEWEST_FOR_RELIABILITY:
        return None
    edges = np.linspace(0, 1, _BINS + 1)
    found = reliability(labels, log_probabilities)
    with plot_style.style(dark):
        figure = plt.figure(figsize=_TALL_PANEL, layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as it should be")
        full = found.counts > 0
        colour = plot_style.COLOURS[2]
        upper.plot(found.said[full], found.was[full], color=colour, marker="o", label="as it is")
        upper.set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
        lower.stairs(found.counts, edges, fill=True, color=colour, alpha=0.5)
        _count_axis(lower, found.counts.max(), len(labels))
        for count, place in zip(found.counts, (edges[:-1] + edges[1:]) / 2):
            if count:
                lower.annotate(f"{count:,}", (place, count), (0, 2), textcoords="offset points", ha="center", size=7)
        lower.set_ylabel("pictures")
        two = len(classes) == 2
        upper.set_ylabel(f"share of {classes[1]}" if two else "share that is right")
        lower.set_xlabel(f"probability of {classes[1]}" if two else "probability of the most probable class")
        figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return plot_style.png(figure)


def draw_spread(labels: np.ndarray, log_probabilities: np.ndarray, classes: Sequence[str], dark: bool) -> bytes:
    """Draws how the probabilities are spread over the pictures of each class; arguments as for `draw_reliability`."""
    two = len(classes) == 2
    with plot_style.style(dark):
        figure, axes = plt.subplots(figsize=_TALL_PANEL, layout="constrained")
        probabilities = np.exp(log_probabilities)
        of_label = probabilities[:, 1] if two else probabilities[np.arange(len(labels)), labels]
        most = 0
        steps = np.linspace(0, 1, 2 * _BINS + 1)
        # On the logarithmic scale 0 is nowhere.
        base = 0.8 if len(labels) >= LOGARITHMIC_FROM else 0
        for name, colour, members in _groups(labels, classes):
            counts = np.histogram(of_label[members], steps)[0].astype(float)
            most = max(most, counts.max())
            counts[counts == 0] = np.nan
            axes.stairs(counts, steps, color=colour, fill=True, alpha=0.25, baseline=base)
            axes.stairs(counts, steps, color=colour, linewidth=1.4, baseline=base, label=f" {name}")
        _count_axis(axes, most, len(labels))
        axes.set(xlim=(-0.03, 1.03), ylabel="pictures")
        axes.set_xlabel(f"probability of {classes[1]}" if two else "probability of the right class")
        figure.legend(loc="outside upper center", ncols=3)
        return plot_style.png(figure)


def draw_roc(labels: np.ndarray, log_probabilities: np.ndarray, classes: Sequence[str], dark: bool) -> bytes | None:
    """Draws the ROC curve; of more than two classes each against the rest.

    Arguments as for `draw_reliability`; a class without a picture, or with all of them, has no curve.

    Returns:
        A PNG; None where no class has a curve, or all curves go through the upper left corner itself.
    """
    curves = _roc_curves(labels, log_probabilities, classes)
    if all(is_perfect for *_, is_perfect in curves):
        return None
    with plot_style.style(dark):
        figure, axes = plt.subplots(figsize=_TALL_PANEL, layout="constrained")
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label=" by chance")
        _draw_roc_curves(axes, curves)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title="ROC curve")
        axes.legend(loc="lower right")
        return plot_style.png(figure)


def draw_roc_corner(
    labels: np.ndarray, log_probabilities: np.ndarray, classes: Sequence[str], dark: bool
) -> bytes | None:
    """Draws the upper left tenth of the ROC curve; as `draw_roc`, and None where no curve goes through it."""
    curves = _roc_curves(labels, log_probabilities, classes)
    # The share found where a tenth of the others is taken for the class.
    reached = [np.interp(_CORNER, false, true) for *_, false, true, is_perfect in curves if not is_perfect]
    if max(reached, default=0) < 1 - _CORNER:
        return None
    with plot_style.style(dark):
        figure, axes = plt.subplots(figsize=_TALL_PANEL, layout="constrained")
        _draw_roc_curves(axes, curves)
        margin = 0.03 * _CORNER
        axes.set(xlim=(-margin, _CORNER + margin), ylim=(1 - _CORNER - margin, 1 + margin))
        axes.set_title(f"zoom: top-left {_CORNER:.0%}")
        return plot_style.png(figure)


def _roc_curves(
    labels: np.ndarray, log_probabilities: np.ndarray, classes: Sequence[str]
) -> list[tuple[str, str, np.ndarray, np.ndarray, bool]]:
    """Name, colour, false and true positive rates of each curve, and whether it goes through the very corner."""
    odds = metrics.log_odds(log_probabilities)
    drawn = [1] if len(classes) == 2 else np.bincount(labels, minlength=len(classes)).argsort()[::-1][:_MOST_CURVES]
    curves = []
    for colour, label in zip(plot_style.COLOURS, drawn):
        positive = labels == label
        if positive.all() or not positive.any():
            continue
        false, true, _ = roc_curve(positive, odds[:, label])
        curves.append((classes[label], colour, false, true, bool(((false == 0) & (true == 1)).any())))
    return curves


def _draw_roc_curves(axes: Axes, curves: Sequence[tuple[str, str, np.ndarray, np.ndarray, bool]]) -> None:
    for name, colour, false, true, _ in curves:
        axes.plot(false, true, color=colour, label=f" {name}")
    axes.set(xlabel="share of the others taken for it", ylabel="share of its pictures found")
    axes.grid(alpha=0.25)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))


def _count_axis(axes: Axes, most: float, pictures: int) -> None:
    """Numbers of pictures, `most` of them at one place, `pictures` in all."""
    if pictures < LOGARITHMIC_FROM:
        axes.set_ylim(0, 1.2 * most)
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    else:
        axes.set_yscale("log")
        axes.set_ylim(0.8, 10 ** math.ceil(math.log10(max(most, 2) * 1.6)))
        axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _groups(labels: np.ndarray, classes: Sequence[str]) -> list[tuple[str, str, np.ndarray]]:
    """Name, colour and members, bool [n], of each of the largest classes, and of all others together."""
    order = np.bincount(labels, minlength=len(classes)).argsort()[::-1]
    alone = sorted(order[: len(plot_style.COLOURS)])
    groups = [(classes[label], colour, labels == label) for label, colour in zip(alone, plot_style.COLOURS)]
    others = len(classes) - len(alone)
    if others:
        groups.append((f"{others} more", plot_style.COLOUR_OF_OTHERS, ~np.isin(labels, alone)))
    return groups
