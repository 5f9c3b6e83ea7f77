"""Training steps through the pipeline and on a batch that stays in memory, and augmentation alone: what each costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dogcat.core import runtime
from dogcat.dataset import manifest, shard_plan
from dogcat.training.options import TrainingOptions

from . import rounds
from .peer_writers import Work


def contestants(tfrecords: Path, steps: int) -> list[rounds.Contestant]:
    """Steps through the pipeline, the same on one batch, and the part of a step that augments; all in this process.

    Args:
        tfrecords: A data set of two classes, at least one batch of pictures.
        steps: Steps of each run.
    """
    runtime.prepare()
    import tensorflow as tf
    from tensorflow import keras

    from dogcat.loading import pipeline, readers
    from dogcat.models import architecture, devices
    from dogcat.models.distribution import distribute
    from dogcat.training import augment
    from dogcat.training.step import Trainer

    options = TrainingOptions.from_given(
        {"preset": "best", "tfrecords": str(tfrecords), "weights": "none", "augment": "source"}
    )
    data = manifest.load(tfrecords, shard_plan.TRAIN)
    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    strategy = devices.make_strategy("auto")
    with strategy.scope():
        model = architecture.build_model(options.backbone, data.image_size, len(data.classes))
        architecture.open_layers(model, architecture.find_layer(architecture.backbone_of(model), options.unfreeze_from))
    trainer = Trainer(model, strategy, options, steps=10**6)
    training = readers.open_split(tfrecords, data, shard_plan.TRAIN)
    in_epoch = pipeline.steps_in_epoch(data.splits[shard_plan.TRAIN], options.batch_size)
    order = pipeline.TrainingOrder(options.batch_size, in_epoch, options.seed)
    batches = distribute(strategy, lambda context: pipeline.train_dataset(training, order, context=context))
    first = next(batches)

    @tf.function
    def augmented(pictures: tf.Tensor, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        seed = augment.seed_of(options.seed, epoch, step, 0)
        return strategy.run(lambda share: augment.apply(share, options.augmentation, seed), (pictures,))

    def augment_only(batch: tuple[tf.Tensor, tf.Tensor], epoch: int, step: int) -> tf.Tensor:
        pictures, _ = batch
        shares = strategy.experimental_local_results(augmented(pictures, tf.constant(epoch), tf.constant(step)))
        return shares[-1][0, 0, 0]

    def run(step_of: Callable[[Any, int, int], tf.Tensor], source: Iterable[Any]) -> Work:
        started = time.perf_counter()
        for step, batch in enumerate(source):
            result = step_of(batch, 0, step)
        # The last step is done when its result is here.
        result.numpy()
        seconds = time.perf_counter() - started
        return Work(steps * options.batch_size, 0, seconds, tf.__version__)

    def from_memory(step_of: Callable[[Any, int, int], tf.Tensor]) -> Work:
        return run(step_of, itertools.repeat(first, steps))

    for step_of in (trainer.step, augment_only):
        # Traces and compiles.
        step_of(first, 0, 0).numpy()
    return [
        rounds.Contestant(
            "pipeline",
            "through the pipeline",
            "TensorFlow",
            lambda: run(trainer.step, itertools.islice(batches, steps)),
            ours=True,
        ),
        rounds.Contestant("memory", "one batch in memory", "the limit", lambda: from_memory(trainer.step)),
        rounds.Contestant("augmentation", "augmenting alone", "", lambda: from_memory(augment_only), ours=True),
    ]
