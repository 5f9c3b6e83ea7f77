"""Plots of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: E402

from dogcat.history import EpochRecord  # noqa: E402
from dogcat.training_options import AugmentationRanges  # noqa: E402


def draw_curves(history: Sequence[EpochRecord], path: Path) -> None:
    """Draws loss and accuracy over the epochs, for training and validation, the best epoch marked.

    Args:
        history: At least one epoch; epoch 0 is the model before its layers were opened, which has no
            training figures.
        path: The PNG to write.
    """
    epochs = [record.epoch for record in history]
    best = min(history, key=lambda record: record.val_loss)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, name, label in ((left, "loss", "log loss"), (right, "accuracy", "accuracy")):
        for prefix, title, colour in (
            ("", "training", "tab:blue"),
            ("val_", "validation", "tab:orange"),
        ):
            values = [getattr(record, prefix + name) for record in history]
            # A curve of a single epoch has no line: its points must be seen.
            axes.plot(epochs, values, color=colour, marker="o", markersize=4, label=title)
        axes.axvline(best.epoch, color="grey", linestyle=":", label=f"best epoch: {best.epoch}")
        axes.set_xlabel("epoch (0: before opening layers)" if epochs[0] == 0 else "epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if name == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.set_ylim(top=1 + 0.05 * (1 - axes.get_ylim()[0]))
        axes.legend()
    figure.suptitle(f"validation log loss {best.val_loss:.4f}, accuracy {best.val_accuracy:.2%}")
    save_figure(figure, path)


def draw_augmented(
    pictures: np.ndarray, versions: Sequence[np.ndarray], ranges: AugmentationRanges, path: Path
) -> None:
    """Draws pictures and, below each, what augmentation makes of it.

    Args:
        pictures: uint8 [pictures, height, width, 3], as they are stored.
        versions: At least one augmented batch of the same pictures, of the same type and shape.
        ranges: What the versions were drawn from.
        path: The PNG to write.
    """
    rows = [pictures, *versions]
    size = (1.4 * len(pictures), 1.4 * len(rows) + 0.4)
    figure, grid = plt.subplots(len(rows), len(pictures), figsize=size, layout="constrained", squeeze=False)
    for axes, picture in zip(grid.flat, np.concatenate(rows)):
        axes.imshow(picture)
        axes.set_axis_off()
    parts = (f"{name} {value:g}" for name, value in dataclasses.asdict(ranges).items() if value)
    figure.suptitle("top row: as stored; below: as training sees them\n" + (", ".join(parts) or "no augmentation"))
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as a picture, whole or not at all, and closes it."""
    temporary = path.with_name("." + path.name)
    figure.savefig(temporary, dpi=120)
    plt.close(figure)
    temporary.replace(path)
