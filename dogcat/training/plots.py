"""Plots of a run: what augmentation makes of pictures, curves over the epochs, calibration, ROC."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_curve

from dogcat.core import plot_style
from dogcat.evaluation import metrics
from dogcat.training import epoch_records
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.options import AugmentationRanges

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

_BINS = 10
_WIDTH, _HEIGHT = 11, 4.4
# Losses of runs are on a logarithmic scale where the highest is this many times the lowest.
_LOGARITHMIC = 20
# Part of the ROC curve that is drawn enlarged, of each axis.
_CORNER = 0.1


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


def draw_curves(history: Sequence[EpochRecord], opening: str, dark: bool) -> bytes:
    """Draws loss and accuracy over the epochs of a run.

    Args:
        history: At least one epoch.
        opening: Name of the first layer of the backbone that trains, from epoch 0 on; empty: none does.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    epochs = [record.epoch for record in history]
    best = epoch_records.best_of(history)
    with plot_style.style(dark):
        figure, panels = plt.subplots(1, 2, figsize=(_WIDTH, _HEIGHT), layout="constrained")
        for axes, name in zip(panels, ("loss", "accuracy")):
            for prefix, title, colour in zip(("", "val_"), ("training", "validation"), plot_style.COLOURS):
                values = [getattr(record, prefix + name) for record in history]
                axes.plot(epochs, values, color=colour, marker="o", markersize=4, label=title)
            axes.axvline(best.epoch, color="grey", linestyle=":", label=f"best epoch: {best.epoch}")
            if len(epochs) == 1:
                axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
            if opening:
                axes.axvline(0, color="grey", linestyle="--", linewidth=1, label=f"layers from {opening} open")
            _finish_curves(axes, name)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return plot_style.png(figure)


def draw_augmented(pictures: np.ndarray, versions: Sequence[np.ndarray], ranges: AugmentationRanges) -> bytes:
    """Draws pictures and, below each, what augmentation makes of it.

    Args:
        pictures: uint8 [pictures, height, width, 3], as they are stored.
        versions: At least one augmented batch of the same pictures, of the same type and shape.
        ranges: What the versions were drawn from.

    Returns:
        A PNG.
    """
    rows = [pictures, *versions]
    size = (1.4 * len(pictures), 1.4 * len(rows) + 0.4)
    with plot_style.style(dark=False):
        figure, grid = plt.subplots(len(rows), len(pictures), figsize=size, layout="constrained", squeeze=False)
        for axes, picture in zip(grid.flat, np.concatenate(rows)):
            axes.imshow(picture)
            axes.set_axis_off()
        parts = (f"{name} {value:g}" for name, value in dataclasses.asdict(ranges).items() if value)
        figure.suptitle("top row: as stored; below: as training sees them\n" + (", ".join(parts) or "no augmentation"))
        return plot_style.png(figure)


