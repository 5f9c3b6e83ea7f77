"""What TFRecords of other programs hold: their features, and how a training run would read them. No TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import Any

from dogcat.core.options import InputError
from dogcat.core.text import printable, shortened
from dogcat.dataset import foreign_features, foreign_files, tfrecord
from dogcat.dataset.example_proto import Values
from dogcat.dataset.foreign_features import Keys
from dogcat.dataset.foreign_files import ForeignFile
from dogcat.dataset.problems import Problem

# Records that tell what all of them are like, where not all are read.
_FEW = 100
# Values of a feature that are told apart.
_MOST_VALUES = 1000
_LONGEST_SHOWN = 60


@dataclasses.dataclass
class Feature:
    """A feature over several records.

    Attributes:
        types: Its types, as `tf.train.Feature` calls them.
        records: Number of records that have it.
        fewest: Smallest number of its values in one of these.
        most: Largest number.
        example: Its value in the first of these, for a person.
        values: Its single short values with the number of each; None where there are too many.
    """

    types: set[str] = dataclasses.field(default_factory=set)
    records: int = 0
    fewest: int = 0
    most: int = 0
    example: str = ""
    values: dict[str, int] | None = dataclasses.field(default_factory=dict)

    def add(self, values: Values) -> None:
        """Takes the values of one more record."""
        count = len(values)
        shown = foreign_features.shown(values)
        self.fewest = min(self.fewest, count) if self.records else count
        self.example = self.example if self.records else shown
        self.most = max(self.most, count)
        self.records += 1
        self.types.add(foreign_features.type_of(values))
        if self.values is not None:
            self.values[shown] = self.values.get(shown, 0) + 1
            if count != 1 or len(self.values) > _MOST_VALUES:
                self.values = None


@dataclasses.dataclass
class Summary:
    """What was found in some files.

    Attributes:
        files: The files.
        records: Number of records that were read.
        features: By name.
        keys: The features that training would take; empty where that cannot be told.
        unclear: Why that cannot be told, in words.
        problems: What is wrong with records.
    """

    files: list[ForeignFile]
    records: int = 0
    features: dict[str, Feature] = dataclasses.field(default_factory=dict)
    keys: Keys = Keys("", "")
    unclear: str = ""
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        return {
            "files": [{"path": str(file.path), "bytes": file.bytes, "gzip": file.is_gzip} for file in self.files],
            "records_read": self.records,
            "features": {
                name: {**dataclasses.asdict(feature), "types": sorted(feature.types)}
                for name, feature in sorted(self.features.items())
            },
            "image_key": self.keys.image,
            "label_key": self.keys.label,
            "unclear": self.unclear,
        }

    def lines(self) -> list[str]:
        """All of it for a person."""
        names = [printable(name) for name in self.features]
        width = max(map(len, [*names, "feature"]))
        lines = [f"{'feature'.ljust(width)}  type    records  values  example"]
        for name, feature in sorted(self.features.items()):
            types = "/".join(sorted(feature.types)).ljust(6)
            counts = f"{feature.fewest}" if feature.fewest == feature.most else f"{feature.fewest}-{feature.most}"
            shown = shortened(_told(feature), _LONGEST_SHOWN)
            lines.append(f"{printable(name).ljust(width)}  {types}  {feature.records:7}  {counts:>6}  {shown}")
        image, label = map(printable, self.keys)
        return [*lines, "", self.unclear or f"read with: --image_key={image} --label_key={label}"]


def summarize(pattern: str, reads_all: bool) -> Summary:
    """Reads the first records of the first file that has any, or all of all files.

    Args:
        pattern: What names the files.
        reads_all: Whether to read everything, also what pictures' headers tell.

    Raises:
        InputError: No file matches, or one is not a TFRecord file.
    """
    summary = Summary(foreign_files.find(pattern, "folder"))
    for file in summary.files:
        _read(file, summary, None if reads_all else _FEW)
        if summary.records and not reads_all:
            break
    return summary


def _read(file: ForeignFile, summary: Summary, most: int | None) -> None:
    number = offset = 0
    with foreign_files.opened(file) as stream:
        try:
            for data in foreign_files.records_of(stream):
                features = foreign_features.features_of(data)
                if not summary.records:
                    _find_keys(data, summary)
                summary.records += 1
                for name, values in features.items():
                    summary.features.setdefault(name, Feature()).add(values)
                if summary.keys.image:
                    foreign_features.parse(data, summary.keys)
                number += 1
                offset += len(data) + tfrecord.FRAME_BYTES
                if number == most:
                    return
        except ValueError as error:
            summary.problems.append(Problem(str(file.path), str(error), number, offset))


def _find_keys(data: bytes, summary: Summary) -> None:
    try:
        summary.keys = foreign_features.find_keys(data, Keys("", ""))
    except InputError as error:
        summary.unclear = str(error)


def _told(feature: Feature) -> str:
    """The values of a feature with the number of each, if these are few; else its first one."""
    if feature.values is None or len(feature.values) == feature.records > 1:
        return feature.example
    often = sorted(feature.values.items(), key=lambda item: -item[1])
    return ", ".join(f"{value} ({count})" for value, count in often)
