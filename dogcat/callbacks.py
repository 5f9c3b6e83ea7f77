"""What a run writes and shows while it trains: history, checkpoints, curves, progress."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from tensorflow import keras
from tqdm import tqdm

from dogcat import model as models
from dogcat import records, report
from dogcat.history import EpochRecord, as_csv
from dogcat.progress import pictures_bar


class RunRecorder:
    """Keeps a run's results on disk as they come: checkpoint, best model, history.csv, curves.png.

    Attributes:
        folder: The run's folder.
        history: The epochs so far.
    """

    def __init__(self, folder: Path, model: keras.Model, description: models.Description) -> None:
        """Records into `folder`, which exists; `model` is saved after each epoch."""
        self.history: list[EpochRecord] = []
        self.folder = folder
        self._model = model
        self._description = description
        (folder / "checkpoints").mkdir()

    @property
    def best(self) -> EpochRecord:
        """The epoch with the lowest validation loss."""
        return min(self.history, key=lambda record: record.val_loss)

    def add(self, record: EpochRecord) -> None:
        """Takes an epoch: saves the model, and writes history and curves anew."""
        self.history.append(record)
        name = f"model-{record.epoch:02d}-{record.val_loss:.4f}.keras"
        models.save(self._model, self.folder / "checkpoints" / name, self._description)
        if record is self.best:
            models.save(self._model, self.folder / models.BEST_MODEL, self._description)
        records.write_atomically(self.folder / "history.csv", as_csv(self.history).encode())
        report.draw_curves(self.history, self.folder / "curves.png")


class EpochEnd(keras.callbacks.Callback):
    """Hands each epoch's figures to a RunRecorder, prints a line, and shows progress within the epoch.

    Ends training after `patience` epochs without a lower validation loss than the history's best, epoch 0 included.
    """

    def __init__(self, recorder: RunRecorder, batch_size: int, epochs: int, steps: int, patience: int) -> None:
        """Takes the recorder, the global batch size, the numbers of epochs and of steps in each, the patience."""
        super().__init__()
        self._recorder = recorder
        self._batch_size = batch_size
        self._epochs = epochs
        self._steps = steps
        self._patience = patience
        self._progress: tqdm | None = None
        self._started = 0.0
        self._trained = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock and the progress bar."""
        self._started = time.perf_counter()
        self._progress = pictures_bar(self._steps * self._batch_size, f"epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Moves the bar on; after the last batch validation begins."""
        assert self._progress is not None and logs is not None
        self._progress.set_postfix_str(f"log loss {logs['loss']:.4f}", refresh=False)
        self._progress.update(self._batch_size)
        self._trained = time.perf_counter()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Says that validation runs."""
        if self._progress is not None:
            self._progress.set_postfix_str("validating")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Records the epoch."""
        assert self._progress is not None and logs is not None
        self._progress.close()
        now = time.perf_counter()
        record = EpochRecord(
            epoch=epoch + 1,
            loss=logs["loss"],
            accuracy=logs["accuracy"],
            val_loss=logs["val_loss"],
            val_accuracy=logs["val_accuracy"],
            learning_rate=float(self.model.optimizer.learning_rate.numpy()),
            seconds=now - self._started,
            pictures_per_second=self._steps * self._batch_size / (self._trained - self._started),
        )
        self._recorder.add(record)
        print_epoch(record, record is self._recorder.best)
        if record.epoch - self._recorder.best.epoch >= self._patience:
            self.model.stop_training = True


def print_epoch(record: EpochRecord, is_best: bool) -> None:
    """Prints an epoch in a line."""
    parts = [f"epoch {record.epoch:2d}:"]
    if not math.isnan(record.loss):
        parts.append(f"log loss {record.loss:.4f}, accuracy {record.accuracy:.2%};")
    parts.append(f"validation log loss {record.val_loss:.4f}, accuracy {record.val_accuracy:.2%}")
    parts.append(f"({record.seconds:.0f} s, {record.pictures_per_second:.1f} pictures/s)")
    if is_best:
        parts.append("best so far")
    print(*parts)
