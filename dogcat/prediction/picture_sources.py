"""Where the pictures of a prediction come from: picture files, or a split of a data set."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from dogcat.core import files, tables
from dogcat.core.options import InputError
from dogcat.core.places import Place, place_of
from dogcat.core.spelling import Spellings, shown
from dogcat.core.text import one_of
from dogcat.dataset import encoding, manifest
from dogcat.dataset.encoding import Rejection
from dogcat.dataset.manifest import Manifest
from dogcat.loading import damage, pipeline, readers
from dogcat.models.model_files import Description
from dogcat.pictures import folders, labels, resizing
from dogcat.pictures.geometry import MAX_PIXELS
from dogcat.prediction import picture_batches
from dogcat.prediction.options import PredictionOptions

_STANDARD_INPUT = "-"


class Pictures(Protocol):
    """Pictures in a fixed order.

    Attributes:
        keys: Key of each picture, each once, at least one.
        rejections: The pictures among those taken so far that cannot be read, by key; black ones stand for them.
    """

    keys: list[str]
    rejections: dict[str, Rejection]

    def dataset(
        self, description: Description, batch_size: int, context: tf.distribute.InputContext, first: int
    ) -> tf.data.Dataset:
        """Batches for `batch_runner.Forward`, beginning with the picture at place `first`.

        Returns:
            uint8 [batch, size, size, 3], each a replica's share of a global batch; padding only at the end.
        """

    def naming_damage(self) -> AbstractContextManager[None]:
        """A block in which errors of reading become an InputError that names the file."""


class PictureFiles:
    """Picture files, decoded in parallel and ahead of the device; `Pictures` says what the other members are.

    Attributes:
        folder: The folder that the keys are relative to.
        max_pixels: Pictures of more pixels are rejected.
        left_out: What else is where they are, in words; empty where there is nothing.
    """

    def __init__(self, folder: Path, keys: list[str], max_pixels: int = MAX_PIXELS, left_out: str = "") -> None:
        """Takes the folder that the keys are relative to, the keys, how large a picture may be, what else is there."""
        self.keys = keys
        self.left_out = left_out
        self.rejections: dict[str, Rejection] = {}
        self.folder = folder
        self.max_pixels = max_pixels

    def dataset(
        self, description: Description, batch_size: int, context: tf.distribute.InputContext, first: int
    ) -> tf.data.Dataset:
        """See `Pictures`."""
        return pipeline.prediction_dataset(
            lambda: self._batches(description, batch_size, first), description.image_size, batch_size, context
        )

    def naming_damage(self) -> AbstractContextManager[None]:
        """See `Pictures`; a picture that cannot be read is not an error."""
        return contextlib.nullcontext()

    def digest(self) -> str:
        """A hash that differs where other pictures would be read, hex."""
        return folders.digest(self.folder, self.keys)

    def _batches(self, description: Description, batch_size: int, first: int) -> Iterator[np.ndarray]:
        size = description.image_size

        def read(key: str) -> np.ndarray | Rejection:
            picture = encoding.read_picture(self.folder, key, self.max_pixels, size)
            if isinstance(picture, Rejection):
                return picture
            return resizing.resize(picture.rgbx, size, description.resize)[:, :, :3]

        return picture_batches.read_ahead(self.keys[first:], read, size, batch_size, self.rejections)


class DataSetSplit:
    """A split of a data set, in the order of its records; `Pictures` says what the other members are.

    Attributes:
        folder: The data set's folder, or its address.
        data: Its manifest.
        split: The split's name.
        labels: int32 [pictures].
    """

    def __init__(self, folder: Place, data: Manifest, split: str) -> None:
        """Reads keys and labels.

        Raises:
            InputError: There is no such split, it is empty, or a shard is damaged.
        """
        if split not in data.splits:
            raise InputError(f"--split={split}: {folder} has no such split; {one_of(split, data.splits)}")
        if not data.splits[split].pictures:
            raise InputError(f"--split={split}: has no picture in {folder}; use another split or data set")
        self.folder = folder
        self.data = data
        self.split = split
        self.rejections: dict[str, Rejection] = {}
        self._reader = readers.open_split(folder, data, split)
        self.keys = self._reader.keys
        self.labels = self._reader.labels

    def dataset(
        self, description: Description, batch_size: int, context: tf.distribute.InputContext, first: int
    ) -> tf.data.Dataset:
        """See `Pictures`; the pictures must be of the description's size."""
        return pipeline.evaluation_dataset(self._reader, batch_size, context, first)

    def naming_damage(self) -> AbstractContextManager[None]:
        """See `Pictures`."""
        return damage.naming_damage()

    def digest(self) -> str:
        """A hash that differs where other pictures would be read, hex."""
        return f"{self.data.digest()} {self.split}"


