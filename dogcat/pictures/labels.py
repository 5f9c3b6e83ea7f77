"""Which class each picture is: by its folder, its own name, or a file of labels."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dogcat.core import files, spelling, tables
from dogcat.core.options import InputError
from dogcat.core.spelling import Spellings, shortened, shown
from dogcat.core.tables import TextFile
from dogcat.core.text import printable
from dogcat.pictures.folders import Listing

# `cat.0.jpg`: the class, a number, the extension.
_CLASS_IN_NAME = re.compile(r"(?P<name>.+)\.\d+\.[^.]+", re.DOTALL)
# What folders of splits are called: train, training_set, test1, val-2, ...
_SPLIT = re.compile(
    r"(train|training|test|testing|val|valid|validation|validate|eval|evaluation|dev|holdout)"
    r"[-_ ]?(set|data|images|pictures|split|folder|dir)?[-_ ]?\d*",
    re.IGNORECASE,
)
# What this program is for, as folders are called.
_PET = re.compile(r"(cat|dog|kitten|puppy|puppie)s?", re.IGNORECASE)

# The label of a picture without one.
UNLABELED = -1
# Above any collection of pictures with labels: ImageNet-21K has 21,843.
MOST_CLASSES = 2**16


class NoClassError(InputError):
    """Nothing tells the class of any picture."""


@dataclasses.dataclass(frozen=True)
class LabelledKeys:
    """Keys with their classes.

    Attributes:
        keys: As `Listing.keys`, without those that have no class.
        labels: int32 [len(keys)], index into `classes`; `UNLABELED` where there are none.
        classes: Names of the classes.
        unlabelled: Keys whose class nothing tells.
        chosen_by: What the files of exclusions and labels did, by the flag: hash of the file, number of pictures.
    """

    keys: list[str]
    labels: np.ndarray
    classes: list[str]
    unlabelled: list[str]
    chosen_by: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


def without_labels(listing: Listing) -> LabelledKeys:
    """The pictures of a test set."""
    return LabelledKeys(listing.keys, np.full(len(listing.keys), UNLABELED, np.int32), [], [])


def label_keys(listing: Listing, given: dict[str, str], order: list[str], other_ways: str = "") -> LabelledKeys:
    """Gives each key its class: the given one, else its first folder's name or what its own name begins with.

    Args:
        listing: The pictures.
        given: Class by key, from a file of labels; it wins.
        order: All classes in the order of their labels; empty: sorted by name.
        other_ways: What a message adds to how the user can tell the classes, like ", or give --labels".

    Raises:
        NoClassError: No key has a class.
        InputError: Folder and name say different classes, or the classes are others than `order`.
    """
    folders = {key.split("/", 1)[0] for key in listing.keys if "/" in key}
    _refuse_folders_that_are_no_classes(listing, folders, given, order)
    # One string for each class, however many pictures have it.
    names: dict[str, str] = {}
    kept, of_kept, unlabelled, named_otherwise = [], [], [], []
    for key in listing.keys:
        name = given[key] if key in given else _class_by_place(key)
        if "/" in key and key not in given and (named := class_in_name(key)) != name and named in folders:
            named_otherwise.append(key)
        if name is None:
            unlabelled.append(key)
        else:
            kept.append(key)
            of_kept.append(names.setdefault(name, name))
    if not kept:
        raise NoClassError(
            f"{listing.folder}: {listing.keys[0]} and the {len(listing.keys) - 1} other pictures have no class; "
            f"put them into a folder for each class, or name them like cat.0.jpg and dog.0.jpg{other_ways}"
        )
    if len(names) > MOST_CLASSES:
        raise InputError(
            f"{listing.folder}: {len(names):,} classes, as {kept[0]} and {kept[-1]} have, are more than the "
            f"{MOST_CLASSES:,} that a data set can have; put all pictures of a class into one folder"
        )
    if named_otherwise:
        first = named_otherwise[0]
        files.note(
            printable(
                f"{len(named_otherwise)} pictures lie in the folder of one class and are named after another, as "
                f"{listing.folder / first}; the folder counts ({_class_by_place(first)})"
            )
        )
    spelling.require_distinct(names, f"{listing.folder}: the classes")
    classes = _ordered(set(names), order)
    index = {name: i for i, name in enumerate(classes)}
    labels = np.fromiter((index[name] for name in of_kept), np.int32, len(of_kept))
    return LabelledKeys(kept, labels, classes, unlabelled)


def relabelled(listing: Listing, given: dict[str, str]) -> int:
    """To how many pictures a file of labels gives another class than their place does, or one where that tells none."""
    return sum(given[key] != _class_by_place(key) for key in set(given).intersection(listing.keys))


def class_in_name(key: str) -> str | None:
    """The class in a file's own name, `cat` for `any/where/cat.12.jpg`, or None."""
    match = _CLASS_IN_NAME.fullmatch(key.rsplit("/", 1)[-1])
    return match["name"] if match else None