def draw_overlay(histories_of: Mapping[str, Sequence[EpochRecord]], dark: bool) -> bytes:
    """Draws validation loss and accuracy of several runs over each other, by name; each has at least one epoch."""
    with plot_style.style(dark):
        figure, panels = plt.subplots(1, 2, figsize=(_WIDTH, _HEIGHT), layout="constrained")
        for axes, name in zip(panels, ("loss", "accuracy")):
            for number, (run, history) in enumerate(histories_of.items()):
                colour = plot_style.COLOURS[number % len(plot_style.COLOURS)]
                # Beyond the colours, the line tells them apart.
                line = ("-", "--", ":", "-.")[number // len(plot_style.COLOURS) % 4]
                epochs = [record.epoch for record in history]
                values = [getattr(record, f"val_{name}") for record in history]
                # With the space, since Matplotlib may leave out of a legend what begins with an underscore.
                axes.plot(epochs, values, line, color=colour, marker="o", markersize=3, label=f" {run}")
                best = epoch_records.best_of(history)
                axes.plot(best.epoch, getattr(best, f"val_{name}"), "o", color=colour, markersize=8)
            low, high = axes.dataLim.intervaly
            if name == "loss" and 0 < _LOGARITHMIC * low < high:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter("{x:g}")
            _finish_curves(axes, name)
            axes.set_ylabel(f"validation {axes.get_ylabel()}")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return plot_style.png(figure)


def draw_calibration(labels: np.ndarray, log_probabilities: np.ndarray, classes: Sequence[str], dark: bool) -> bytes:
    """Draws the reliability diagram with the number of pictures in each bin, and the probabilities of each class.

    Args:
        labels: Indices of the classes, [n].
        log_probabilities: [n, classes].
        classes: Their names, fit for a legend.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    edges = np.linspace(0, 1, _BINS + 1)
    found = reliability(labels, log_probabilities)
    with plot_style.style(dark):
        figure = plt.figure(figsize=(_WIDTH, _HEIGHT + 0.6), layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False)[0]
        upper, lower = left.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as it should be")
        full = found.counts > 0
        colour = plot_style.COLOURS[2]
        upper.plot(found.said[full], found.was[full], color=colour, marker="o", label="as it is")
        upper.set(xlim=(-0.02, 1.02), ylim=(-0.04, 1.04))
        upper.legend(loc="upper left")
        lower.stairs(found.counts, edges, fill=True, color=colour, alpha=0.5)
        _count_axis(lower, found.counts.max())
        for count, place in zip(found.counts, (edges[:-1] + edges[1:]) / 2):
            if count:
                lower.annotate(f"{count:,}", (place, count), (0, 2), textcoords="offset points", ha="center", size=7)
        lower.set_ylabel("pictures")
        two = len(classes) == 2
        upper.set_ylabel(f"share of {classes[1]}" if two else "share that is right")
        lower.set_xlabel(f"probability of {classes[1]}" if two else "probability of the most probable class")
        axes = right.subplots()
        probabilities = np.exp(log_probabilities)
        of_label = probabilities[:, 1] if two else probabilities[np.arange(len(labels)), labels]
        most = 0
        steps = np.linspace(0, 1, 2 * _BINS + 1)
        for name, colour, members in _groups(labels, classes):
            counts = np.histogram(of_label[members], steps)[0].astype(float)
            most = max(most, counts.max())
            counts[counts == 0] = np.nan
            axes.stairs(counts, steps, color=colour, fill=True, alpha=0.25, baseline=0.8)
            axes.stairs(counts, steps, color=colour, linewidth=1.4, baseline=0.8, label=f" {name}")
        _count_axis(axes, most)
        axes.set(xlim=(-0.02, 1.02), ylabel="pictures")
        axes.set_xlabel(f"probability of {classes[1]}" if two else "probability of the right class")
        right.legend(loc="outside upper center", ncols=4)
        return plot_style.png(figure)


def draw_roc(labels: np.ndarray, log_probabilities: np.ndarray, classes: Sequence[str], dark: bool) -> bytes:
    """Draws the ROC curve, whole and its upper left corner; of more than two classes each against the rest.

    Arguments as for `draw_calibration`; a class without a picture, or with all of them, has no curve.
    """
    odds = metrics.log_odds(log_probabilities)
    drawn = [1] if len(classes) == 2 else np.bincount(labels, minlength=len(classes)).argsort()[::-1][:6]
    with plot_style.style(dark):
        figure, panels = plt.subplots(1, 2, figsize=(_WIDTH, _HEIGHT + 0.6), layout="constrained")
        for colour, label in zip(plot_style.COLOURS, drawn):
            positive = labels == label
            if positive.all() or not positive.any():
                continue
            false, true, _ = roc_curve(positive, odds[:, label])
            for axes in panels:
                axes.plot(false, true, color=colour, label=f" {classes[label]}", clip_on=axes is not panels[0])
        panels[0].plot([0, 1], [0, 1], color="grey", linestyle=":", label=" by chance")
        panels[0].set(xlim=(0, 1), ylim=(0, 1.01), title="whole")
        panels[1].set(xlim=(-0.02 * _CORNER, _CORNER), ylim=(1 - _CORNER, 1 + 0.02 * _CORNER), title="its corner")
        for axes in panels:
            axes.set(xlabel="share of the others taken for it", ylabel="share of its pictures found")
            axes.grid(alpha=0.25)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(PercentFormatter(1.0))
        panels[0].legend(loc="lower right")
        return plot_style.png(figure)


def _finish_curves(axes: Axes, name: str) -> None:
    axes.set(xlabel="epoch (0: the model before its epochs)", ylabel="log loss" if name == "loss" else "accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    if name == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(top=1 + 0.05 * (1 - axes.get_ylim()[0]))
    elif axes.get_ylim()[0] < 0:
        axes.set_ylim(bottom=0)


def _count_axis(axes: Axes, most: float) -> None:
    """Numbers of pictures, where one is to be seen beside thousands."""
    axes.set_yscale("log")
    axes.set_ylim(0.8, 10 ** math.ceil(math.log10(max(most, 2) * 1.6)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.minorticks_off()


def _groups(labels: np.ndarray, classes: Sequence[str]) -> list[tuple[str, str, np.ndarray]]:
    """Name, colour and members, bool [n], of each of the largest classes, and of all others together."""
    order = np.bincount(labels, minlength=len(classes)).argsort()[::-1]
    alone = sorted(order[: len(plot_style.COLOURS)])
    groups = [(classes[label], colour, labels == label) for label, colour in zip(alone, plot_style.COLOURS)]
    others = len(classes) - len(alone)
    if others:
        groups.append((f"{others} more", plot_style.COLOUR_OF_OTHERS, ~np.isin(labels, alone)))
    return groups
