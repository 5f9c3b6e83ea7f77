"""A training run: head on frozen features, then open layers, best model kept."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

import dogcat
from dogcat import (
    augment,
    devices,
    evaluation,
    features,
    manifest,
    pipeline,
    records,
    shards,
    weights,
)
from dogcat import model as models
from dogcat.backbones import BACKBONES
from dogcat.callbacks import EpochEnd, RunRecorder, print_epoch
from dogcat.config import InputError, TrainingOptions
from dogcat.history import EpochRecord


class AugmentingTrainer(keras.Model):
    """Trains a model's logits on augmented pictures; evaluates on pictures as they are.

    Augmentation runs inside the training step, so on the model's device. Its parameters follow from
    (seed, step, replica).
    """

    def __init__(self, model: keras.Model, batch_size: int, seed: int) -> None:
        """Takes a model of `models.build_model`, the global batch size and the seed."""
        super().__init__()
        self._logits = models.logits_model(model)
        self._batch_size = batch_size
        self._seed = seed
        self._loss_metric = keras.metrics.Mean("loss")
        self._accuracy_metric = keras.metrics.Mean("accuracy")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Log loss and accuracy; Keras resets them at each epoch."""
        return [self._loss_metric, self._accuracy_metric]

    def call(self, pictures: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Logits, float32 [batch, 1 or classes]."""
        return self._logits(pictures, training=training)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """One step on this replica's share of (pictures, labels)."""
        pictures, labels = data
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replicas = self.distribute_strategy.num_replicas_in_sync
        draw = tf.cast(self.optimizer.iterations, tf.int64) * replicas
        seed = tf.stack([tf.constant(self._seed, tf.int64), draw + tf.cast(replica, tf.int64)])
        parameters = augment.draw(pictures.shape[0], seed)
        pictures = augment.warp(pictures, parameters)
        with tf.GradientTape() as tape:
            losses, right = self._log_losses(pictures, labels, training=True)
            # Gradients of the replicas are added up, so each loss is divided by the whole batch.
            loss = tf.reduce_sum(losses) / self._batch_size
        # Under float16 the optimizer scales the loss.
        self.optimizer.minimize(loss, self._logits.trainable_variables, tape=tape)
        return self._measure(losses, right, tf.ones_like(losses))

    def test_step(self, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Measures (pictures, labels, weights); padding has the weight 0 and counts nowhere."""
        pictures, labels, sample_weights = data
        losses, right = self._log_losses(pictures, labels, training=False)
        return self._measure(losses, right, sample_weights)

    def _log_losses(self, pictures: tf.Tensor, labels: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Log loss of each picture, float32 [batch], and whether its most probable class is right, bool [batch]."""
        logits = self._logits(pictures, training=training)
        if logits.shape[1] == 1:
            logits = logits[:, 0]
            losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, tf.float32), logits)
            return losses, (logits > 0) == (labels == 1)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return losses, tf.argmax(logits, axis=1, output_type=labels.dtype) == labels

    def _measure(self, losses: tf.Tensor, right: tf.Tensor, sample_weights: tf.Tensor) -> dict[str, tf.Tensor]:
        self._loss_metric.update_state(losses, sample_weights)
        self._accuracy_metric.update_state(right, sample_weights)
        return {metric.name: metric.result() for metric in self.metrics}


class _ShareStatistics(keras.callbacks.Callback):
    """Gives every replica the mean of all replicas' BatchNorm statistics before validation.

    Each replica collects its own while it trains, and the mean is what a saved model gets: so the model that is
    measured is the one that is saved.
    """

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.model.set_weights(self.model.get_weights())


def train(options: TrainingOptions) -> Path:
    """Trains as the options say.

    Returns:
        The run's folder.

    Raises:
        InputError: The data set, the model or a layer's name cannot be used, or training diverged.
    """
    data = manifest.load(Path(options.tfrecords))
    steps = _check_data(data, options)
    policy, reason = devices.choose_precision(options.precision)
    keras.mixed_precision.set_global_policy(policy)
    strategy = devices.make_strategy(options.strategy)
    _check_batch(options, strategy)
    with strategy.scope():
        model, source = _initial_model(options, data)
        first_open = models.find_layer(models.backbone_of(model), options.unfreeze_from)
        models.open_layers(model, first_open)
    print(f"data: {options.tfrecords}, {_counts(data)}")
    print(f"start: {source}")
    print(f"device: {devices.describe(strategy)}; {policy}, since {reason}")

    folder = _make_run_folder(options)
    recorder = RunRecorder(folder, model, _describe(options, data))
    try:
        _write_config(folder, options, data, policy, strategy)
        with pipeline.naming_damaged_shards(Path(options.tfrecords), data):
            first = _before_epochs(options, data, model, strategy)
            recorder.add(first)
            print_epoch(first, is_best=True)
            _point_latest_to(folder)
            if options.epochs:
                print(f"training: {_what_trains(model, first_open)}; {steps} steps an epoch")
                _fit(options, data, model, strategy, recorder, steps)
    except BaseException:
        if not recorder.history:
            shutil.rmtree(folder)
        raise
    best = recorder.best
    print(f"best: epoch {best.epoch}, validation log loss {best.val_loss:.4f}, accuracy {best.val_accuracy:.2%}")
    return folder


