"""Predictions for pictures, written as CSV (a submission to Kaggle) or as JSON lines."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dogcat.core import files, tables
from dogcat.core.options import InputError
from dogcat.dataset.encoding import Rejection
from dogcat.evaluation import metrics
from dogcat.prediction.options import PredictionOptions

ID = "id"
LABEL = "label"

# The last one tells whose list it is.
_LIST_COLUMNS = ("path", "reason", "detail", "output")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for pictures, in the order of their ids.

    Attributes:
        ids: One for each picture.
        keys: Key of each picture.
        log_probabilities: float64 [pictures, classes]; the same for all classes where a picture is unreadable.
        unreadable: The pictures that could not be read, with a row or without.
        classes: Names of the classes.
        left_out: What else is where the pictures are, in words; empty where there is nothing.
    """

    ids: list[str]
    keys: list[str]
    log_probabilities: np.ndarray
    unreadable: list[Rejection]
    classes: list[str]
    left_out: str = ""


def check_output(options: PredictionOptions, classes: list[str]) -> None:
    """Raises InputError where the output could not be written, before the work is done."""
    path = Path(options.output)
    if files.is_in_the_way(path):
        raise InputError(f"--output={path}: is not a file; give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"--output={path}: the folder {path.parent} does not exist; make it first")
    if os.path.realpath(path) == os.path.realpath(options.images):
        raise InputError(f"--output={path}: is the file of --images; give another file")
    _require_own_list(path)
    columns = _columns(classes, options.column_names)
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise InputError(
            f"--columns={options.columns}: two columns would be called {twice[0]!r}, beside those of the model's "
            f"classes, {', '.join(classes)}; leave out what is there twice"
        )


def write(predictions: Predictions, options: PredictionOptions) -> Path | None:
    """Writes --output and, where pictures were unreadable, a CSV that lists them beside it: both, or neither.

    Returns:
        The list's path, or None if every picture was read.

    Raises:
        InputError: Another program's file has the list's name.
        OSError: A file cannot be written; then all are as they were.
    """
    path = Path(options.output)
    beside = _list_beside(path)
    _require_own_list(path)
    columns = _columns(predictions.classes, options.column_names)
    rows = _rows(predictions, options)
    as_lines = tables.csv_lines if path.suffix == ".csv" else _json_lines
    with files.FileSet() as written:
        with written.open(path) as file:
            file.writelines(as_lines(columns, rows))
        if predictions.unreadable:
            listed = ([*picture, path.name] for picture in predictions.unreadable)
            written.write(beside, tables.as_csv(_LIST_COLUMNS, listed))
    if predictions.unreadable:
        return beside
    # One of an earlier prediction would tell of other pictures.
    beside.unlink(missing_ok=True)
    return None


def _list_beside(path: Path) -> Path:
    return path.with_name((path.stem if path.suffix == ".csv" else path.name) + ".unreadable.csv")


def _require_own_list(path: Path) -> None:
    """Raises InputError where a file has the list's name and does not say of itself that it is one of this output."""
    beside = _list_beside(path)
    if os.path.lexists(beside) and not _is_list_of(beside, path.name):
        raise InputError(
            f"{beside}: is in the way of the list of unreadable pictures, since it is none of {path.name}; move it, or "
            "give another --output"
        )


def _is_list_of(beside: Path, output: str) -> bool:
    if beside.is_symlink() or not beside.is_file():
        return False
    header = tables.as_csv(_LIST_COLUMNS, [])
    with open(beside, "rb") as begun:
        # Not a line, which may be as long as the file.
        if begun.read(len(header)) != header:
            return False
    with open(beside, newline="", encoding="utf-8", errors="surrogateescape") as file:
        try:
            rows = list(csv.reader(file))[1:]
        except csv.Error:
            return False
    return bool(rows) and all(len(row) == len(_LIST_COLUMNS) and row[-1] == output for row in rows)


def _columns(classes: list[str], more: list[str]) -> list[str]:
    """Names of the columns; `more` are words of --columns."""
    of_two = len(classes) == 2
    names = {
        "path": ["path"],
        "class": ["class"],
        "logit": ["logit"] if of_two else [f"logit_{name}" for name in classes],
        "probabilities": [f"p_{name}" for name in classes],
    }
    return [ID, *([LABEL] if of_two else classes), *(name for word in more for name in names[word])]


def is_additional(name: str) -> bool:
    """Whether a column may be one that --columns adds."""
    return name in ("path", "class", "logit") or name.startswith(("logit_", "p_"))


def _rows(predictions: Predictions, options: PredictionOptions) -> Iterator[list[Any]]:
    """Values in the order of `_columns`: text, rounded numbers, and None for the class of an unreadable picture."""
    clipped = metrics.clip_probabilities(np.exp(predictions.log_probabilities), options.clip)
    odds = metrics.log_odds(predictions.log_probabilities)
    # Of two classes the second is told.
    told = slice(1, None) if len(predictions.classes) == 2 else slice(None)
    unreadable = {picture.key for picture in predictions.unreadable}
    for id_, key, probabilities, logits in zip(predictions.ids, predictions.keys, clipped, odds):
        values: dict[str, list[Any]] = {
            "path": [key],
            "class": [None if key in unreadable else predictions.classes[logits.argmax()]],
            "logit": _rounded(logits[told]),
            "probabilities": _rounded(probabilities),
        }
        yield [id_, *_rounded(probabilities[told]), *(value for word in options.column_names for value in values[word])]


def _rounded(values: np.ndarray) -> list[float | int]:
    """Numbers of six digits that count; whole ones, which are written without a point, as int."""
    rounded = [float(f"{value:.6g}") for value in values]
    return [int(value) if value.is_integer() else value for value in rounded]


def _json_lines(columns: list[str], rows: Iterator[list[Any]]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(dict(zip(columns, row))).encode() + b"\n"
