"""The CSV of a submission to Kaggle, read beside the right classes."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from dogcat.assessment import LabelledPredictions
from dogcat.config import EvaluationOptions, InputError, words
from dogcat.predictions import ID, LABEL, is_additional

# Probabilities keep this distance from 0, as scikit-learn's log loss keeps it.
_LEAST = float(np.finfo(np.float64).eps)
# How far the sum of a row's probabilities may be from 1, by rounding.
_SUM_TOLERANCE = 1e-3


def read_labelled(options: EvaluationOptions) -> LabelledPredictions:
    """Reads the predictions of --predictions, and of --against, for the pictures of --labels.

    The class whose probability a column `label` holds is the second of --classes or, without that, by name.

    Raises:
        InputError: A file is missing or no such CSV, the files are about other classes, or a picture has no prediction.
    """
    right = _read_labels(Path(options.labels))
    files = {"predictions": options.predictions, **({"against": options.against} if options.against else {})}
    names = sorted(set(right.values()))
    log_probabilities = []
    for flag, place in files.items():
        classes, rows = _read_predictions(Path(place), f"--{flag}={place}", names, words(options.classes))
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
    if header != [ID, LABEL]:
        raise InputError(f"{flag}: the first line is {','.join(header)!r}; it must be {ID},{LABEL}")
    if len(rows) < 2:
        raise InputError(f"{flag}: names {len(rows)} pictures; name two or more")
    return {id_: values[0] for id_, (_, values) in rows.items()}


def _read_predictions(
    path: Path, flag: str, names: list[str], order: list[str]
) -> tuple[list[str], dict[str, np.ndarray]]:
    """The classes, and by id the probabilities, float64 [classes].

    Args:
        path: The CSV.
        flag: What the user gave it with.
        names: The classes of the labels, sorted.
        order: Both classes of a CSV with the column `label`; empty: `names`.
    """
    header, rows = _read_table(path, flag)
    header, rows = _without_more(header, rows, names)
    classes = header[1:]
    if order and (header != [ID, LABEL] or sorted(order) != names):
        raise InputError(
            f"--classes={','.join(order)}: goes with two classes, those of --labels ({', '.join(names)}), and {flag} "
            f"with the columns {ID},{LABEL} (it has {','.join(header)})"
        )
    if header == [ID, LABEL]:
        if len(names) != 2:
            raise InputError(
                f"{flag}: holds the probability of the second of two classes, and --labels names {len(names)} "
                f"({', '.join(names)}); give a CSV with a column for each class, or labels of two"
            )
        classes = order or names
    elif header[:1] != [ID] or len(set(classes)) < max(2, len(classes)):
        raise InputError(
            f"{flag}: the first line is {','.join(header)!r}; write {ID},{LABEL}, or id and each class once"
        )
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise InputError(f"{flag}: has no column for {unknown[0]!r}, a class of --labels; it has {', '.join(classes)}")
    return classes, {id_: _probabilities(values, f"{flag}: line {line}") for id_, (line, values) in rows.items()}


def _without_more(
    header: list[str], rows: dict[str, tuple[int, list[str]]], names: list[str]
) -> tuple[list[str], dict[str, tuple[int, list[str]]]]:
    """Header and rows without what --columns of `dogcat.predict` adds; a column named like a class stays."""
    kept = [place for place, name in enumerate(header) if not place or name in names or not is_additional(name)]
    return [header[place] for place in kept], {
        id_: (line, [values[place - 1] for place in kept[1:]]) for id_, (line, values) in rows.items()
    }


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
    if path.suffix == ".jsonl":
        raise InputError(f"{flag}: holds JSON lines; predict with an --output that ends in .csv")
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