def open_pictures(options: PredictionOptions) -> PictureFiles | DataSetSplit:
    """The pictures of --images, in the order of their ids, or of --tfrecords.

    Raises:
        InputError: There are none.
    """
    if options.tfrecords:
        folder = place_of(options.tfrecords)
        data = manifest.load(folder)
        if not options.split and len(data.splits) > 1:
            raise InputError(f"--tfrecords={folder}: has the splits {', '.join(data.splits)}; choose one with --split")
        return DataSetSplit(folder, data, options.split or next(iter(data.splits)))
    place = Path(options.images)
    left_out = ""
    if place.is_file() and (place.suffix.lower() in folders.EXTENSIONS or folders.is_picture(place)):
        folder, keys = place.parent, [place.name]
    elif options.images == _STANDARD_INPUT or place.is_file() or place.is_fifo():
        folder, keys = Path(), _listed(options.images)
    else:
        listing = folders.list_images(place)
        folder, keys, left_out = place, listing.keys, listing.left_out
    in_order = [keys[number] for _, number in folders.submission_order(keys)]
    return PictureFiles(folder, in_order, left_out=left_out)


def _standard_input() -> bytes:
    """All of standard input."""
    # Python's word for a stream that was closed when the process began.
    if sys.stdin is None:
        raise InputError(f"--images={_STANDARD_INPUT}: standard input is closed; send the paths to it, or give a file")
    with files.naming(Path("standard input")):
        return sys.stdin.buffer.read()


def _listed(place: str) -> list[str]:
    """The paths that a text file, a pipe or standard input names, a path a line."""
    if place == _STANDARD_INPUT:
        text = tables.decode(_standard_input(), f"--images={place}")
    else:
        text = tables.read_text(Path(place), "--images").text
    keys: dict[str, int] = {}
    folders_seen: dict[str, Spellings] = {}
    for number, line in enumerate(tables.lines_of(text), 1):
        if line.strip():
            flag = f"--images={place}: line {number}"
            key = _on_disk(labels.key_of_line(line, flag), flag, folders_seen)
            if key in keys:
                raise InputError(f"{flag} names {shown(key)} again, after line {keys[key]}; name it once")
            keys[key] = number
    if not keys:
        raise InputError(f"--images={place}: names no picture; write the path of a picture a line")
    return list(keys)


def _on_disk(path: str, place: str, seen: dict[str, Spellings]) -> str:
    r"""A path as the file system spells it; as it was given, where nothing is there in any spelling.

    Args:
        path: As somebody wrote it, perhaps with `\`, or in another form of Unicode.
        place: Where it stands, for messages.
        seen: What was found in folders before, which grows.

    Raises:
        InputError: The path may be one of several.
    """
    if os.path.lexists(path):
        return path
    found = "/" if path.startswith("/") else ""
    for name in filter(None, path.replace("\\", "/").split("/")):
        if not os.path.lexists(found + name):
            if found not in seen:
                # What is not a folder, or none that may be listed, holds no other spelling.
                with contextlib.suppress(OSError):
                    seen[found] = Spellings(os.listdir(found or "."))
            other = seen[found].find(name, place) if found in seen else None
            if other is None:
                return path
            name = other
        found += f"{name}/"
    return found.removesuffix("/")
