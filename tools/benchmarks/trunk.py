"""Training steps on what the frozen trunk gave once, and steps that compute the trunk each time."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from dogcat.core import runtime
from dogcat.dataset import shard_plan
from dogcat.training.options import TrainingOptions

from . import rounds
from .peer_writers import Work

# The layers of Xception that the usual runs train from.
_BORDERS = ("96", "116")
# Batches of training pictures whose output is kept: what lies beside them in memory is no matter to a step.
_BATCHES = 4


def measure(
    tfrecords: Path, steps: int, number: int, backbone: str = "xception", borders: tuple[str, ...] = _BORDERS
) -> rounds.Outcome:
    """Measures steps on what is kept in memory beside whole ones, through the pipeline, all in this process.

    Args:
        tfrecords: A data set of two classes, at least one batch of pictures.
        steps: Steps of each run.
        number: Number of rounds.
        backbone: Name of the backbone.
        borders: First layers that train.
    """
    runtime.prepare()
    contestants = [
        _contestant(tfrecords, steps, backbone, border, where) for border in borders for where in ("memory", "off")
    ]
    measured = rounds.measure(contestants, number, lambda work, ours: None)
    groups = [
        rounds.Group(f"trained from layer {border}", rounds.compared([kept, whole]), "kept / it")
        for border, kept, whole in zip(borders, measured.results[::2], measured.results[1::2])
    ]
    conclusions = [
        f"{group.title}: {rounds.Figure.of(group.results[1].ratios)} times as fast on kept output." for group in groups
    ]
    about = f"{steps} steps of {backbone} a run, {number} rounds"
    return rounds.Outcome(about, groups, conclusions, measured.left_out)


def _contestant(tfrecords: Path, steps: int, backbone: str, border: str, where: str) -> rounds.Contestant:
    import tensorflow as tf

    from dogcat.loading import pipeline, readers
    from dogcat.models import devices
    from dogcat.models.distribution import distribute
    from dogcat.training import preparation

    recipe = {"preset": "best", "weights": "none", "backbone": backbone, "unfreeze_from": border, "cache_trunk": where}
    options = TrainingOptions.from_given({**recipe, "tfrecords": str(tfrecords)})
    strategy = devices.make_strategy("auto")
    data = preparation.load_data(options, strategy).limited(_BATCHES * options.batch_size)
    prepared = preparation.prepare(options, strategy, data)
    trainer = prepared.trainer
    sources = {split: readers.open_split(tfrecords, data, split) for split in data.splits}
    kept = prepared.trunk.keep(sources, options.epochs) if prepared.trunk else None
    if kept:
        trainer.skip_trunk(kept.split)
    order = pipeline.TrainingOrder(options.batch_size, prepared.steps, options.seed)
    views = kept.training if kept else None
    batches = distribute(
        strategy,
        lambda context: pipeline.train_dataset(sources[shard_plan.TRAIN], order, context=context, views=views),
    )

    def run() -> Work:
        started = time.perf_counter()
        for step, batch in enumerate(itertools.islice(batches, steps)):
            result = trainer.step(batch, 0, step)
        # The last step is done when its result is here.
        result.numpy()
        return Work(steps * options.batch_size, 0, time.perf_counter() - started, tf.__version__)

    # Traces and compiles.
    trainer.step(next(batches), 0, 0).numpy()
    title = f"from {border}, " + ("trunk kept" if kept else "whole steps")
    return rounds.Contestant(f"{'kept' if kept else 'whole'}-{border}", title, "", run, ours=True)
