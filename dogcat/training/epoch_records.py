"""The figures of each epoch of a run: history.csv and history.jsonl."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from dogcat.core import files, tables, typed_json
from dogcat.core.options import InputError

# The parts of a run that its figures are of.
TRAIN, VALIDATION = "train", "validation"

_OF_VALIDATION = "val_"
_MOST_BYTES, _MOST_EPOCHS = 2**25, 10**6


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
# As JSON has them.
_FIELDS = {field.name: int if field.name == "epoch" else Optional[float] for field in dataclasses.fields(EpochRecord)}
_REPEATABLE = [field.name for field in dataclasses.fields(EpochRecord) if field.name not in _OF_THE_CLOCK]


def best_of(history: Sequence[EpochRecord]) -> EpochRecord:
    """The epoch with the lowest validation loss, the first one of equals; one without a number is worse than any."""
    return min(history, key=lambda record: (math.isnan(record.val_loss), record.val_loss))


def in_words(record: EpochRecord, is_best: bool, left: str) -> str:
    """A line for a person; `left` are words for the time that the run has left, empty where that is not known."""
    parts = [f"epoch {record.epoch:2d}:"]
    if not math.isnan(record.loss):
        parts.append(f"log loss {record.loss:.4f}, accuracy {record.accuracy:.2%};")
    parts.append(f"validation log loss {record.val_loss:.4f}, accuracy {record.val_accuracy:.2%}")
    rate = "" if math.isnan(record.pictures_per_second) else f", {record.pictures_per_second:.1f} pictures/s"
    parts.append(f"({record.seconds:.0f} s{rate}{f'; {left}' if left else ''})")
    if is_best:
        parts.append("best so far")
    return " ".join(parts)


def as_csv(history: Sequence[EpochRecord]) -> str:
    """A line an epoch under a line of names: what follows from data, options and seed, so no times."""
    return tables.as_csv(_REPEATABLE, ([getattr(record, name) for name in _REPEATABLE] for record in history)).decode()


def as_jsonl(history: Sequence[EpochRecord]) -> str:
    """An object an epoch, a line each, times too; null for what an epoch does not have."""
    return "".join(json.dumps(to_json(record)) + "\n" for record in history)


def to_json(record: EpochRecord) -> dict[str, Any]:
    """The fields by name, None for nan, which JSON does not have."""
    return {name: None if math.isnan(value) else value for name, value in dataclasses.asdict(record).items()}


def in_parts(record: EpochRecord) -> dict[str, dict[str, float]]:
    """The figures that an epoch has by part, under the same names in both, like `loss`; nan is left out."""
    parts: dict[str, dict[str, float]] = {TRAIN: {}, VALIDATION: {}}
    for name, value in to_json(record).items():
        if value is not None and name != "epoch":
            part = VALIDATION if name.startswith(_OF_VALIDATION) else TRAIN
            parts[part][name.removeprefix(_OF_VALIDATION)] = value
    return parts


def from_json(values: Any) -> EpochRecord:
    """The record that `to_json` gave.

    Raises:
        ValueError: It is not one; the message names the field.
    """
    found = typed_json.checked(values, _FIELDS)
    known: dict[str, Any] = {name: math.nan if found[name] is None else found[name] for name in _FIELDS}
    if not 0 <= known["epoch"] <= _MOST_EPOCHS:
        raise ValueError(f"epoch is {known['epoch']}")
    return EpochRecord(**known)


def all_from_json(values: list[Any]) -> list[EpochRecord]:
    """The records of a run, from epoch 0 on.

    Raises:
        ValueError: They are not those of a run; the message says which.
    """
    records = []
    for number, value in enumerate(values):
        try:
            records.append(from_json(value))
        except ValueError as error:
            raise ValueError(f"of epoch {number}, {error}") from error
        if records[-1].epoch != number:
            raise ValueError(f"epoch {records[-1].epoch} stands where {number} would be")
    return records


def read(path: Path) -> list[EpochRecord]:
    """Reads a history.jsonl.

    Raises:
        InputError: It is damaged, or has no epoch.
    """
    try:
        lines = files.read_bounded(path, _MOST_BYTES).splitlines()
        records = all_from_json([typed_json.parse(line, Any) for line in lines])
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: is damaged: {error}") from error
    if not records:
        raise InputError(f"{path}: is damaged: it has no epoch")
    return records
