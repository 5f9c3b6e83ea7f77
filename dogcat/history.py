"""The figures of each epoch of a run: history.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """The figures of an epoch; a line of history.csv.

    Attributes:
        epoch: From 1; 0 is the model before training, which has no training figures (nan).
        loss: Mean training log loss over the epoch, with augmentation.
        accuracy: Training accuracy, likewise.
        val_loss: Validation log loss after the epoch.
        val_accuracy: Validation accuracy.
        learning_rate: Learning rate at the end of the epoch.
        seconds: Time of the epoch with its validation.
        pictures_per_second: Training pictures a second, validation not counted.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    pictures_per_second: float


def as_csv(history: Sequence[EpochRecord]) -> str:
    """A line an epoch under a line of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(EpochRecord))
    writer.writerows(dataclasses.astuple(record) for record in history)
    return text.getvalue()