def _check_data(data: manifest.Manifest, options: TrainingOptions) -> int:
    """Raises InputError for data that this trainer cannot use; returns the steps in an epoch."""
    if len(data.classes) < 2:
        raise InputError(
            f"{options.tfrecords} has {len(data.classes)} classes ({', '.join(data.classes)}); training needs two"
        )
    backbone = BACKBONES[options.backbone]
    if data.image_size < backbone.smallest_image:
        raise InputError(
            f"{options.tfrecords} has pictures of {data.image_size} pixels; {options.backbone} takes "
            f"{backbone.smallest_image} or more: make it with --image_size={backbone.image_size}"
        )
    if not data.splits[shards.VALIDATION].pictures:
        raise InputError(f"{options.tfrecords} has no validation pictures; make it with --validation above 0")
    training = data.splits[shards.TRAIN]
    for name, count in zip(data.classes, training.counts):
        if not count:
            raise InputError(f"{options.tfrecords} has no training picture of {name}; leave the class out or add some")
    steps = pipeline.steps_in_epoch(training, options.batch_size)
    if options.epochs and not steps:
        raise InputError(
            f"--batch_size={options.batch_size}: the training split has {training.pictures} "
            "pictures, less than one batch; use a smaller one"
        )
    return steps


def _check_batch(options: TrainingOptions, strategy: tf.distribute.Strategy) -> None:
    replicas = strategy.num_replicas_in_sync
    if options.batch_size % replicas:
        raise InputError(
            f"--batch_size={options.batch_size}: does not divide between {replicas} replicas; "
            f"use a multiple of {replicas}"
        )


def _initial_model(options: TrainingOptions, data: manifest.Manifest) -> tuple[keras.Model, str]:
    """The model to start from, and where it is from, for a person."""
    if not options.init_from:
        model = models.build_model(options.backbone, data.image_size, len(data.classes))
        return model, weights.load(models.backbone_of(model), options.backbone, options.weights)
    path = models.find_file(options.init_from, "init_from")
    model, description = models.load(path)
    wanted = _describe(options, data)
    # Training undoes a calibration.
    if dataclasses.replace(description, temperature=1.0) != wanted:
        raise InputError(
            f"--init_from={options.init_from}: is {_say(description)}; data set and --backbone ask for {_say(wanted)}: "
            "give a model of the same"
        )
    return model, str(path)


def _describe(options: TrainingOptions, data: manifest.Manifest) -> models.Description:
    return models.Description(data.classes, data.image_size, data.resize, options.backbone)


def _say(description: models.Description) -> str:
    classes = ", ".join(description.classes)
    return f"{description.backbone} for {classes} at {description.image_size} pixels ({description.resize})"


def _before_epochs(
    options: TrainingOptions,
    data: manifest.Manifest,
    model: keras.Model,
    strategy: tf.distribute.Strategy,
) -> EpochRecord:
    """Fits the head, unless the model comes with one, and validates: epoch 0 of the history.

    A fresh head on layers that train would wreck them with its first gradients.
    """
    started = time.perf_counter()
    with strategy.scope():
        to_features = models.features_model(model)
    folder = Path(options.tfrecords)
    computed = {}
    wanted = [shards.VALIDATION] if options.init_from else [shards.TRAIN, shards.VALIDATION]
    for split in wanted:
        dataset = pipeline.evaluation_dataset(folder, data, split, options.batch_size)
        pictures = data.splits[split].pictures
        computed[split] = models.forward(to_features, dataset, pictures, strategy, f"features, {split}")
    forward_seconds = time.perf_counter() - started
    labels = {split: pipeline.read_labels(folder, data, split) for split in wanted}
    head = models.head_of(model)
    if not options.init_from:
        head.set_weights(features.fit_head(computed[shards.TRAIN], labels[shards.TRAIN]))
    logits = features.apply_head(computed[shards.VALIDATION], *head.get_weights())
    return EpochRecord(
        epoch=0,
        loss=math.nan,
        accuracy=math.nan,
        val_loss=evaluation.log_loss_of_logits(labels[shards.VALIDATION], logits),
        val_accuracy=evaluation.accuracy(labels[shards.VALIDATION], logits),
        learning_rate=math.nan,
        seconds=time.perf_counter() - started,
        pictures_per_second=sum(map(len, computed.values())) / forward_seconds,
    )


