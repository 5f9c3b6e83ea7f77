"""Training steps through the pipeline, on a batch that stays in memory, and without augmentation: what each costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dogcat import manifest, runtime, shards
from dogcat.training_options import TrainingOptions
from tools import benchmark_rounds as rounds
from tools.benchmark_peers import Work


def contestants(tfrecords: Path, steps: int) -> list[rounds.Contestant]:
    """The pipeline, and its limits; all in this process, the first two by the same compiled step.

    Args:
        tfrecords: A data set of two classes, at least one batch of pictures.
        steps: Steps of each run.
    """
    runtime.prepare()
    import tensorflow as tf
    from tensorflow import keras

    from dogcat import devices, pipeline, readers
    from dogcat import model as models
    from dogcat.distribution import distribute
    from dogcat.trainer import Trainer

    given = {"preset": "best", "tfrecords": str(tfrecords), "weights": "none"}
    options = TrainingOptions.from_given({**given, "augment": "source"})
    bare = TrainingOptions.from_given({**given, "augment": "none", "flip": 0.0})
    data = manifest.load(tfrecords)
    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    strategy = devices.make_strategy("auto")
    with strategy.scope():
        model = models.build_model(options.backbone, data.image_size, len(data.classes))
        models.open_layers(model, models.find_layer(models.backbone_of(model), options.unfreeze_from))
    trainer, bare_trainer = (Trainer(model, strategy, of_either, steps=10**6) for of_either in (options, bare))
    reader = readers.open_split(tfrecords, data, shards.TRAIN)
    in_epoch = pipeline.steps_in_epoch(data.splits[shards.TRAIN], options.batch_size)
    batches = distribute(
        strategy,
        lambda context: pipeline.train_dataset(reader, options.batch_size, in_epoch, options.seed, context=context),
    )
    first = next(batches)
    for each in (trainer, bare_trainer):
        # Traces and compiles.
        each.step(first, 0, 0).numpy()

    def run(trainer: Trainer, source: Iterable[Any]) -> Work:
        started = time.perf_counter()
        for step, batch in enumerate(source):
            sums = trainer.step(batch, 0, step)
        # The last step is done when its result is here.
        sums.numpy()
        seconds = time.perf_counter() - started
        return Work(steps * options.batch_size, 0, seconds, tf.__version__)

    def from_pipeline() -> Work:
        return run(trainer, itertools.islice(batches, steps))

    def from_memory(trainer: Trainer) -> Work:
        return run(trainer, itertools.repeat(first, steps))

    return [
        rounds.Contestant("pipeline", "through the pipeline", "TensorFlow", from_pipeline, ours=True),
        rounds.Contestant("memory", "one batch in memory", "the limit", lambda: from_memory(trainer)),
        rounds.Contestant("bare", "the same, not augmented", "", lambda: from_memory(bare_trainer)),
    ]