def read_labels(path: Path, listing: Listing) -> dict[str, str]:
    """Reads a CSV with the columns path,label: class by key.

    Raises:
        InputError: The file is missing or no such CSV, or names a picture that is not there, or one twice.
    """
    return labels_in(tables.read_text(path, "--labels"), listing)


def labels_in(file: TextFile, listing: Listing) -> dict[str, str]:
    """As `read_labels`, of a file that was read."""
    header, rows = tables.read_table(file, "path", "path,label")
    if [name.lower() for name in header] != ["path", "label"]:
        raise InputError(f"{file.place}: the first line must be path,label and not {shown(','.join(header))}")
    # A class is called as the pictures' places call it, however the file spells it.
    classes = Spellings(filter(None, (_class_by_place(key) for key in listing.keys)))
    given: dict[str, str] = {}
    keys = _keys_of({row.line: row.fields[0] for row in rows}, listing, file.place)
    for (line, (_, label)), key in zip(rows, keys):
        place = f"{file.place}: line {line}"
        if not label:
            raise InputError(f"{place} has no label for {shown(key)}; write path,label")
        if key in given:
            raise InputError(f"{place} names {shown(key)} again; name it once")
        given[key] = classes.find(label, place) or label
    return given


def exclude(path: Path, listing: Listing) -> Listing:
    """Takes the pictures out that a text file names, a path a line, as `exclusion_line` writes them.

    Raises:
        InputError: The file is missing, names a picture that is not there, or leaves none.
    """
    return without(tables.read_text(path, "--exclude"), listing)


def without(file: TextFile, listing: Listing) -> Listing:
    """As `exclude`, of a file that was read."""
    lines = enumerate(tables.lines_of(file.text), 1)
    names = {number: key_of_line(line, f"{file.place}: line {number}") for number, line in lines if line.strip()}
    excluded = set(_keys_of(names, listing, file.place))
    keys = [key for key in listing.keys if key not in excluded]
    if not keys:
        raise InputError(f"{file.place}: leaves no picture of {listing.folder}; name fewer")
    return dataclasses.replace(listing, keys=keys)


def exclusion_line(key: str) -> str:
    """A picture's line in a file for `exclude`: its key, or as a JSON string one that would not show or seem one."""
    is_plain = key.isprintable() and not (key.startswith('"') and key.endswith('"'))
    return f"{key if is_plain else json.dumps(key)}\n"


def key_of_line(line: str, place: str) -> str:
    """What a line that `exclusion_line` wrote names; `place` says where it stands.

    Raises:
        InputError: It begins and ends with a quote, and is not a JSON string.
    """
    if not (line.startswith('"') and line.endswith('"')):
        return line
    try:
        key = json.loads(line)
        if b"\0" in os.fsencode(key):
            raise ValueError("no path holds the character 0")
        return key
    # Also of what is not a name, like half of a surrogate pair.
    except ValueError as error:
        raise InputError(
            f"{place}: {shortened(line)} is not a path as a JSON string ({shortened(str(error))}); "
            "write it without quotes"
        ) from error


