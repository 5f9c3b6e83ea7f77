"""The manifest `dataset.json` of a data set: what the shards hold, so that no reader opens one to know.

What it says is checked here, field by field, and against the sizes of the files, before anyone relies on it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dogcat.core import commands, places
from dogcat.core.options import InputError
from dogcat.core.places import Place
from dogcat.dataset import json_value, raw_layout, shard_plan, tfrecord
from dogcat.dataset.json_value import Value
from dogcat.pictures.geometry import RESIZE_MODES
from dogcat.pictures.labels import MOST_CLASSES

FILE_NAME = "dataset.json"
FORMAT_VERSION = 2
# The first that has an index beside each shard.
_WITH_INDEX = 2

# The formats of pictures in shards, and what their bytes begin with.
JPEG = "jpeg"
PNG = "png"
RAW = raw_layout.FORMAT
FORMATS = {JPEG: b"\xff\xd8\xff", PNG: b"\x89PNG\r\n\x1a\n", RAW: b""}

# 100,000 shards fit in.
_MOST_BYTES = 32 * 2**20
_LARGEST_IMAGE = 4096
_SHA256 = re.compile("[0-9a-f]{64}")
_SPLIT = re.compile("[A-Za-z0-9_]{1,50}")


class UnreadableManifestError(InputError):
    """What stands in the manifest's place is damaged, contradicts itself, is of another version, or is not one."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of records.

    Attributes:
        name: File name in the data set's folder.
        records: Number of pictures.
        bytes: Size of the file.
        sha256: Hash of the file, hex.
        index: Hash of its index, the file beside it (`dataset.shard_index`), hex; empty in data sets of version 1.
    """

    name: str
    records: int
    bytes: int
    sha256: str
    index: str = ""


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

    @property
    def encoding(self) -> str:
        """The format of every picture, one of `FORMATS`."""
        return str(self.options["encoding"])

    def to_json(self) -> str:
        """The manifest as text; the same manifest gives the same text."""
        content = dataclasses.asdict(self)
        if self.format_version < _WITH_INDEX:
            for split in content["splits"].values():
                for shard in split["shards"]:
                    del shard["index"]
        return json.dumps(content, indent=2) + "\n"

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


def load(folder: Place, *splits: str) -> Manifest:
    """Reads the manifest of the data set in `folder` and checks that each shard is there in full size.

    Args:
        folder: The data set's folder, or its address.
        splits: Names of the splits that it must have.

    Raises:
        InputError: There is no folder, no manifest, one that cannot be read, or one without these splits; or a shard is
            missing, not a regular file, or of another size.
    """
    manifest = read(folder)
    for name in splits:
        if name not in manifest.splits:
            raise InputError(
                f"{folder}: has no split {name}, only {', '.join(manifest.splits)}; give a data set with {name}, as "
                f"{commands.spelled('make-tfrecords')} makes of pictures with labels"
            )
    shards = [shard for split in manifest.splits.values() for shard in split.shards]
    for shard, wrong in zip(shards, wrong_files(folder, shards)):
        if wrong:
            raise InputError(f"{folder / shard.name} {wrong}; copy it again, or make the data set again")
    return manifest


def wrong_file(path: Place, shard: Shard) -> str:
    """In words what keeps a file from being the shard, told without reading it; empty: nothing does."""
    try:
        size = places.size_of(path)
    except FileNotFoundError:
        return "is missing"
    if size is None:
        return "is not a regular file"
    if size != shard.bytes:
        return f"has {size} bytes, the manifest says {shard.bytes}"
    return ""


def wrong_files(folder: Place, shards: list[Shard]) -> Iterator[str]:
    """What `wrong_file` says of each of some shards of a folder."""
    return places.each(lambda shard: wrong_file(folder / shard.name, shard), shards, folder)


def read(folder: Place) -> Manifest:
    """Reads the manifest of the data set in `folder`, whatever has become of the shards.

    Raises:
        InputError: There is no folder or no manifest.
        UnreadableManifestError: The manifest cannot be read as one.
    """
    if isinstance(folder, Path):
        _require_finished(folder)
    path = folder / FILE_NAME
    try:
        content = places.read_bounded(path, _MOST_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"{path}: {error.strerror}; give the address of a finished data set") from None
    try:
        return _manifest(Value("", json_value.from_json(content.decode("utf-8"))))
    # Bytes other than UTF-8, JSON that is broken, a wrong field; or lists nested too deeply.
    except (ValueError, RecursionError) as error:
        raise UnreadableManifestError(f"{path}: {error}; copy it again, or make the data set again") from error


def _require_finished(folder: Path) -> None:
    """Raises InputError where a folder of this machine is none, or has no manifest."""
    if folder.is_file():
        raise InputError(f"{folder} is a file; give the folder of a data set")
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; make a data set with {commands.spelled('make-tfrecords')}")
    if not (folder / FILE_NAME).is_file():
        raise InputError(
            f"{folder} has no {FILE_NAME}, so it is not a finished data set; make one with "
            f"{commands.spelled('make-tfrecords')}"
        )


def check_classes(classes: list[str]) -> None:
    """Refuses names of classes with which a data set could not be read again.

    Raises:
        InputError: A name is empty, too long, there twice, or no text that a file could be called.
    """
    try:
        _class_names(Value("classes", classes))
    except ValueError as error:
        raise InputError(f"{error}; rename the class") from error


def _manifest(content: Value) -> Manifest:
    version = content.member("format_version").whole(1)
    # First, since another version may have other fields.
    if version > FORMAT_VERSION:
        raise ValueError(f"format_version is {version}, this program reads {FORMAT_VERSION}; use a newer one")
    classes = _class_names(content.member("classes"))
    image_size = content.member("image_size").whole(1, _LARGEST_IMAGE)
    options = content.member("options")
    layout = _layout(options, image_size)
    has_index = version >= _WITH_INDEX
    return Manifest(
        classes=classes,
        image_size=image_size,
        resize=content.member("resize").one_of(RESIZE_MODES),
        mean=[item.number(0, 255) for item in content.member("mean").items(3)],
        deviation=[item.number(0, 255) for item in content.member("deviation").items(3)],
        options=options.value,
        splits={
            name: _split(name, split, len(classes), layout, has_index)
            for name, split in content.member("splits").members(_SPLIT, 1)
        },
        rejected={reason: count.whole(0) for reason, count in content.member("rejected").members()},
        made_by=content.member("made_by").text(),
        format_version=version,
    )


def _class_names(content: Value) -> list[str]:
    names: dict[str, None] = {}
    for item in content.items(most=MOST_CLASSES):
        name = item.text()
        if not name or name in names:
            item.refuse("a name of its own")
        names[name] = None
    return list(names)


def _layout(options: Value, image_size: int) -> raw_layout.Layout | None:
    """The layout of raw records that the options promise; None for other records."""
    options.finite()
    if options.member("encoding").one_of(tuple(FORMATS)) != RAW:
        return None
    offset = options.member("pixels_offset")
    layout = raw_layout.Layout(options.member("record_bytes").whole(1), offset.whole(1))
    wanted = layout.record_bytes - raw_layout.picture_bytes(image_size) - tfrecord.FOOTER_BYTES
    if layout.pixels_offset != wanted or wanted < tfrecord.HEADER_BYTES + len(raw_layout.pixels_start(image_size)):
        offset.refuse(f"where {image_size}x{image_size} pixels end a record of {layout.record_bytes} bytes")
    return layout


def _split(name: str, content: Value, classes: int, layout: raw_layout.Layout | None, has_index: bool) -> Split:
    of_shards = content.member("shards").items()
    found = [
        _shard(shard, shard_plan.shard_name(name, index, len(of_shards)), layout, has_index)
        for index, shard in enumerate(of_shards)
    ]
    counts = content.member("counts")
    split = Split([count.whole(0) for count in counts.items(classes)], found)
    if classes and sum(split.counts) != split.pictures:
        counts.refuse(f"{split.pictures} pictures together, as the shards have")
    return split


def _shard(content: Value, name: str, layout: raw_layout.Layout | None, has_index: bool) -> Shard:
    if content.member("name").text() != name:
        content.member("name").refuse(name)
    size = content.member("bytes").whole(0)
    count = content.member("records")
    shard = Shard(name, count.whole(0), size, _hash(content.member("sha256")))
    if has_index:
        shard = dataclasses.replace(shard, index=_hash(content.member("index")))
    if layout and shard.records * layout.record_bytes != size:
        count.refuse(f"the number of records of {layout.record_bytes} bytes in the {size} of {name}")
    if shard.records * tfrecord.FRAME_BYTES > size or (size and not shard.records):
        count.refuse(f"what the {size} bytes of {name} can hold")
    return shard


def _hash(content: Value) -> str:
    if not _SHA256.fullmatch(content.text()):
        content.refuse("64 hexadecimal digits")
    return content.text()
