"""What trials of recipes come to: each compared with the first, picture by picture, as a table, a CSV and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dogcat.core import plot_style, tables
from dogcat.evaluation import bootstrap
from dogcat.evaluation.bootstrap import Interval

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from .trials import Losses

_RESAMPLES = 2000


class Judged(NamedTuple):
    """A recipe and a view on so many pictures.

    Attributes:
        recipe: Name of the recipe.
        view: What the model is shown of a picture, a value of --tta.
        pictures: Pictures that were drawn to train and validate.
        seeds: Log loss of each seed's model.
        accuracy: Share of the pictures that are right, mean over the seeds.
        seconds: Training time of each seed's model.
        difference: Log loss less that of the first recipe and view, mean over the seeds, which are paired.
    """

    recipe: str
    view: str
    pictures: int
    seeds: list[float]
    accuracy: float
    seconds: list[float]
    difference: Interval

    @property
    def log_loss(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.seeds))


def judge(trial: tuple[str, str, int], of_seeds: list[Losses], first: list[Losses], seconds: list[float]) -> Judged:
    """Compares the models of some seeds with those of the first recipe on the same draws.

    The interval tells how much the difference would vary on other pictures to judge by; how much it varies over draws
    and seeds, the figures of the seeds tell.

    Args:
        trial: Recipe, view, number of pictures.
        of_seeds: What the model of each seed comes to.
        first: The same of the first recipe and view.
        seconds: Training time of each.
    """
    differences = np.mean([some.log_losses - other.log_losses for some, other in zip(of_seeds, first)], axis=0)
    return Judged(
        *trial,
        [float(some.log_losses.mean()) for some in of_seeds],
        float(np.mean([some.right.mean() for some in of_seeds])),
        seconds,
        bootstrap.mean_interval(differences, _RESAMPLES, seed=0),
    )


def table(judged: Sequence[Judged], judge_pictures: int) -> str:
    """The table, in Markdown."""
    first = judged[0]
    compared = len({(each.recipe, each.view) for each in judged})
    lines = [
        f"Mean log loss on {judge_pictures:,} pictures that had no part in training; {compared} variants compared. "
        f"Differences to {first.recipe} with --tta={first.view}, paired, with 95% intervals by bootstrap.",
        "",
        "| pictures | recipe | --tta | log loss | of each seed | accuracy | difference | | training |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in judged:
        seeds = ", ".join(f"{loss:.4f}" for loss in each.seeds)
        lines.append(
            f"| {each.pictures:,} | {each.recipe} | {each.view} | {each.log_loss:.4f} | {seeds} | {each.accuracy:.2%} "
            f"| {_difference(each.difference)} | {verdict(each)} | {np.mean(each.seconds):,.0f} s |"
        )
    return "\n".join(lines) + "\n"


def verdict(judged: Judged) -> str:
    """Better or worse than the first, or nothing that the pictures tell; empty for the first itself."""
    difference = judged.difference
    if not difference.is_known:
        return ""
    if not difference.excludes_zero:
        return "not told apart"
    return "better" if difference.value < 0 else "worse"


def _difference(interval: Interval) -> str:
    if not interval.is_known:
        return "-"
    return f"{interval.value:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"


def as_csv(judged: Sequence[Judged]) -> bytes:
    """A line for each variant and number of pictures."""
    columns = ("pictures", "recipe", "tta", "log_loss", "accuracy", "difference", "low", "high", "seconds")
    return tables.as_csv(
        columns,
        (
            [each.pictures, each.recipe, each.view]
            + [f"{value:.6g}" for value in (each.log_loss, each.accuracy, *each.difference, np.mean(each.seconds))]
            for each in judged
        ),
    )


def draw(judged: Sequence[Judged], judge_pictures: int) -> bytes:
    """Draws the losses over the number of training pictures, and the differences with their intervals, as PNG."""
    with plot_style.style(dark=False):
        return plot_style.png(_figure(judged, judge_pictures))


def _figure(judged: Sequence[Judged], judge_pictures: int) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    names = list(dict.fromkeys((each.recipe, each.view) for each in judged))
    sizes = sorted({each.pictures for each in judged})
    for number, name in enumerate(names):
        mine = [each for each in judged if (each.recipe, each.view) == name]
        label = f"{name[0]}, --tta={name[1]}"
        colour = plot_style.COLOURS[number % len(plot_style.COLOURS)]
        dashes = "-" if number < len(plot_style.COLOURS) else "--"
        left.plot(
            [each.pictures for each in mine],
            [each.log_loss for each in mine],
            dashes,
            marker="o",
            color=colour,
            label=label,
        )
        for each in mine:
            left.plot([each.pictures] * len(each.seeds), each.seeds, ".", color=colour, alpha=0.5)
        if number:
            places = [sizes.index(each.pictures) + (number - len(names) / 2) * 0.6 / (len(names) - 1) for each in mine]
            values = np.array([each.difference.value for each in mine])
            ends = np.array([[each.difference.low, each.difference.high] for each in mine]).T
            right.errorbar(places, values, np.abs(ends - values), fmt="o", color=colour, capsize=3, label=label)
    left.set_xscale("log")
    left.set_xticks(sizes, [f"{size:,}" for size in sizes])
    left.minorticks_off()
    left.set_ylim(bottom=0)
    left.set_xlabel("pictures to train and validate")
    left.set_ylabel(f"log loss on {judge_pictures:,} others")
    left.set_title("Points are seeds, lines their means")
    left.legend(fontsize=plot_style.LEGEND_POINTS)
    right.axhline(0, color=plot_style.COLOUR_OF_OTHERS, linewidth=1)
    right.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    right.set_xlabel("pictures to train and validate")
    right.set_ylabel(f"difference to {names[0][0]}, --tta={names[0][1]}")
    right.set_title("Better where the whole interval is below 0")
    return figure