def _keys_of(names: dict[int, str], listing: Listing, place: str) -> list[str]:
    """The keys that names in the lines of a file mean, whatever their spelling."""
    known = Spellings(listing.keys)
    found = {line: known.find(name, f"{place}: line {line}") for line, name in names.items()}
    unknown = [line for line, key in found.items() if key is None]
    if unknown:
        more = f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""
        raise InputError(
            f"{place}: line {unknown[0]}: {shown(names[unknown[0]])}{more} not among the pictures of {listing.folder}; "
            "write paths relative to it"
        )
    return [key for key in found.values() if key is not None]


def _class_by_place(key: str) -> str | None:
    return key.split("/", 1)[0] if "/" in key else class_in_name(key)


def _refuse_folders_that_are_no_classes(
    listing: Listing, folders: set[str], given: dict[str, str], order: list[str]
) -> None:
    """Catches an --images one or more folders above the classes: data/train with cat.0.jpg and dog.0.jpg, or cat/.

    What `order` names is a class, whatever it is called.
    """
    names: dict[str, set[str | None]] = {folder: set() for folder in folders}
    # By folder, what the folders below it are called that hold pictures.
    below: dict[str, set[str]] = {folder: set() for folder in folders}
    for key in listing.keys:
        if "/" in key and key not in given:
            folder, *further, _ = key.split("/")
            names[folder].add(class_in_name(key))
            below[folder].update(further)
    are_pets = sum(bool(_PET.fullmatch(folder)) for folder in folders) > 1
    are_splits = len(folders) > 1 and all(map(_SPLIT.fullmatch, folders))
    for folder in sorted(folders.difference(order), key=_training_first):
        in_names, is_split = names[folder], _SPLIT.fullmatch(folder)
        pets = {name for name in below[folder] if _PET.fullmatch(name)}
        instead = ""
        if len(in_names) > 1 and None not in in_names and not in_names & folders:
            what = f"its pictures are named after {len(in_names)} classes ({_some(map(str, in_names))})"
        elif is_split and below[folder]:
            what = f"its name is that of a split, and there are folders in it ({_some(below[folder])})"
        elif len(pets) > 1 and not _PET.fullmatch(folder):
            what = f"there are folders of classes below it ({_some(pets)})"
        elif len(folders) == 1 and any(map(_SPLIT.fullmatch, below[folder])):
            what = f"there are folders of splits below it ({_some(below[folder])})"
        elif is_split and in_names and (are_splits or are_pets):
            what = "its name is that of a split, and nothing tells the classes of its pictures"
            instead = "put them into a folder for each class, or elsewhere"
        else:
            continue
        # Not before, since it goes through all keys.
        instead = instead or f"give --images={listing.folder / above_the_classes(listing.keys, folder)}"
        raise InputError(f"{listing.folder / folder}: is not a class, since {what}; {instead}")


def _training_first(folder: str) -> tuple[bool, str]:
    return not folder.lower().startswith("train"), folder


def above_the_classes(keys: list[str], folder: str) -> str:
    """The folder in which the classes seem to be, `folder` or one below it: where the way parts, but not into splits.

    Of several splits, it is the one for training.
    """
    while True:
        inside = [key[len(folder) + 1 :] for key in keys if key.startswith(f"{folder}/")]
        further = {key.split("/", 1)[0] for key in inside if "/" in key}
        splits = {name for name in further if _SPLIT.fullmatch(name)}
        # A single folder of pictures that are not named after several classes is a class.
        leads_on = len(further) == 1 and (
            any(key.count("/") > 1 for key in inside) or len({class_in_name(key) for key in inside}) > 1
        )
        if not splits and not leads_on:
            return folder
        folder = f"{folder}/{min(splits or further, key=_training_first)}"


def _some(names: Iterable[str]) -> str:
    """A few names, sorted."""
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (", ..." if len(ordered) > 3 else "")


def _ordered(found: set[str], order: list[str]) -> list[str]:
    if not order:
        return sorted(found)
    spellings = Spellings(found)
    meant = [spellings.find(name, f"--classes={','.join(order)}") for name in order]
    if len(set(meant)) < len(order) or set(meant) != found:
        raise InputError(
            f"--classes={','.join(order)}: the pictures have the classes {', '.join(sorted(found))}; "
            "name each of them once"
        )
    return [name for name in meant if name is not None]
