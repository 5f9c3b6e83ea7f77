"""Which pictures a folder holds, and which class each one is.

A picture's key is its path relative to the folder, with `/`; nothing above the folder ever counts, so a
parent folder called `dogcat` changes no label.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import numpy as np

from dogcat.config import InputError

EXTENSIONS = frozenset((".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"))

# `cat.0.jpg`: the class, a number, the extension.
_CLASS_IN_NAME = re.compile(r"(?P<name>.+)\.\d+\.[^.]+", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Listing:
    """The pictures of a folder.

    Attributes:
        folder: The folder.
        keys: Paths relative to the folder, with `/`, sorted by their bytes.
        other: Number of files that are no pictures by their extension.
    """

    folder: Path
    keys: list[str]
    other: int


@dataclasses.dataclass(frozen=True)
class LabelledKeys:
    """Keys with their classes.

    Attributes:
        keys: As `Listing.keys`, without those that have no class.
        labels: int32 [len(keys)], index into `classes`.
        classes: Names of the classes, sorted.
        unlabelled: Keys whose class neither folder nor name tells.
    """

    keys: list[str]
    labels: np.ndarray
    classes: list[str]
    unlabelled: list[str]


def list_images(folder: Path) -> Listing:
    """Lists the picture files below `folder`, by extension, hidden ones left out.

    Links are followed, each real folder once, so that a loop of links ends.

    Raises:
        InputError: `folder` is missing, is no folder, or holds no picture.
        OSError: A folder below it cannot be read.
    """
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {kind}; give a folder of pictures with --images")
    keys: list[str] = []
    other = 0
    seen = set()
    pending = [""]
    while pending:
        prefix = pending.pop()
        path = folder / prefix
        status = path.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(path) as entries:
            # Sorted, so that of several links to one folder always the same one counts.
            for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    pending.append(f"{prefix}{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                    keys.append(prefix + entry.name)
                else:
                    other += 1
    if not keys:
        found = f"{other} other files" if other else "nothing"
        raise InputError(f"{folder} holds no picture ({found}); pictures end in {', '.join(sorted(EXTENSIONS))}")
    keys.sort(key=os.fsencode)
    return Listing(folder, keys, other)


def class_in_name(key: str) -> str | None:
    """The class in a file's own name, `cat` for `any/where/cat.12.jpg`, or None."""
    match = _CLASS_IN_NAME.fullmatch(key.rsplit("/", 1)[-1])
    return match["name"] if match else None


def label_keys(listing: Listing) -> LabelledKeys:
    """Gives each key its class: its first folder's name or, in no folder, what its own name begins with.

    Raises:
        InputError: Folder and name say different classes, or no key has a class.
    """
    folders = {key.split("/", 1)[0] for key in listing.keys if "/" in key}
    _refuse_folders_that_are_no_classes(listing, folders)
    kept, names, unlabelled = [], [], []
    for key in listing.keys:
        in_name = class_in_name(key)
        name = key.split("/", 1)[0] if "/" in key else in_name
        if name is None:
            unlabelled.append(key)
            continue
        if in_name in folders and in_name != name:
            raise InputError(
                f"{listing.folder / key}: the folder says {name}, the name says {in_name}; move or rename the file"
            )
        kept.append(key)
        names.append(name)
    if not kept:
        raise InputError(
            f"{listing.folder}: {listing.keys[0]} and the {len(listing.keys) - 1} other pictures have no class; "
            "put them into a folder for each class, or name them like cat.0.jpg and dog.0.jpg"
        )
    classes = sorted(set(names))
    index = {name: i for i, name in enumerate(classes)}
    labels = np.fromiter((index[name] for name in names), np.int32, len(names))
    return LabelledKeys(kept, labels, classes, unlabelled)


def _refuse_folders_that_are_no_classes(listing: Listing, folders: set[str]) -> None:
    """Catches `--images=data` where data/train holds cat.0.jpg: `train` is no class."""
    nested = [key for key in listing.keys if "/" in key]
    in_names = {class_in_name(key) for key in nested}
    if len(in_names) > 1 and None not in in_names and not in_names & folders:
        folder, name = nested[0].split("/", 1)
        raise InputError(
            f"{listing.folder / nested[0]}: the folder says {folder}, the name says {class_in_name(name)}; "
            f"give the folder that holds the pictures, like --images={listing.folder / folder}"
        )


def submission_order(keys: list[str]) -> list[tuple[str, str]]:
    """Pairs each key with its id and sorts by id: integers as integers, before other ids as text.

    The id is the file's name without its extension or, where two pictures would share it, the whole key
    of every picture.

    Returns:
        (id, key) for each key.
    """
    ids = [os.path.splitext(key.rsplit("/", 1)[-1])[0] for key in keys]
    if len(set(ids)) < len(ids):
        ids = list(keys)

    def rank(pair: tuple[str, str]) -> tuple[bool, int, bytes]:
        id_ = pair[0]
        is_number = id_.isascii() and id_.isdecimal()
        return (not is_number, int(id_) if is_number else 0, os.fsencode(id_))

    return sorted(zip(ids, keys), key=rank)
