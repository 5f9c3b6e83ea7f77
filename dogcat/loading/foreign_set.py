"""TFRecords that other programs wrote, as a data set: its manifest is made of what the files hold. No TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.core import cache
from dogcat.core.options import InputError
from dogcat.core.text import printable, shortened
from dogcat.dataset import foreign_files, manifest, tfrecord
from dogcat.dataset.foreign_features import Keys
from dogcat.dataset.foreign_files import ForeignFile
from dogcat.dataset.manifest import Manifest, Shard, Split
from dogcat.loading import foreign_index, foreign_labels
from dogcat.loading.foreign_index import ForeignIndex
from dogcat.loading.foreign_labels import Classes
from dogcat.loading.records import Records

# What stands in place of the format of pictures: each has its own.
_ENCODING = "as found"
# How pictures become square.
_RESIZE = "stretch"
_LONGEST_LIST = 120


class Part(NamedTuple):
    """A split of such a data set: its name, the pattern of its files, and the flag that gave the pattern."""

    split: str
    pattern: str
    flag: str

    def __str__(self) -> str:
        """What gave the files, for errors."""
        return f"--{self.flag}={self.pattern}"


class Reading(NamedTuple):
    """How records are read.

    Attributes:
        keys: The features of pictures and labels; empty ones are found.
        classes: Names of the classes in the order of their labels; empty: what the labels are.
        first_label: The number of the first class: 0, 1 or auto.
        image_size: Height and width that pictures are resized to, in pixels.
    """

    keys: Keys
    classes: list[str]
    first_label: str
    image_size: int


@dataclasses.dataclass(frozen=True)
class ForeignSet(Manifest):
    """A data set of other programs' TFRecords.

    What `digest` tells apart is the content of the files, wherever they lie, and how they are read.

    Attributes:
        records: Where the records of each split lie, by its name.
        sources: The file of each of `Records.paths`, by split, as the user knows it.
    """

    records: dict[str, Records] = dataclasses.field(default_factory=dict)
    sources: dict[str, list[Path]] = dataclasses.field(default_factory=dict)

    @property
    def keys(self) -> Keys:
        """The features of pictures and labels."""
        return Keys(self.options["image_key"], self.options["label_key"])

    def to_json(self) -> str:
        """See `Manifest`; without what says where the files lie."""
        names = (field.name for field in dataclasses.fields(Manifest))
        return Manifest(**{name: getattr(self, name) for name in names}).to_json()

    def records_of(self, split: str) -> Records:
        """The records of a split, as many as its shards still have."""
        return self.records[split].first(self.splits[split].pictures)

    def description(self) -> str:
        """What is read, for a person."""
        first = self.options["first_label"]
        counted = "" if first is None else f", counted from {first}"
        names = shortened(", ".join(self.classes), _LONGEST_LIST)
        return f"records: pictures from {self.keys.image}, labels from {self.keys.label}{counted}: {names}"


def load(parts: list[Part], reading: Reading) -> ForeignSet:
    """Finds out what TFRecords hold, from the cache or by reading each once.

    Features and classes that are not given are those of the first part.

    Raises:
        InputError: A file or a record cannot be used, a label is none of the classes, or parts have a file in common.
        OSError: A file cannot be read, or not be unpacked.
    """
    found = [foreign_files.find(part.pattern, part.flag) for part in parts]
    _refuse_common_files(parts, found)
    indexes: list[list[ForeignIndex]] = []
    keys = reading.keys
    for part, of_part in zip(parts, found):
        indexes.append(list(foreign_index.of_files(of_part, keys)))
        keys = next((index.keys for index in indexes[-1] if len(index.lengths)), Keys("", ""))
        if not keys.image:
            raise InputError(f"{part}: has no record; give TFRecords with pictures")
    classes = foreign_labels.classes_of(
        indexes[0], keys.label, reading.classes, reading.first_label, said=str(parts[0])
    )
    manifest.check_classes(classes.names)
    of_parts = [_Files(files, of_files, classes) for files, of_files in zip(found, indexes)]
    names = [part.split for part in parts]
    return ForeignSet(
        classes=classes.names,
        image_size=reading.image_size,
        resize=_RESIZE,
        mean=[],
        deviation=[],
        options={
            "encoding": _ENCODING,
            "image_key": keys.image,
            "label_key": keys.label,
            "first_label": classes.first,
        },
        splits={name: files.split() for name, files in zip(names, of_parts)},
        rejected={},
        made_by="another program",
        records={name: files.records() for name, files in zip(names, of_parts)},
        sources={name: [file.path for file in files.files] for name, files in zip(names, of_parts)},
    )


def _refuse_common_files(parts: list[Part], found: list[list[ForeignFile]]) -> None:
    """Raises InputError where a file belongs to two parts: nothing may be both trained on and validated on."""
    part_of: dict[str, Part] = {}
    for part, files in zip(parts, found):
        for file in files:
            other = part_of.setdefault(file.real_path, part)
            if other != part:
                raise InputError(
                    f"{part}: {printable(str(file.path))} belongs to {other}, too; give patterns that have no file in "
                    "common"
                )


class _Files:
    """The files of a part that have records, with what is known of each.

    Attributes:
        files: The files.
    """

    def __init__(self, files: list[ForeignFile], indexes: list[ForeignIndex], classes: Classes) -> None:
        used = [(file, index) for file, index in zip(files, indexes) if len(index.lengths)]
        self.files = [file for file, _ in used]
        self._indexes = [index for _, index in used]
        self._classes = classes
        self._labels = [foreign_labels.labels_of(index, file.path, classes) for file, index in used]
        names = [file.path.name for file in self.files]
        # Files in several folders may have the same.
        self._names = names if len(set(names)) == len(names) else [str(file.path) for file in self.files]

    def split(self) -> Split:
        """What stands in the manifest."""
        counts = np.bincount(np.concatenate(self._labels), minlength=len(self._classes.names))
        described = zip(self._names, self._indexes, self.files)
        shards = [Shard(name, len(index.lengths), file.bytes, index.sha256) for name, index, file in described]
        return Split(counts.tolist(), shards)

    def records(self) -> Records:
        """Where the records lie; the key of each is the name of its file and its number there."""
        counts = [len(index.lengths) for index in self._indexes]
        offsets = []
        for file, index in zip(self.files, self._indexes):
            framed = index.lengths + tfrecord.FRAME_BYTES
            # An unpacked file is an entry of the cache.
            offsets.append(np.cumsum(framed) - framed + (cache.HEAD_BYTES if file.is_gzip else 0))
        return Records(
            [index.path for index in self._indexes],
            np.repeat(np.arange(len(counts)), counts),
            np.concatenate(offsets),
            np.concatenate([index.lengths for index in self._indexes]),
            np.concatenate(self._labels),
            [f"{name}:{number}" for name, count in zip(self._names, counts) for number in range(count)],
        )
