"""The manifest `dataset.json` of a data set: what the shards hold, so that no reader opens one to know."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import reprlib
import typing
from pathlib import Path
from typing import Any

from dogcat.config import InputError

FILE_NAME = "dataset.json"
FORMAT_VERSION = 1


class UnreadableManifestError(InputError):
    """What stands in the manifest's place is damaged, of another version, or none."""


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
        InputError: There is no folder or no manifest.
        UnreadableManifestError: The manifest cannot be read as one.
    """
    if folder.is_file():
        raise InputError(f"{folder} is a file; give the folder of a data set")
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; make a data set with tools.make_tfrecords")
    path = folder / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{folder} has no {FILE_NAME}, so it is no finished data set; make one with tools.make_tfrecords"
        )
    try:
        content = json.loads(path.read_text("utf-8"))
        # First, since another version may have other fields.
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version != FORMAT_VERSION:
            raise ValueError(f"format version {version}, this program reads {FORMAT_VERSION}")
        return _parse(content, Manifest, FILE_NAME)
    # JSON that is broken, other bytes than UTF-8, a wrong field; or lists nested too deeply.
    except (ValueError, RecursionError) as error:
        raise UnreadableManifestError(
            f"{path} is no manifest that this program reads: {error}; copy it again, or make the data set again"
        ) from error


def _parse(value: Any, kind: Any, place: str) -> Any:
    """A value from JSON as the type that a field is annotated with.

    Raises:
        ValueError: It is of another type; the message begins with its place.
    """
    if kind is Any:
        return value
    inner = typing.get_args(kind)
    if typing.get_origin(kind) is list and isinstance(value, list):
        return [_parse(item, inner[0], f"{place}[{index}]") for index, item in enumerate(value)]
    if typing.get_origin(kind) is dict and isinstance(value, dict):
        return {key: _parse(item, inner[1], f"{place}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        kinds = typing.get_type_hints(kind)
        if value.keys() != kinds.keys():
            odd = sorted(value.keys() ^ kinds.keys())[0]
            raise ValueError(f"{place} {'lacks' if odd in kinds else 'has an unknown field'} {odd!r}")
        fields = {name: _parse(value[name], kinds[name], f"{place}.{name}") for name in kinds}
        return kind(**fields)  # type: ignore[operator]
    # True is an int to Python, and a whole number is a right float.
    right = (int, float) if kind is float else typing.get_origin(kind) or kind
    if isinstance(value, right) and not isinstance(value, bool):
        return value
    raise ValueError(f"{place} is {reprlib.repr(value)}, which is no {kind.__name__}")


def _check_size(path: Path, wanted: int) -> None:
    if not path.is_file():
        raise InputError(f"{path} is missing; make the data set again or copy the shard back")
    size = path.stat().st_size
    if size != wanted:
        raise InputError(f"{path} has {size} bytes, the manifest says {wanted}; copy it again")
