"""The CSV of a submission to Kaggle, read beside the right classes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dogcat.core import spelling, tables
from dogcat.core.options import InputError, words
from dogcat.core.spelling import Spellings, shortened, shown
from dogcat.core.tables import Row
from dogcat.evaluation.assess import LabelledPredictions
from dogcat.prediction.options import EvaluationOptions
from dogcat.prediction.predictions import ID, LABEL, is_additional

# Probabilities keep this distance from 0, as scikit-learn's log loss keeps it.
_LEAST = float(np.finfo(np.float64).eps)
# How far the sum of a row's probabilities may be from 1, by rounding.
_SUM_TOLERANCE = 1e-3
# A number as programs write it where the comma is the decimal sign.
_COMMA = re.compile(r"[0-9]*,[0-9]+([eE][-+]?[0-9]+)?")


def read_labelled(options: EvaluationOptions) -> LabelledPredictions:
    """Reads the predictions of --predictions, and of --against, for the pictures of --labels.

    The class whose probability a column `label` holds is the second of --classes or, without that, by name.

    Raises:
        InputError: A file is missing or no such CSV, the files are about other classes, or a picture has no prediction.
    """
    right = _read_labels(Path(options.labels))
    given = {"predictions": options.predictions, **({"against": options.against} if options.against else {})}
    names = sorted(set(right.values()))
    log_probabilities = []
    for flag, path in given.items():
        place = f"--{flag}={path}"
        classes, rows = _read_predictions(Path(path), f"--{flag}", names, words(options.classes))
        meant = _rows_of(right, rows, place)
        if flag == "predictions":
            first_classes, matched = classes, set(meant)
            left_out = {id_: "no label" for id_ in rows if id_ not in matched}
        elif classes != first_classes:
            said = f"predicts {', '.join(classes)}, --predictions {', '.join(first_classes)}"
            raise InputError(f"{place}: {said}; give predictions of the same classes in the same order")
        log_probabilities.append(np.log(np.maximum(np.stack([rows[id_] for id_ in meant]), _LEAST)))
    index = {name: label for label, name in enumerate(first_classes)}
    labels = np.array([index[name] for name in right.values()])
    return LabelledPredictions(
        options.labels, list(right), labels, first_classes, list(given.values()), log_probabilities, left_out
    )


def _rows_of(right: dict[str, str], rows: dict[str, np.ndarray], place: str) -> list[str]:
    """The ids of the rows that the ids of the labels mean, whatever their spelling."""
    known = Spellings(rows)
    meant = {id_: known.find(id_, place) for id_ in right}
    missing = [id_ for id_, found in meant.items() if found is None]
    if missing:
        raise InputError(
            f"{place}: has no row for {shown(missing[0])} and {len(missing) - 1} other ids of --labels; give "
            "predictions for each of them"
        )
    found = [id_ for id_ in meant.values() if id_ is not None]
    if len(set(found)) < len(found):
        spelling.require_distinct(right, "--labels")
    return found


def _read_labels(path: Path) -> dict[str, str]:
    """Class by id."""
    file = tables.read_text(path, "--labels")
    header, rows = tables.read_table(file, ID, f"{ID},{LABEL}")
    if [name.lower() for name in header] != [ID, LABEL]:
        raise InputError(f"{file.place}: the first line is {shown(','.join(header))}; it must be {ID},{LABEL}")
    of_id = _by_id(rows, file.place)
    if len(of_id) < 2:
        raise InputError(f"{file.place}: names {len(of_id)} pictures; name two or more")
    labels = {id_: row.fields[1] for id_, row in of_id.items()}
    unlabelled = [row.line for row in of_id.values() if not row.fields[1]]
    if unlabelled:
        raise InputError(f"{file.place}: line {unlabelled[0]} has no label; write {ID},{LABEL}")
    spelling.require_distinct(set(labels.values()), f"{file.place}: the classes")
    return labels


def _by_id(rows: list[Row], place: str) -> dict[str, Row]:
    """The rows by their first column."""
    of_id: dict[str, Row] = {}
    for row in rows:
        id_ = row.fields[0]
        if not id_.strip():
            raise InputError(f"{place}: line {row.line} has no id; write one")
        if id_ in of_id:
            raise InputError(f"{place}: line {row.line} names {shown(id_)} again; name it once")
        of_id[id_] = row
    return of_id


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
    if path.suffix == ".jsonl":
        raise InputError(f"{flag}={path}: holds JSON lines; predict with an --output that ends in .csv")
    file = tables.read_text(path, flag)
    place = file.place
    header, rows = tables.read_table(file, ID, f"{ID},{LABEL}, or {ID} and each class")
    spellings = Spellings(names)
    header = [_column(name, spellings, place) for name in header]
    # Without what --columns of `dogcat.predict` adds; a column named like a class stays.
    kept = [at for at, name in enumerate(header) if not at or name in names or not is_additional(name)]
    header = [header[at] for at in kept]
    classes = header[1:]
    order = [spellings.find(name, f"--classes={','.join(order)}") or name for name in order]
    if order and (header != [ID, LABEL] or sorted(order) != names):
        raise InputError(
            f"--classes={','.join(order)}: goes with two classes, those of --labels ({_listed(names)}), and {place} "
            f"with the columns {ID},{LABEL} (it has {shortened(','.join(header))})"
        )
    if header == [ID, LABEL]:
        if len(names) != 2:
            raise InputError(
                f"{place}: holds the probability of the second of two classes, and --labels names {len(names)} "
                f"({_listed(names)}); give a CSV with a column for each class, or labels of two"
            )
        classes = order or names
    elif len(set(classes)) < max(2, len(classes)):
        raise InputError(
            f"{place}: the first line is {shown(','.join(header))}; write {ID},{LABEL}, or {ID} and each class once"
        )
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise InputError(
            f"{place}: has no column for {shown(unknown[0])}, a class of --labels; it has {_listed(classes)}"
        )
    return classes, {
        id_: _probabilities([row.fields[at] for at in kept[1:]], f"{place}: line {row.line}")
        for id_, row in _by_id(rows, place).items()
    }


def _column(name: str, classes: Spellings, place: str) -> str:
    """A column's name as the labels spell that class, or as `dogcat.predict` writes it."""
    found = classes.find(name, place)
    if found is not None:
        return found
    lower = name.lower()
    return lower if lower in (ID, LABEL) or is_additional(lower) else name


def _listed(names: list[str]) -> str:
    return shortened(", ".join(names))


def _probabilities(values: list[str], place: str) -> np.ndarray:
    """The probabilities of a row, of two classes that of the second or both, as float64 [classes] of sum 1."""
    try:
        row = np.array([float(value.replace(",", ".") if _COMMA.fullmatch(value) else value) for value in values])
    except ValueError as error:
        raise InputError(f"{place}: {shortened(str(error))}; write probabilities from 0 to 1") from error
    if len(row) == 1:
        row = np.append(1 - row, row)
    # Also false for nan.
    if not (row.min() >= 0 and abs(row.sum() - 1) <= _SUM_TOLERANCE):
        raise InputError(
            f"{place}: {shortened(','.join(values))} are no probabilities; write numbers from 0 to 1 of sum 1"
        )
    return row / row.sum()
