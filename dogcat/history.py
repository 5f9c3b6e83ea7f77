"""The figures of each epoch of a run: history.csv and history.jsonl."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from dogcat import tables


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """The figures of an epoch.

    Attributes:
        epoch: From 1; 0 is the model before its epochs, which has no training figures (nan).
        loss: Mean training log loss over the epoch, with augmentation.
        accuracy: Training accuracy, likewise.
        val_loss: Validation log loss after the epoch.
        val_accuracy: Validation accuracy.
        val_auc: Area under the ROC curve on validation.
        learning_rate: Learning rate of the epoch's last step.
        seconds: Time of the epoch with its validation.
        pictures_per_second: Training pictures a second, validation not counted.
        input_wait: Share of the training time in which the next batch was waited for, 0 to 1.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    val_auc: float
    learning_rate: float
    seconds: float
    pictures_per_second: float
    input_wait: float


# Fields that another run of the same options does not repeat.
_OF_THE_CLOCK = ("seconds", "pictures_per_second", "input_wait")
_REPEATABLE = [field.name for field in dataclasses.fields(EpochRecord) if field.name not in _OF_THE_CLOCK]


def best_of(history: Sequence[EpochRecord]) -> EpochRecord:
    """The epoch with the lowest validation loss, the first one of equals; one without a number is worse than any."""
    return min(history, key=lambda record: (math.isnan(record.val_loss), record.val_loss))


def as_csv(history: Sequence[EpochRecord]) -> str:
    """A line an epoch under a line of names: what follows from data, options and seed, so no times."""
    return tables.as_csv(_REPEATABLE, ([getattr(record, name) for name in _REPEATABLE] for record in history)).decode()


def as_jsonl(history: Sequence[EpochRecord]) -> str:
    """An object an epoch, a line each, times too; null for what an epoch does not have."""
    return "".join(json.dumps(to_json(record)) + "\n" for record in history)


def to_json(record: EpochRecord) -> dict[str, Any]:
    """The fields by name, None for nan, which JSON does not have."""
    return {name: None if math.isnan(value) else value for name, value in dataclasses.asdict(record).items()}


def from_json(values: dict[str, Any]) -> EpochRecord:
    """The record that `to_json` gave."""
    known: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
    return EpochRecord(**known)
