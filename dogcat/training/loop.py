"""The loop of a run: the head, the epochs, validation after each; its state saved, so that it can go on."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from dogcat.core import files
from dogcat.core.interrupts import Interrupts, Terminated
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.progress import duration, pictures_bar
from dogcat.dataset import shard_plan
from dogcat.evaluation import metrics
from dogcat.loading import pipeline
from dogcat.loading.fold_set import FoldSet
from dogcat.loading.pipeline import Position
from dogcat.models import architecture, linear_head, tta_views, workers
from dogcat.models.batch_runner import make_forward
from dogcat.training import augmented_sheet, checkpoint, epoch_records, preparation, run_folder
from dogcat.training.agreement import Agreement
from dogcat.training.augmentations import AugmentationRanges
from dogcat.training.board import Board
from dogcat.training.epoch_batches import EpochBatches
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.inputs import Inputs
from dogcat.training.preparation import Preparation
from dogcat.training.run_folder import RunFolder
from dogcat.training.step_curve import StepCurve
from dogcat.training.tracking import Tracking
from dogcat.training.trunk_cache import Part


class TrainingLoop:
    """A run and all it works with.

    Attributes:
        progress: How far it is.
    """

    def __init__(self, prepared: Preparation, inputs: Inputs, tracking: Tracking) -> None:
        """Takes what the run starts from, what it reads, and what its figures go to beside its folder."""
        options, strategy = prepared.options, prepared.strategy
        self.progress = checkpoint.Progress()
        self._options = options
        self._data = prepared.data
        self._order = pipeline.TrainingOrder(options.batch_size, prepared.steps, options.seed, options.shuffle_block)
        self._strategy = strategy
        self._batches = EpochBatches(options, self._order, strategy, inputs.training)
        self._trainer = prepared.trainer
        self._model = prepared.trainer.model
        self._variables = tf.train.Checkpoint(model=self._model, optimizer=prepared.trainer.optimizer)
        logits = architecture.logits_model(self._model)
        self._logits = make_forward(lambda pictures: logits(pictures, training=False), strategy)
        self._inputs = inputs
        self._training, self._validation, self._features_of, self._sources = inputs
        self._tracking = tracking
        self._curve = StepCurve(prepared.steps, options.batch_size, prepared.trainer.rate.of)
        self._trunk = prepared.trunk
        # What the epochs read of the two splits.
        self._views: pipeline.Views | None = None
        self._validated = self._validation
        self._validation_dataset: tf.data.Dataset | None = None
        self._validation_features: np.ndarray | None = None
        # Of the steps since losses were last fetched: each one's position and sums, on the device.
        self._unread: list[tuple[Position, tf.Tensor]] = []

    def run(self, folder: RunFolder) -> None:
        """Trains into `folder` from wherever its state is, to the end.

        Raises:
            InputError: The loss became infinite or not a number.
            Terminated, KeyboardInterrupt: The process was told to stop, or the data service gives nothing more; the
                state is saved, within an epoch unless a data service gave its pictures.
        """
        board = Board(folder.events)
        with Interrupts() as interrupts:
            resumed = self._resumed(folder)
            if not resumed or self._goes_on():
                self._keep_trunk()
            if not resumed:
                self._save_epoch(folder, board, *self._epoch_0())
                self._show_augmentation(folder, board)
            if not isinstance(self._data, FoldSet):
                run_folder.lead_to(folder.path, self._options)
            if not self._goes_on():
                return
            self._weaken_head()
            agreement = Agreement(self._strategy, interrupts, 60 * self._options.save_minutes)
            try:
                while self._goes_on():
                    self._train_epoch(folder, board, interrupts, agreement)
                    validated = self._validate(agreement)
                    with interrupts.deferred():
                        self._save_epoch(folder, board, *validated)
                        agreement.saved()
                        agreement.look_up()
            except (Terminated, KeyboardInterrupt):
                interrupts.ignore()
                self._read_losses(folder)
                if self._batches.know_what_is_left(self.progress.step):
                    checkpoint.save(folder.state, self.progress, self._variables)
                raise
            finally:
                board.flush()

    def _resumed(self, folder: RunFolder) -> bool:
        """Takes the state that the folder has, if it has one; says whether.

        Raises:
            InputError: The state is damaged, or not that of the other workers.
        """
        before = checkpoint.load(folder.state, self._variables)
        position = before.position if before else (-1, -1)
        if np.ptp(workers.make_gather(self._strategy)(position), axis=0).any():
            raise InputError(
                "--resume: the workers would go on from different steps of the run; let --runs be the same folder for "
                "all of them"
            )
        if not before:
            return False
        self.progress = before
        folder.write_history(before.history)
        done = f"{before.step} of {self._order.steps} steps are done"
        tell(f"resuming: {folder.path} in epoch {before.epoch + 1}, of which {done}")
        return True

    def _keep_trunk(self) -> None:
        """Lets the epochs read what is kept of the trunk's output, if it is kept."""
        if not self._trunk:
            return
        with self._timed("trunk"):
            kept = self._trunk.keep(self._sources, self._options.epochs - self.progress.epoch)
        if kept:
            self._trainer.skip_trunk(kept.split)
            self._features_of.trunk = kept
            self._views = kept.training
            self._validated = kept.parts[Part(shard_plan.VALIDATION, tta_views.PLAIN)]
            self._logits = make_forward(kept.split.logits, self._strategy)

    def _goes_on(self) -> bool:
        progress = self.progress
        best = epoch_records.best_of(progress.history)
        return progress.epoch < self._options.epochs and progress.epoch - best.epoch < self._options.patience

    def _epoch_0(self) -> tuple[EpochRecord, np.ndarray]:
        """Fits a new head, unless the epochs are to do that, and validates; gives the record and the logits.

        A fresh head on layers that train would wreck them with its first gradients.
        """
        started = time.perf_counter()
        if self._options.fits_head:
            self._fit_head(linear_head.head_c(len(self._training.labels)))
        # The backbone is still what it was, so its features do, also where its layers are going to train.
        logits = self._frozen_validation_logits()
        extracted = self._features_of
        self.progress.add_time("features", extracted.seconds)
        return self._measured(
            logits,
            epoch=0,
            loss=math.nan,
            accuracy=math.nan,
            learning_rate=math.nan,
            seconds=time.perf_counter() - started,
            pictures_per_second=extracted.passed / extracted.seconds if extracted.passed else math.nan,
            input_wait=math.nan,
        )

    def _weaken_head(self) -> None:
        """Before the first epoch, sets a head that is not the best, but leaves the open layers something to learn."""
        start_c = self._options.start_c
        if self.progress.position == pipeline.BEGINNING and self._options.fits_head and start_c:
            self._fit_head(start_c)

    def _fit_head(self, c: float) -> None:
        """Sets the head to the one that is fitted on the frozen backbone's features with this penalty."""
        examples = self._inputs.head_examples(self._options.feature_views)
        with self._timed("head"):
            fitted = linear_head.fit_head(*examples, c, self._options.class_weights == "balanced")
            architecture.head_of(self._model).set_weights(fitted)

    def _frozen_validation_logits(self) -> np.ndarray:
        """Logits of the validation split, from features of a backbone that has not trained."""
        if self._validation_features is None:
            self._validation_features = self._features_of(shard_plan.VALIDATION, tta_views.PLAIN)
        return linear_head.apply_head(self._validation_features, *architecture.head_of(self._model).get_weights())

    def _train_epoch(self, folder: RunFolder, board: Board, interrupts: Interrupts, agreement: Agreement) -> None:
        """Trains the steps that the epoch has left."""
        progress, options = self.progress, self._options
        total = self._order.steps * options.batch_size
        batches = self._batches.of_epoch(progress.position, self._views)
        self._curve.begin(progress)
        with pictures_bar(total, f"epoch {progress.epoch + 1}/{options.epochs}") as bar:
            bar.update(progress.step * options.batch_size)
            while progress.step < self._order.steps:
                started = time.perf_counter()
                batch = next(batches, None)
                waited = time.perf_counter() - started
                if batch is None:
                    self._read_losses(folder)
                    self._batches.accept_end(progress.position)
                    break
                with interrupts.deferred():
                    if progress.position == pipeline.BEGINNING:
                        board.add_graph(self._trainer.graph(batch))
                    sums = self._trainer.step(batch, *progress.position)
                    self._unread.append((progress.position, sums))
                    progress.step += 1
                    looks_up = agreement.is_due() or progress.step == self._order.steps
                    if looks_up:
                        self._read_losses(folder)
                    progress.seconds += time.perf_counter() - started
                    progress.waited += waited
                    if looks_up:
                        self._show_steps(board)
                        mean = progress.loss_sum / (progress.step * options.batch_size)
                        bar.set_postfix_str(f"log loss {mean:.4f}, {self._time_left()}", refresh=False)
                    bar.update(options.batch_size)
                    if looks_up and agreement.look_up() and self._batches.know_what_is_left(progress.step):
                        with self._timed("saving"):
                            checkpoint.save(folder.state, progress, self._variables)
                        agreement.saved()

    def _show_steps(self, board: Board) -> None:
        """Adds a point to the curve over the steps, where one is due."""
        if point := self._curve.next_point(self.progress):
            board.add_step(point)
            self._tracking.add_step(point)

    def _time_left(self) -> str:
        """Words for the time up to the last epoch, at the speed so far; empty before there is one."""
        options, order = self._options, self._order
        seconds = self.progress.seconds_left(
            options.epochs, order.steps, len(self._validation.labels) / order.batch_size
        )
        # --patience may end the run earlier.
        return f"whole run {duration(seconds)} left at most" if seconds is not None else ""

    def _read_losses(self, folder: RunFolder) -> None:
        """Fetches what steps left on the device, and adds it to the sums of the epoch."""
        for position, sums in self._unread:
            self._add_losses(folder, position, *sums.numpy().tolist())
        self._unread.clear()

    def _add_losses(self, folder: RunFolder, position: Position, loss_sum: float, right: float) -> None:
        """Adds a step's sums to those of the epoch.

        Raises:
            InputError: They are not finite.
        """
        options = self._options
        if not math.isfinite(loss_sum):
            keys = self._batches.keys(position)
            where = f"epoch {position.epoch + 1}, step {position.step + 1}"
            became = f"--learning_rate={options.learning_rate}: the loss became {loss_sum} at {where}; use a lower rate"
            if not keys:
                raise InputError(f"{became} (the best model before is in {folder.path})")
            folder.write_batch(where, keys)
            raise InputError(
                f"{became}, or look at that step's pictures, {keys[0]} and those listed in "
                f"{folder.path / run_folder.BATCH} (the best model before is in the same folder)"
            )
        self.progress.loss_sum += loss_sum
        self.progress.right += right

    def _validation_batches(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """What every validation reads, made once: its graph takes as long as a small data set."""
        if self._validation_dataset is None:
            self._validation_dataset = pipeline.evaluation_dataset(self._validated, self._options.batch_size, context)
        return self._validation_dataset

    def _validate(self, agreement: Agreement) -> tuple[EpochRecord, np.ndarray]:
        """Validates the model after the last step of an epoch; gives the epoch's record and the logits."""
        progress, options = self.progress, self._options
        started = time.perf_counter()
        if options.unfreeze_from:
            batches = []
            for batch in self._logits.batches(self._validation_batches, len(self._validation.labels), "validating"):
                batches.append(batch)
                if agreement.is_due():
                    # The state between an epoch's steps and its validation is saved at a signal alone.
                    agreement.look_up()
            logits = np.concatenate(batches)
        else:
            logits = self._frozen_validation_logits()
        validation_seconds = time.perf_counter() - started
        progress.add_time("validation", validation_seconds)
        progress.add_time("training", progress.seconds)
        progress.add_time(checkpoint.WAITING, progress.waited)
        pictures = progress.step * options.batch_size
        return self._measured(
            logits,
            epoch=progress.epoch + 1,
            loss=progress.loss_sum / pictures,
            accuracy=progress.right / pictures,
            learning_rate=self._trainer.rate.of(self._order.steps * (progress.epoch + 1) - 1),
            seconds=progress.seconds + validation_seconds,
            pictures_per_second=pictures / progress.seconds,
            input_wait=progress.waited / progress.seconds,
        )

    def _measured(self, logits: np.ndarray, **figures: Any) -> tuple[EpochRecord, np.ndarray]:
        """A record with the figures of validation added, and the logits that they are of."""
        record = EpochRecord(
            val_loss=metrics.log_loss_of_logits(self._validation.labels, logits),
            val_accuracy=metrics.accuracy(self._validation.labels, logits),
            val_auc=metrics.auc(self._validation.labels, logits),
            **figures,
        )
        return record, logits

    def _save_epoch(self, folder: RunFolder, board: Board, record: EpochRecord, logits: np.ndarray) -> None:
        """Takes an epoch: model, history and curves on disk, then the state that goes on after it."""
        with self._timed("saving"):
            history = [*self.progress.history, record]
            description = preparation.description_of(self._options, self._data)
            folder.add_epoch(history, self._model, description, self._options.keep, logits)
            self.progress.next_epoch(record)
            checkpoint.save(folder.state, self.progress, self._variables)
        board.add_epoch(record)
        self._tracking.add_epoch(record)
        is_best, left = record is epoch_records.best_of(history), self._time_left() if self._goes_on() else ""
        tell(epoch_records.in_words(record, is_best, left))

    def _show_augmentation(self, folder: RunFolder, board: Board) -> None:
        """Draws some pictures as training sees them: augmented.png, and for TensorBoard."""
        options = self._options
        if not options.epochs or options.augmentation == AugmentationRanges():
            return
        drawn, first = augmented_sheet.draw(self._training, options.augmentation, options.seed)
        files.write_atomically(folder.path / "augmented.png", drawn)
        board.add_pictures(first)

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Adds the time of the block to that of a stage."""
        started = time.perf_counter()
        yield
        self.progress.add_time(stage, time.perf_counter() - started)
