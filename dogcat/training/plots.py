"""Plots of a run: what augmentation makes of pictures, and curves over the epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from dogcat.core import plot_style
from dogcat.training import epoch_records
from dogcat.training.augmentations import AugmentationRanges
from dogcat.training.epoch_records import EpochRecord

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

# What curves are drawn of, by the fields of an epoch: training and validation.
FIGURES = ("loss", "accuracy")
# Losses of runs are on a logarithmic scale where the highest is this many times the lowest.
_LOGARITHMIC = 20
# An axis spans at least this share of its largest value, or digits that nobody asked about fill it; of accuracy more,
# since one picture of twenty is as little.
_LEAST_SPAN = {"loss": 0.02, "accuracy": 0.1}
# Room between curves and the frame, as a share of the axis.
_MARGIN = 0.05


def draw_curves(history: Sequence[EpochRecord], dark: bool) -> bytes:
    """Draws loss and accuracy over the epochs of a run, side by side.

    Args:
        history: At least one epoch.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    with plot_style.style(dark):
        width, height = plot_style.PANEL
        figure, panels = plt.subplots(1, 2, figsize=(2 * width, height), layout="constrained")
        for axes, name in zip(panels, FIGURES):
            _draw_curve(axes, history, name, "")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return plot_style.png(figure)


def draw_curve(history: Sequence[EpochRecord], name: str, opening: str, dark: bool) -> bytes:
    """Draws one of `FIGURES` over the epochs of a run.

    Args:
        history: At least one epoch.
        name: Which figure.
        opening: Name of the first layer of the backbone that trains, from epoch 0 on; empty: none does.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    with plot_style.style(dark):
        figure, axes = plt.subplots(figsize=plot_style.PANEL, layout="constrained")
        _draw_curve(axes, history, name, opening)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
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
    rows = np.stack([pictures, *versions])
    size = (1.4 * rows.shape[1], 1.4 * rows.shape[0] + 0.4)
    with plot_style.style(dark=False):
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        # Axes of its own for each picture would take longer than the pictures.
        axes.imshow(_side_by_side(rows))
        axes.set_axis_off()
        parts = (f"{name} {value:g}" for name, value in dataclasses.asdict(ranges).items() if value)
        figure.suptitle("top row: as stored; below: as training sees them\n" + (", ".join(parts) or "no augmentation"))
        return plot_style.png(figure)


def _side_by_side(rows: np.ndarray) -> np.ndarray:
    """Pictures in rows, on white; uint8, from [rows, pictures, height, width, 3] to [height, width, 3]."""
    gap = -(-rows.shape[2] // 20)
    framed = np.pad(rows, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    return np.concatenate(np.concatenate(framed, axis=1), axis=1)[:-gap, :-gap]


def draw_overlay(histories_of: Mapping[str, Sequence[EpochRecord]], name: str, dark: bool) -> bytes:
    """Draws one of `FIGURES`, of validation, of several runs over each other; each has at least one epoch.

    Args:
        histories_of: The epochs of each run by its name.
        name: Which figure.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    with plot_style.style(dark):
        figure, axes = plt.subplots(figsize=plot_style.PANEL, layout="constrained")
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
            axes.minorticks_off()
        _finish_curves(axes, name)
        axes.set_ylabel(f"validation {axes.get_ylabel()}")
        # Names of runs are long.
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return plot_style.png(figure)


def draw_rates(rates: Sequence[float], losses: Sequence[float], means: Sequence[float], suggested: float) -> bytes:
    """Draws the losses of steps over their learning rates.

    Args:
        rates: The rate of each step.
        losses: Its loss.
        means: The mean over the steps around it.
        suggested: The rate to take; 0: none.

    Returns:
        A PNG.
    """
    with plot_style.style(dark=False):
        figure, axes = plt.subplots(figsize=plot_style.PANEL, layout="constrained")
        axes.plot(rates, losses, ".", color=plot_style.COLOUR_OF_OTHERS, markersize=4, label="a step")
        axes.plot(rates, means, color=plot_style.COLOURS[0], label="mean of steps around")
        if suggested:
            axes.axvline(suggested, color="grey", linestyle=":", label=f"suggested: {suggested:.1e}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="log loss")
        axes.xaxis.set_major_formatter("{x:.0e}")
        axes.minorticks_off()
        # Beyond it are steps that diverge, which would leave the rest a line.
        axes.set_ylim(top=min(2.5 * means[0], axes.dataLim.y1 + _MARGIN * means[0]) or None)
        axes.grid(alpha=0.25)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
        return plot_style.png(figure)


def _draw_curve(axes: Axes, history: Sequence[EpochRecord], name: str, opening: str) -> None:
    epochs = [record.epoch for record in history]
    best = epoch_records.best_of(history)
    for prefix, title, colour in zip(("", "val_"), ("training", "validation"), plot_style.COLOURS):
        values = [getattr(record, prefix + name) for record in history]
        axes.plot(epochs, values, color=colour, marker="o", markersize=4, label=title)
    axes.axvline(best.epoch, color="grey", linestyle=":", label=f"best epoch: {best.epoch}")
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
    if opening:
        axes.axvline(0, color="grey", linestyle="--", linewidth=1, label=f"layers from {opening} open")
    _finish_curves(axes, name)


def _finish_curves(axes: Axes, name: str) -> None:
    axes.set(xlabel="epoch (0: the model before its epochs)", ylabel="log loss" if name == "loss" else "accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    if name == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if axes.get_yscale() == "linear":
        _frame(axes, name)


def _frame(axes: Axes, name: str) -> None:
    """Gives the y axis limits at some distance from the curves, and ticks where there may be values."""
    most = 1.0 if name == "accuracy" else np.inf
    low, high = axes.dataLim.intervaly
    if not np.isfinite([low, high]).all():
        return
    least = _LEAST_SPAN[name] * max(high, _LEAST_SPAN[name])
    if high - low < least:
        middle = (low + high) / 2
        low, high = middle - least / 2, middle + least / 2
        high, low = min(high, max(most, middle)), max(low, 0.0)
    margin = _MARGIN * (high - low)
    axes.set_ylim(low - margin, high + margin)
    # No such value exists beyond them, though the frame does.
    axes.set_yticks([tick for tick in axes.get_yticks() if max(low - margin, 0) <= tick <= min(high + margin, most)])
