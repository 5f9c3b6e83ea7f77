"""Trying learning rates: steps of which each has a higher one, and what their losses say of the rate to take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dogcat.core import outputs, tables
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.progress import pictures_bar
from dogcat.loading import pipeline
from dogcat.models import architecture, linear_head, workers
from dogcat.models.distribution import distribute
from dogcat.training import plots
from dogcat.training.inputs import Inputs
from dogcat.training.optimizers import RISING_STEPS
from dogcat.training.preparation import Preparation

PLOT, TABLE = "learning_rates.png", "learning_rates.csv"
# Steps whose losses are averaged, half of them before and half behind: each has other pictures.
_WINDOW = 9
# Where the loss is this many times its lowest, higher rates tell nothing more.
_DIVERGED = 4.0
# Standard errors of the difference by which the lowest loss must be below that of the first, lowest rates.
_BEYOND_CHANCE = 3.0
# What is taken is below the rate of the lowest loss, at which training is at its limit already.
_BELOW_LOWEST = 10.0


def announce(folder: Path) -> None:
    """Tells what `find` does, for the worker that writes.

    Raises:
        InputError: Files of its names are in the way in the folder, or it cannot be written.
    """
    outputs.require_own(folder, (PLOT, TABLE))
    tell(f"no run: tries up to {RISING_STEPS} learning rates, a step each, and writes {folder / PLOT} and {TABLE}")


def find(prepared: Preparation, inputs: Inputs) -> None:
    """Tries rates from where the epochs of a run would begin, and writes their losses as a plot and a table.

    Raises:
        InputError: The first rates tell nothing.
    """
    options, writes = prepared.options, workers.is_chief(prepared.strategy)
    folder = Path(options.runs)
    if options.fits_head:
        examples = inputs.head_examples(options.feature_views)
        c = options.start_c or linear_head.head_c(len(inputs.training.labels))
        head = linear_head.fit_head(*examples, c, options.class_weights == "balanced")
        architecture.head_of(prepared.trainer.model).set_weights(head)
    losses = _losses(prepared, inputs)
    if len(losses) < _WINDOW:
        raise InputError(
            "--find_lr: the loss is not finite from the first steps on; look at the pictures and --init_from"
        )
    rates = [prepared.trainer.rate.of(step) for step in range(len(losses))]
    means, suggested = smoothed(losses), suggest(rates, losses)
    if not writes:
        return
    plot = plots.draw_rates(rates, losses, means, suggested)
    table = tables.as_csv(("learning_rate", "loss", "smoothed_loss"), zip(rates, losses, means))
    outputs.write(folder, {PLOT: plot, TABLE: table})
    tell(f"wrote {folder / PLOT} and {TABLE}: {len(losses)} steps at rates from {rates[0]:.0e} to {rates[-1]:.0e}")
    if suggested:
        tell(f"try --learning_rate={suggested:.1e}, a tenth of the rate with the lowest loss; see the plot")
    else:
        tell("no rate lowered the loss for sure; take one well below where the plot rises")


def _losses(prepared: Preparation, inputs: Inputs) -> list[float]:
    """The mean log loss of each step before it, up to where they are beyond all that is wanted."""
    options = prepared.options
    order = pipeline.TrainingOrder(options.batch_size, prepared.steps, options.seed, options.shuffle_block)
    batches = distribute(
        prepared.strategy, lambda context: pipeline.train_dataset(inputs.training, order, pipeline.BEGINNING, context)
    )
    losses: list[float] = []
    with pictures_bar(RISING_STEPS * options.batch_size, "trying learning rates") as bar:
        for step in range(RISING_STEPS):
            sums = prepared.trainer.step(next(batches), *divmod(step, prepared.steps))
            loss = float(sums[0]) / options.batch_size
            if not np.isfinite(loss):
                break
            losses.append(loss)
            bar.update(options.batch_size)
            recent = losses[-_WINDOW // 2 :]
            if len(losses) > _WINDOW and np.mean(recent) > _DIVERGED * min(smoothed(losses)):
                break
    return losses


def smoothed(losses: Sequence[float]) -> list[float]:
    """Means over the steps around each, fewer at both ends."""
    half = _WINDOW // 2
    return [float(np.mean(losses[max(0, step - half) : step + half + 1])) for step in range(len(losses))]


def suggest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The rate to take; 0 where no rate has lowered the loss by more than other pictures do."""
    means = smoothed(losses)
    lowest = int(np.argmin(means))
    first, around = losses[:_WINDOW], losses[max(0, lowest - _WINDOW // 2) :][:_WINDOW]
    chance = _BEYOND_CHANCE * np.sqrt((np.var(first) + np.var(around)) / _WINDOW)
    return rates[lowest] / _BELOW_LOWEST if means[lowest] < np.mean(first) - chance else 0.0
