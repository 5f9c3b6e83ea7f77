"""The loop of a run: the head, the epochs, validation after each; its state saved, so that it can go on."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat import augment, devices, evaluation, feature_cache, features, pipeline, report, runs, shards, state, weights
from dogcat import history as histories
from dogcat import model as models
from dogcat.config import AugmentationRanges, InputError, TrainingOptions
from dogcat.forward import Forward
from dogcat.history import EpochRecord
from dogcat.interrupts import Interrupts, Terminated
from dogcat.manifest import Manifest
from dogcat.pipeline import Position
from dogcat.progress import pictures_bar
from dogcat.runs import RunFolder
from dogcat.trainer import Trainer

# How often losses are fetched from the device, which holds up the next step; in seconds.
_SECONDS_BETWEEN_READS = 0.5
# Pictures in augmented.png, and versions of each.
_SHEET_PICTURES, _SHEET_VERSIONS = 6, 5
# Views of a picture for the head: as it is, mirrored, and from the third on augmented.
_PLAIN, _MIRRORED = 0, 1


class TrainingLoop:
    """A run and all it works with.

    Attributes:
        progress: How far it is.
    """

    def __init__(
        self, options: TrainingOptions, data: Manifest, steps: int, strategy: tf.distribute.Strategy, trainer: Trainer
    ) -> None:
        """Takes the options, the data set, the steps of an epoch, the strategy, and the trainer of its model."""
        self.progress = state.Progress()
        self._options = options
        self._data = data
        self._tfrecords = Path(options.tfrecords)
        self._steps = steps
        self._strategy = strategy
        self._trainer = trainer
        self._model = trainer.model
        self._variables = tf.train.Checkpoint(model=trainer.model, optimizer=trainer.optimizer)
        logits = models.logits_model(self._model)
        self._logits = Forward(lambda pictures, number: logits(pictures, training=False), strategy)
        self._validation_labels = pipeline.read_labels(self._tfrecords, data, shards.VALIDATION)
        self._validation_features: np.ndarray | None = None
        # Pictures of which features were computed, not found.
        self._passed = 0

    def run(self, folder: RunFolder) -> None:
        """Trains into `folder` from wherever its state is, to the end.

        Raises:
            InputError: The loss became infinite or not a number.
            Terminated, KeyboardInterrupt: The process was told to stop; the state is saved.
        """
        board = tf.summary.create_file_writer(str(folder.path / "tensorboard"))
        with Interrupts() as interrupts, board.as_default():
            before = state.load(folder.state, self._variables)
            if before:
                self.progress = before
                folder.write_history(before.history)
                print(f"resuming: {folder.path} at epoch {before.epoch + 1}, step {before.step + 1} of {self._steps}")
            else:
                self._record(folder, self._epoch_0())
                runs.point_links_to(folder.path, self._options)
                self._show_augmentation(folder)
            if not self._goes_on():
                return
            batches = iter(self._strategy.distribute_datasets_from_function(self._training_dataset))
            try:
                while self._goes_on():
                    self._train(folder, batches, interrupts)
                    record = self._validated()
                    with interrupts.deferred():
                        self._record(folder, record)
            except (Terminated, KeyboardInterrupt):
                interrupts.ignore()
                state.save(folder.state, self.progress, self._variables)
                raise
            finally:
                board.flush()

    def _goes_on(self) -> bool:
        progress = self.progress
        best = histories.best_of(progress.history)
        return progress.epoch < self._options.epochs and progress.epoch - best.epoch < self._options.patience

    def _epoch_0(self) -> EpochRecord:
        """Fits a new head, unless the epochs are to do that, and validates.

        A fresh head on layers that train would wreck them with its first gradients.
        """
        started = time.perf_counter()
        options = self._options
        if not options.init_from and options.head == "fit":
            views = [self._features(shards.TRAIN, view) for view in range(options.feature_views)]
            labels = np.tile(pipeline.read_labels(self._tfrecords, self._data, shards.TRAIN), len(views))
            with self._timed("head"):
                head = features.fit_head(np.concatenate(views), labels)
            models.head_of(self._model).set_weights(head)
        # The backbone is still what it was, so its features do, also where its layers are going to train.
        logits = self._frozen_validation_logits()
        forward_seconds = self.progress.stages.get("features", 0.0)
        return self._measured(
            logits,
            epoch=0,
            loss=math.nan,
            accuracy=math.nan,
            learning_rate=math.nan,
            seconds=time.perf_counter() - started,
            pictures_per_second=self._passed / forward_seconds if self._passed else math.nan,
            input_wait=math.nan,
        )

    def _frozen_validation_logits(self) -> np.ndarray:
        """Logits of the validation split, from features of a backbone that has not trained."""
        if self._validation_features is None:
            self._validation_features = self._features(shards.VALIDATION, _PLAIN)
        return features.apply_head(self._validation_features, *models.head_of(self._model).get_weights())

    def _features(self, split: str, view: int) -> np.ndarray:
        """The backbone's features of a split, float32 [pictures, channels], as it is now; from the cache, if there."""
        options, backbone = self._options, models.backbone_of(self._model)
        made_from = {
            "data": self._data.digest(),
            "split": split,
            "backbone": options.backbone,
            "weights": weights.digest(backbone.get_weights()),
            "precision": keras.mixed_precision.global_policy().name,
            "tensorflow": tf.__version__,
            "view": view,
        }
        if view > _MIRRORED:
            # What the draws follow from.
            made_from |= {
                "augmentation": dataclasses.asdict(options.augmentation),
                "seed": options.seed,
                "batches": [options.batch_size, self._strategy.num_replicas_in_sync],
            }
        folder = weights.cache_folder() / "features"
        kept = feature_cache.load(folder, made_from)
        if kept is not None:
            return kept
        to_features = models.features_model(self._model)
        number_of_view = tf.constant(-view, tf.int64)

        def run(pictures: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            if view == _MIRRORED:
                pictures = tf.reverse(pictures, [2])
            elif view > _MIRRORED:
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group
                # Below 0, where no epoch is.
                seed = augment.seed_of(options.seed, number_of_view, number, replica)
                pictures = augment.apply(pictures, options.augmentation, seed)
            return to_features(pictures, training=False)

        what = f"features, {split}" + (f", view {view + 1}" if view else "")
        with self._timed("features"):
            computed = self._over_split(Forward(run, self._strategy), split, what)
        self._passed += len(computed)
        if devices.is_chief(self._strategy):
            try:
                feature_cache.keep(folder, made_from, computed)
            except OSError as error:
                print(f"features are not kept for another run: {folder}: {error.strerror}")
        return computed

    def _over_split(self, forward: Forward, split: str, what: str) -> np.ndarray:
        return forward(
            lambda context: pipeline.evaluation_dataset(
                self._tfrecords, self._data, split, self._options.batch_size, context
            ),
            self._data.splits[split].pictures,
            what,
        )

    def _training_dataset(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        options = self._options
        return pipeline.train_dataset(
            self._tfrecords, self._data, options.batch_size, self._steps, options.seed, self.progress.position, context
        )

    def _train(self, folder: RunFolder, batches: Iterator[Any], interrupts: Interrupts) -> None:
        """Trains the steps that the epoch has left."""
        progress, options = self.progress, self._options
        # Of the steps since losses were last fetched: each one's position and sums, on the device.
        unread: list[tuple[Position, tf.Tensor]] = []
        fetched = saved = time.perf_counter()
        total = self._steps * options.batch_size
        with pictures_bar(total, f"epoch {progress.epoch + 1}/{options.epochs}") as bar:
            bar.update(progress.step * options.batch_size)
            while progress.step < self._steps:
                with interrupts.deferred():
                    started = time.perf_counter()
                    batch = next(batches)
                    waited = time.perf_counter() - started
                    if progress.position == pipeline.BEGINNING:
                        tf.summary.graph(self._trainer.graph(batch))
                    unread.append((progress.position, self._trainer.step(batch, *progress.position)))
                    progress.step += 1
                    due = time.perf_counter() - fetched > _SECONDS_BETWEEN_READS
                    if due or interrupts.came or progress.step == self._steps:
                        for position, sums in unread:
                            self._add_losses(folder, position, *sums.numpy().tolist())
                        unread.clear()
                        fetched = time.perf_counter()
                        mean = progress.loss_sum / (progress.step * options.batch_size)
                        bar.set_postfix_str(f"log loss {mean:.4f}", refresh=False)
                    progress.seconds += time.perf_counter() - started
                    progress.waited += waited
                    bar.update(options.batch_size)
                    # All workers would have to save at the same step, and their clocks differ.
                    may_save = not unread and not devices.is_multi_worker(self._strategy)
                    if may_save and time.perf_counter() - saved > 60 * options.save_minutes:
                        with self._timed("saving"):
                            state.save(folder.state, progress, self._variables)
                        saved = time.perf_counter()

    def _add_losses(self, folder: RunFolder, position: Position, loss_sum: float, right: float) -> None:
        """Adds a step's sums to those of the epoch.

        Raises:
            InputError: They are not finite.
        """
        options = self._options
        if not math.isfinite(loss_sum):
            keys = pipeline.keys_of_batch(
                self._tfrecords, self._data, options.batch_size, self._steps, options.seed, position
            )
            where = f"epoch {position.epoch + 1}, step {position.step + 1}"
            folder.write_batch(where, keys)
            raise InputError(
                f"--learning_rate={options.learning_rate}: the loss became {loss_sum} at {where}; use a lower rate, or "
                f"look at that step's pictures, {keys[0]} and those listed in {folder.path / runs.BATCH} (the best "
                "model before is in the same folder)"
            )
        self.progress.loss_sum += loss_sum
        self.progress.right += right

    def _validated(self) -> EpochRecord:
        """Validates the model after the last step of an epoch, and gives the epoch's record."""
        progress, options = self.progress, self._options
        started = time.perf_counter()
        if options.unfreeze_from:
            logits = self._over_split(self._logits, shards.VALIDATION, "validating")
        else:
            logits = self._frozen_validation_logits()
        validation_seconds = time.perf_counter() - started
        progress.add_time("validation", validation_seconds)
        progress.add_time("training", progress.seconds)
        progress.add_time("waiting for input", progress.waited)
        pictures = self._steps * options.batch_size
        return self._measured(
            logits,
            epoch=progress.epoch + 1,
            loss=progress.loss_sum / pictures,
            accuracy=progress.right / pictures,
            learning_rate=self._trainer.rate.of(self._steps * (progress.epoch + 1) - 1),
            seconds=progress.seconds + validation_seconds,
            pictures_per_second=pictures / progress.seconds,
            input_wait=progress.waited / progress.seconds,
        )

    def _measured(self, logits: np.ndarray, **figures: Any) -> EpochRecord:
        """A record with the figures of validation added."""
        return EpochRecord(
            val_loss=evaluation.log_loss_of_logits(self._validation_labels, logits),
            val_accuracy=evaluation.accuracy(self._validation_labels, logits),
            val_auc=evaluation.auc(self._validation_labels, logits),
            **figures,
        )

    def _record(self, folder: RunFolder, record: EpochRecord) -> None:
        """Takes an epoch: model, history and curves on disk, then the state that goes on after it."""
        with self._timed("saving"):
            history = [*self.progress.history, record]
            folder.add_epoch(history, self._model, description_of(self._options, self._data), self._options.keep)
            self.progress.next_epoch(record)
            state.save(folder.state, self.progress, self._variables)
        for name, value in histories.to_json(record).items():
            if value is not None and name != "epoch":
                tf.summary.scalar(name, value, step=record.epoch)
        print_epoch(record, record is histories.best_of(history))

    def _show_augmentation(self, folder: RunFolder) -> None:
        """Draws some pictures as training sees them: augmented.png, and for TensorBoard."""
        options = self._options
        if not options.epochs or options.augmentation == AugmentationRanges():
            return
        dataset = pipeline.evaluation_dataset(self._tfrecords, self._data, shards.TRAIN, _SHEET_PICTURES)
        pictures = next(iter(dataset))
        versions = [
            augment.apply(pictures, options.augmentation, augment.seed_of(options.seed, 0, step, 0))
            for step in range(_SHEET_VERSIONS)
        ]
        report.draw_augmented(
            pictures.numpy(),
            [version.numpy() for version in versions],
            options.augmentation,
            folder.path / "augmented.png",
        )
        tf.summary.image("augmented", versions[0], step=0, max_outputs=_SHEET_PICTURES)

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Adds the time of the block to that of a stage."""
        started = time.perf_counter()
        yield
        self.progress.add_time(stage, time.perf_counter() - started)


def description_of(options: TrainingOptions, data: Manifest) -> models.Description:
    """What a run's model is made for."""
    return models.Description(data.classes, data.image_size, data.resize, options.backbone)


def print_epoch(record: EpochRecord, is_best: bool) -> None:
    """Prints an epoch in a line."""
    parts = [f"epoch {record.epoch:2d}:"]
    if not math.isnan(record.loss):
        parts.append(f"log loss {record.loss:.4f}, accuracy {record.accuracy:.2%};")
    parts.append(f"validation log loss {record.val_loss:.4f}, accuracy {record.val_accuracy:.2%}")
    rate = "" if math.isnan(record.pictures_per_second) else f", {record.pictures_per_second:.1f} pictures/s"
    parts.append(f"({record.seconds:.0f} s{rate})")
    if is_best:
        parts.append("best so far")
    print(*parts)
