"""The CSV of a submission to Kaggle: written from predictions, and read beside the right classes."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np

from dogcat import evaluation, records, tables
from dogcat.assessment import LabelledPredictions
from dogcat.config import EvaluationOptions, InputError

_ID = "id"
_LABEL = "label"
# Probabilities keep this distance from 0, as scikit-learn's log loss keeps it.
_LEAST = float(np.finfo(np.float64).eps)
# How far the sum of a row's probabilities may be from 1, by rounding.
_SUM_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read: its key and why."""

    key: str
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for the pictures of a folder, in the order of their ids.

    Attributes:
        ids: One for each picture.
        probabilities: Of each class, float64 [pictures, classes]; the same for all where a picture is unreadable.
        unreadable: The pictures that could not be read.
        classes: Names of the classes.
    """

    ids: list[str]
    probabilities: np.ndarray
    unreadable: list[Unreadable]
    classes: list[str]


def write(predictions: Predictions, clip: float, path: Path) -> Path | None:
    """Writes the CSV and, where pictures were unreadable, a list of them beside it.

    The columns are `id,label` for two classes, the label being the probability of the second; `id` and the name of
    each class for more.

    Args:
        predictions: What to write.
        clip: Distance that probabilities of two classes keep from 0 and 1; for more, see
            `evaluation.clip_probabilities`.
        path: The CSV.

    Returns:
        The list's path, or None if every picture was read.

    Raises:
        OSError: A file cannot be written; then the CSV is as it was.
    """
    clipped = evaluation.clip_probabilities(predictions.probabilities, clip)
    columns = predictions.classes
    if len(columns) == 2:
        columns, clipped = ["label"], clipped[:, 1:]
    rows = ([id_, *(f"{p:.6g}" for p in row)] for id_, row in zip(predictions.ids, clipped))
    beside = path.with_name(path.stem + ".unreadable.csv")
    if predictions.unreadable:
        listed = map(dataclasses.astuple, predictions.unreadable)
        records.write_atomically(beside, tables.as_csv(("path", "reason", "detail"), listed))
    else:
        # One of an earlier prediction would tell of other pictures.
        beside.unlink(missing_ok=True)
    records.write_atomically(path, tables.as_csv(["id", *columns], rows))
    return beside if predictions.unreadable else None


def check_output(path: Path) -> None:
    """Raises InputError where the CSV could not be written, before the work is done."""
    if path.exists() and not path.is_file():
        raise InputError(f"--output={path}: is no file; give the name of a CSV file")
    if not path.parent.is_dir():
        raise InputError(f"--output={path}: the folder {path.parent} does not exist; make it first")


def read_labelled(options: EvaluationOptions) -> LabelledPredictions:
    """Reads the predictions of --predictions, and of --against, for the pictures of --labels.

    The class whose probability a column `label` holds is the second of the two by name.

    Raises:
        InputError: A file is missing or no such CSV, the files are about other classes, or a picture has no prediction.
    """
    right = _read_labels(Path(options.labels))
    files = {"predictions": options.predictions, **({"against": options.against} if options.against else {})}
    names = sorted(set(right.values()))
    log_probabilities = []
    for flag, place in files.items():
        classes, rows = _read_predictions(Path(place), f"--{flag}={place}", names)
        if flag == "predictions":
            first_classes, left_out = classes, {id_: "no label" for id_ in rows if id_ not in right}
        elif classes != first_classes:
            said = f"predicts {', '.join(classes)}, --predictions {', '.join(first_classes)}"
            raise InputError(f"--{flag}={place}: {said}; give predictions of the same classes in the same order")
        missing = [id_ for id_ in right if id_ not in rows]
        if missing:
            raise InputError(
                f"--{flag}={place}: has no row for {missing[0]!r} and {len(missing) - 1} other ids of --labels; give "
                "predictions for each of them"
            )
        log_probabilities.append(np.log(np.maximum(np.stack([rows[id_] for id_ in right]), _LEAST)))
    index = {name: label for label, name in enumerate(first_classes)}
    labels = np.array([index[name] for name in right.values()])
    return LabelledPredictions(
        options.labels, list(right), labels, first_classes, list(files.values()), log_probabilities, left_out
    )


def _read_labels(path: Path) -> dict[str, str]:
    """Class by id."""
    flag = f"--labels={path}"
    header, rows = _read_table(path, flag)
    if header != [_ID, _LABEL]:
        raise InputError(f"{flag}: the first line is {','.join(header)!r}; it must be {_ID},{_LABEL}")
    if len(rows) < 2:
        raise InputError(f"{flag}: names {len(rows)} pictures; name two or more")
    return {id_: values[0] for id_, (_, values) in rows.items()}


def _read_predictions(path: Path, flag: str, names: list[str]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The classes, and by id the probabilities, float64 [classes].

    Args:
        path: The CSV.
        flag: What the user gave it with.
        names: The classes of the labels, sorted.
    """
    header, rows = _read_table(path, flag)
    classes = header[1:]
    if header == [_ID, _LABEL]:
        if len(names) != 2:
            raise InputError(
                f"{flag}: holds the probability of the second of two classes, and --labels names {len(names)} "
                f"({', '.join(names)}); give a CSV with a column for each class, or labels of two"
            )
        classes = names
    elif header[:1] != [_ID] or len(set(classes)) < max(2, len(classes)):
        raise InputError(
            f"{flag}: the first line is {','.join(header)!r}; write {_ID},{_LABEL}, or id and each class once"
        )
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise InputError(f"{flag}: has no column for {unknown[0]!r}, a class of --labels; it has {', '.join(classes)}")
    return classes, {id_: _probabilities(values, f"{flag}: line {line}") for id_, (line, values) in rows.items()}


def _probabilities(values: list[str], place: str) -> np.ndarray:
    """The probabilities of a row, of two classes that of the second or both, as float64 [classes] of sum 1."""
    try:
        row = np.array([float(value) for value in values])
    except ValueError as error:
        raise InputError(f"{place}: {error}; write probabilities from 0 to 1") from error
    if len(row) == 1:
        row = np.append(1 - row, row)
    # Also false for nan.
    if not (row.min() >= 0 and abs(row.sum() - 1) <= _SUM_TOLERANCE):
        raise InputError(f"{place}: {','.join(values)} are no probabilities; write numbers from 0 to 1 of sum 1")
    return row / row.sum()


def _read_table(path: Path, flag: str) -> tuple[list[str], dict[str, tuple[int, list[str]]]]:
    """The first line of a CSV and, by the first column, the number and the other columns of each line."""
    if not path.is_file():
        raise InputError(f"{flag}: no such file")
    # A byte order mark, as spreadsheets write it, belongs to no name; names keep their bytes, whatever their encoding.
    text = path.read_bytes().decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = csv.reader(io.StringIO(text, newline=""))
    table: dict[str, tuple[int, list[str]]] = {}
    try:
        header = next(lines, [])
        for row in lines:
            if len(row) != len(header) or not all(row):
                raise InputError(f"{flag}: line {lines.line_num} is {','.join(row)!r}; write {','.join(header)}")
            if row[0] in table:
                raise InputError(f"{flag}: line {lines.line_num} names {row[0]!r} again; name it once")
            table[row[0]] = lines.line_num, row[1:]
    except csv.Error as error:
        raise InputError(f"{flag}: line {lines.line_num}: {error}; write a CSV") from error
    return header, table
