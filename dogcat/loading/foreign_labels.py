"""The classes that labels of other programs' records stand for: names, and numbers that count from 0 or from 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.core.options import InputError
from dogcat.core.text import printable, shortened
from dogcat.dataset import foreign_files
from dogcat.loading.foreign_index import ForeignIndex
from dogcat.pictures.labels import MOST_CLASSES

_AUTO = "auto"
_LONGEST_LIST = 120


class Classes(NamedTuple):
    """What labels stand for.

    Attributes:
        names: Names of the classes, in their order.
        first: The number of the first one; None where labels are texts.
        label_key: The feature that holds the label, for errors.
    """

    names: list[str]
    first: int | None
    label_key: str


def classes_of(
    indexes: Sequence[ForeignIndex], label_key: str, given: list[str], first_label: str, said: str
) -> Classes:
    """The classes that the labels of some files stand for.

    Args:
        indexes: What is known of the files, of one record at least.
        label_key: The feature that holds the label.
        given: Names of the classes; none: what the labels are.
        first_label: The number of the first class: 0, 1 or auto.
        said: What gave the files, for errors.

    Raises:
        InputError: A name is given twice, there are too many classes, or where numbers begin is given of texts, or
            cannot be told.
    """
    if len(set(given)) < len(given) or "" in given:
        raise InputError(f"--classes={','.join(given)}: name each class once, like cat,dog")
    texts = sorted({text for index in indexes for text in index.texts})
    if texts:
        if first_label != _AUTO:
            raise InputError(
                f"--first_label={first_label}: goes with labels that are numbers, and those in {printable(label_key)} "
                "are texts; leave it out"
            )
        return Classes(given or _few(texts, label_key, said), None, label_key)
    labels = np.concatenate([index.labels for index in indexes])
    lowest, highest = int(labels.min()), int(labels.max())
    if first_label != _AUTO:
        first = int(first_label)
    elif given and lowest >= 1 and highest < len(given):
        raise InputError(
            f"{said}: the labels in {printable(label_key)} are {lowest} to {highest}, of {len(given)} classes, so that "
            "they may count from 0 or from 1; say which with --first_label"
        )
    else:
        first = int(lowest >= 1)
    return Classes(given or _few(range(first, highest + 1), label_key, said), first, label_key)


def labels_of(index: ForeignIndex, path: Path, classes: Classes) -> np.ndarray:
    """The label of each record of a file as a place in the classes, int32 [records].

    Raises:
        InputError: One is none of them.
    """
    is_text = classes.first is None
    if len(index.labels) and bool(index.texts) != is_text:
        this, others = ("a text", "numbers") if index.texts else ("a number", "texts")
        raise foreign_files.damaged(path, 0, f"{printable(classes.label_key)} is {this}, others have {others}")
    names = shortened(", ".join(classes.names), _LONGEST_LIST)
    if classes.first is None:
        place_of = {name: place for place, name in enumerate(classes.names)}
        labels = np.array([place_of.get(text, -1) for text in index.texts], np.int64)[index.labels]
        right = f"none of the classes, {names}; see --classes and --label_key"
    else:
        labels = index.labels - classes.first
        last = classes.first + len(classes.names) - 1
        right = f"not one of {classes.first} to {last}, for {names}; see --classes, --first_label and --label_key"
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes.names)))
    if wrong.size:
        number = int(wrong[0])
        value = index.labels[number]
        said = repr(index.texts[value]) if is_text else value
        raise InputError(f"{path}: record {number}: {printable(classes.label_key)} is {said}, {right}")
    return labels.astype(np.int32)


def _few(labels: Sequence[str | int], label_key: str, said: str) -> list[str]:
    """Names of classes, which are their labels."""
    if not 0 < len(labels) <= MOST_CLASSES:
        raise InputError(
            f"{said}: the labels in {printable(label_key)} make {len(labels):,} classes, and there may be 1 to "
            f"{MOST_CLASSES:,}; give the feature that holds the class by --label_key"
        )
    return [str(label) for label in labels]
