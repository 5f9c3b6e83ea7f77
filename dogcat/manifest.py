"""The manifest `dataset.json` of a data set: what the shards hold, so that no reader opens one to know."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from pathlib import Path
from typing import Any

from dogcat.config import InputError

FILE_NAME = "dataset.json"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records.

    Attributes:
        name: File name in the data set's folder.
        records: Number of pictures.
        bytes: Size of the file.
        sha256: Hash of the file, hex.
    """

    name: str
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        counts: Number of pictures of each class, in the order of the classes; empty without labels.
        shards: Its files, in order.
    """

    counts: list[int]
    shards: list[Shard]

    @property
    def pictures(self) -> int:
        """Number of pictures."""
        return sum(shard.records for shard in self.shards)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a data set is.

    Attributes:
        classes: Names of the classes; a label is an index into them.
        image_size: Height and width of every picture, in pixels.
        resize: How pictures became square: stretch, crop or pad.
        mean: Mean of R, G and B over the first split, 0 to 255, from every 8th row and column.
        deviation: Their standard deviation, likewise.
        options: Options that shaped the bytes, by name.
        splits: The parts by name.
        rejected: Number of pictures left out, by reason.
        made_by: Name and version of the writer.
        format_version: Version of this layout.
    """

    classes: list[str]
    image_size: int
    resize: str
    mean: list[float]
    deviation: list[float]
    options: dict[str, Any]
    splits: dict[str, Split]
    rejected: dict[str, int]
    made_by: str
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """The manifest as text; the same manifest gives the same text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def limited(self, pictures: int) -> Manifest:
        """The same data set, of each split the first `pictures` alone; its `counts` still tell of all."""
        splits = {}
        for name, split in self.splits.items():
            shards, left = [], pictures
            for shard in split.shards:
                shards.append(dataclasses.replace(shard, records=min(shard.records, left)))
                left -= shards[-1].records
                if not left:
                    break
            splits[name] = dataclasses.replace(split, shards=shards)
        return dataclasses.replace(self, splits=splits)

    def digest(self) -> str:
        """A hash that differs where any shard, label or option differs, hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def load(folder: Path) -> Manifest:
    """Reads the manifest of the data set in `folder` and checks that each shard is there in full size.

    Raises:
        InputError: There is no folder, no manifest, one that cannot be read, or a shard is missing or of
            another size.
    """
    manifest = read(folder)
    for split in manifest.splits.values():
        for shard in split.shards:
            _check_size(folder / shard.name, shard.bytes)
    return manifest


def read(folder: Path) -> Manifest:
    """Reads the manifest of the data set in `folder`, whatever has become of the shards.

    Raises:
        InputError: There is no folder, no manifest, or one that cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; make a data set with tools.make_tfrecords")
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} has no {FILE_NAME}, so it is no finished data set; make one with tools.make_tfrecords"
        )
    try:
        content = json.loads(path.read_text("utf-8"))
        version = content["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(
                f"{path}: format version {version}, this program reads {FORMAT_VERSION}; make the data set again"
            )
        content["splits"] = {
            name: Split(split["counts"], [Shard(**shard) for shard in split["shards"]])
            for name, split in content["splits"].items()
        }
        manifest = Manifest(**content)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no manifest of a data set: {error}") from error
    for name, kind in typing.get_type_hints(Manifest).items():
        if not _is_of(getattr(manifest, name), kind):
            raise InputError(f"{path} is no manifest of a data set: {name} does not hold what it should")
    return manifest


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value from JSON is of the type that a field is annotated with."""
    if kind is Any:
        return True
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is list:
        return isinstance(value, list) and all(_is_of(item, inner[0]) for item in value)
    if typing.get_origin(kind) is dict:
        return isinstance(value, dict) and all(_is_of(item, inner[1]) for item in value.values())
    if dataclasses.is_dataclass(kind):
        kinds = typing.get_type_hints(kind)
        return all(_is_of(getattr(value, name), kinds[name]) for name in kinds)
    # True is an int to Python, and a whole number is a right float.
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def _check_size(path: Path, wanted: int) -> None:
    if not path.is_file():
        raise InputError(f"{path} is missing; make the data set again or copy the shard back")
    size = path.stat().st_size
    if size != wanted:
        raise InputError(f"{path} has {size} bytes, the manifest says {wanted}; copy it again")
