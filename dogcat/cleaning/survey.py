"""What the pictures of a folder are like: a row for each, and which of them stand out. No TensorFlow."""

from __future__ import annotations

import dataclasses
import heapq
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dogcat.cleaning import pieces
from dogcat.core import tables
from dogcat.core.calls import Calls
from dogcat.dataset.encoding import UNREADABLE
from dogcat.pictures import decode, folders, rejections

# What pictures whose class nothing tells are called where people read it.
NO_CLASS = "no class"

# A JPEG that is decoded for this side comes at 1/2 to 1/8, which takes less time and moves the mean by less than 1 of
# 255: blocks that reach beyond the picture's edge count as whole ones, and for a smaller side they would be a larger
# share. The data are read to their end at any scale, so that a file that is cut short shows.
_SIDE = 32
_LUMA = np.array((0.299, 0.587, 0.114))


class Usable(NamedTuple):
    """A picture that can be decoded.

    Attributes:
        path: Its key.
        label: Name of its class; empty where nothing tells it.
        excluded: 1 if the file of exclusions names it, else 0.
        bytes: Size of the file.
        format: As `decode.Picture.format`.
        mode: As `decode.Picture.mode`.
        orientation: EXIF orientation, 1 to 8.
        width: In pixels, upright.
        height: In pixels, upright.
        brightness: Mean luma, 0 (black) to 255 (white), to within 1.
    """

    path: str
    label: str
    excluded: int
    bytes: int
    format: str
    mode: str
    orientation: int
    width: int
    height: int
    brightness: float

    @property
    def area(self) -> int:
        """In pixels."""
        return self.width * self.height

    @property
    def aspect(self) -> float:
        """Width for each unit of height."""
        return self.width / self.height


class Unusable(NamedTuple):
    """A picture that the shard tool would reject.

    Attributes:
        path: Its key.
        label: Name of its class; empty where nothing tells it.
        excluded: 1 if the file of exclusions names it, else 0.
        bytes: Size of the file; None where the file system refuses to tell.
        reason: As in rejected.csv of a data set.
        detail: What exactly is wrong.
    """

    path: str
    label: str
    excluded: int
    bytes: int | None
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Survey:
    """The pictures of a folder, each of them in one of two lists, both sorted by key."""

    usable: list[Usable]
    unusable: list[Unusable]

    @property
    def pictures(self) -> int:
        """Number of all pictures."""
        return len(self.usable) + len(self.unusable)

    def kept(self) -> Survey:
        """Without the excluded ones."""
        return Survey([p for p in self.usable if not p.excluded], [p for p in self.unusable if not p.excluded])

    def as_csv(self) -> bytes:
        """A line for each picture, sorted by key; what is not known of it is empty."""
        unknown = [None] * (len(Usable._fields) - 4)
        rows: list[tuple[Any, ...]] = [(*picture, None, None) for picture in self.usable]
        rows += [(*picture[:4], *unknown, picture.reason, picture.detail) for picture in self.unusable]
        rows.sort(key=lambda row: os.fsencode(row[0]))
        return tables.as_csv((*Usable._fields, "reason", "detail"), rows)


def survey(found: Iterable[Usable | Unusable], label_of: Mapping[str, str], excluded: Collection[str]) -> Survey:
    """What the pictures of a folder are like; memory grows by the rows alone, 0.4 KB a picture.

    Args:
        found: What `look` gives.
        label_of: Class of each key that has one.
        excluded: Keys to mark as excluded.
    """
    survey = Survey([], [])
    for picture in found:
        label, is_excluded = label_of.get(picture.path, ""), int(picture.path in excluded)
        if isinstance(picture, Usable):
            survey.usable.append(picture._replace(label=label, excluded=is_excluded))
        else:
            survey.unusable.append(picture._replace(label=label, excluded=is_excluded))
    return survey


def look(folder: Path, keys: Sequence[str], max_pixels: int, workers: int | Calls[Any]) -> Iterator[Usable | Unusable]:
    """Reads each picture once.

    Args:
        folder: The folder that keys are relative to.
        keys: The pictures, sorted.
        max_pixels: Pictures of more pixels are unusable.
        workers: As of `pieces.of_each`, and so are the errors.
    """
    return pieces.of_each(_look_at, folder, keys, max_pixels, workers, "surveying")


def outliers(
    pictures: Sequence[Usable], measures: Mapping[str, Callable[[Usable], float]], most: int
) -> dict[str, list[Usable]]:
    """The pictures at the end of each measure, apart from those that share their value with many.

    Args:
        pictures: Any number.
        measures: By what the pictures with the highest value are, like `widest`.
        most: Pictures for each measure, at most.

    Returns:
        By measure, the highest first; none of more than `most` pictures with the same value.
    """
    found = {}
    for what, measure in measures.items():
        highest = heapq.nlargest(most + 1, pictures, key=measure)
        # Where more pictures than can be named have the value, each of them is like many others.
        shared = measure(highest[most]) if len(highest) > most else None
        found[what] = [picture for picture in highest[:most] if measure(picture) != shared]
    return found


def _look_at(folder: Path, key: str, max_pixels: int) -> Usable | Unusable:
    """What a picture is like, its class and whether it is excluded left open."""
    size = None
    try:
        with folders.open_file(folder / key) as file:
            size = os.fstat(file.fileno()).st_size
            picture = decode.decode(file, max_pixels, _SIDE)
    except rejections.RejectedPicture as rejected:
        return Unusable(key, "", 0, size, rejected.reason, rejected.detail)
    except OSError as error:
        return Unusable(key, "", 0, size, UNREADABLE, str(error.strerror))
    height, width = picture.rgbx.shape[:2]
    # Over one axis after the other, with the byte without meaning: several times quicker, and no copy of another type.
    red_green_blue = picture.rgbx.sum(0, dtype=np.uint32).sum(0)[:3]
    brightness = round(float(red_green_blue @ _LUMA) / (height * width), 1)
    of_file = (picture.format, picture.mode, picture.orientation)
    return Usable(key, "", 0, size, *of_file, picture.width, picture.height, brightness)