def _fit(
    options: TrainingOptions,
    data: manifest.Manifest,
    model: keras.Model,
    strategy: tf.distribute.Strategy,
    recorder: RunRecorder,
    steps: int,
) -> None:
    folder = Path(options.tfrecords)
    with strategy.scope():
        trainer = AugmentingTrainer(model, options.batch_size, options.seed)
        # The step measures for itself; said to Keras, which would warn that weights reach no metric.
        trainer.compile(optimizer=_make_optimizer(options), weighted_metrics=[])
    trainer.fit(
        pipeline.train_dataset(folder, data, options.batch_size, options.seed),
        epochs=options.epochs,
        steps_per_epoch=steps,
        validation_data=pipeline.evaluation_dataset(folder, data, shards.VALIDATION, options.batch_size),
        verbose=0,
        callbacks=[
            EpochEnd(recorder, options.batch_size, options.epochs, steps, options.patience),
            keras.callbacks.TensorBoard(recorder.folder / "tensorboard", write_graph=False),
            keras.callbacks.TerminateOnNaN(),
            _ShareStatistics(),
        ],
    )
    if not math.isfinite(recorder.history[-1].loss) and len(recorder.history) > 1:
        raise InputError(
            f"--learning_rate={options.learning_rate}: the loss became {recorder.history[-1].loss}; use a lower rate "
            f"(the best model before is in {recorder.folder})"
        )
    if recorder.history[-1].epoch < options.epochs:
        print(f"stopped: no lower validation loss for {options.patience} epochs")


def _make_optimizer(options: TrainingOptions) -> keras.optimizers.Optimizer:
    if options.optimizer == "sgd":
        return keras.optimizers.SGD(options.learning_rate, momentum=options.momentum)
    return keras.optimizers.Adam(options.learning_rate)


def _make_run_folder(options: TrainingOptions) -> Path:
    """Makes runs/<time>-<what>, with a number behind where two runs begin in the same second."""
    latest = Path(options.runs) / "latest"
    if latest.exists() and not latest.is_symlink():
        raise InputError(f"{latest} is in the way of the link to the last run; move it, or give another --runs")
    what = f"from-{options.unfreeze_from}" if options.unfreeze_from else "head"
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for ending in ("", *(f"-{number}" for number in range(2, 100))):
        folder = Path(options.runs) / f"{now}-{options.backbone}-{what}-{options.optimizer}{ending}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise InputError(f"--runs={options.runs}: has 99 runs of this second; start again")


def _point_latest_to(folder: Path) -> None:
    """Makes runs/latest a link to the run, by a rename."""
    link = folder.parent / "latest"
    temporary = folder.parent / ".latest"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(folder.name)
    os.replace(temporary, link)


def _write_config(
    folder: Path,
    options: TrainingOptions,
    data: manifest.Manifest,
    policy: str,
    strategy: tf.distribute.Strategy,
) -> None:
    """Writes what the run was made with, and on what."""
    config = {
        "options": dataclasses.asdict(options),
        "precision": policy,
        "device": devices.describe(strategy),
        "replicas": strategy.num_replicas_in_sync,
        "classes": data.classes,
        "data_digest": data.digest(),
        "versions": {"dogcat": dogcat.__version__, "tensorflow": tf.__version__},
    }
    text = json.dumps(config, indent=2) + "\n"
    records.write_atomically(folder / "config.json", text.encode())


def _counts(data: manifest.Manifest) -> str:
    return ", ".join(f"{part.pictures} for {name}" for name, part in data.splits.items())


def _what_trains(model: keras.Model, first_open: int) -> str:
    backbone = models.backbone_of(model)
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_weights)
    if first_open == len(backbone.layers):
        return f"the head alone ({count:,} weights)"
    name = backbone.layers[first_open].name
    return f"the head and {backbone.name} from layer {first_open}, {name} ({count:,} weights)"
