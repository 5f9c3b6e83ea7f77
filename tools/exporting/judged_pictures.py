"""Pictures that int8 is calibrated with, and others with labels that a quantized model is judged on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.core.options import InputError
from dogcat.core.places import Place
from dogcat.dataset import encoding, shard_plan
from dogcat.dataset.encoding import Rejection
from dogcat.dataset.manifest import Manifest
from dogcat.loading import readers
from dogcat.models.model_files import Description
from dogcat.pictures import resizing
from dogcat.pictures.geometry import MAX_PIXELS
from dogcat.prediction import labelled_files

# Ranges hardly change with more.
_REPRESENTATIVE = 100
# For intervals.
_FEWEST_JUDGED = 2


class JudgedPictures(NamedTuple):
    """Pictures of a model's size.

    Attributes:
        representative: uint8 [pictures, size, size, 3], at most 100.
        pixels: Others, uint8 [pictures, size, size, 3].
        labels: Of the others, int [pictures].
        source: Where the others are from, for a person.
    """

    representative: np.ndarray
    pixels: np.ndarray
    labels: np.ndarray
    source: str


def of_data_set(folder: Place, data: Manifest, description: Description, most: int) -> JudgedPictures:
    """Representative ones of the training split, and `most` of the validation split, or all if 0.

    Raises:
        InputError: The data set does not fit the model, or is damaged.
    """
    if (data.classes, data.image_size, data.resize) != (
        description.classes,
        description.image_size,
        description.resize,
    ):
        raise InputError(
            f"--tfrecords={folder}: has {', '.join(data.classes)} at {data.image_size} pixels ({data.resize}), the "
            f"model {', '.join(description.classes)} at {description.image_size} ({description.resize}); give a data "
            "set of the same, or pictures with --images"
        )
    trained_on = readers.open_split(folder, data, shard_plan.TRAIN)
    validation = readers.open_split(folder, data, shard_plan.VALIDATION)
    if len(validation.labels) < _FEWEST_JUDGED or not len(trained_on.labels):
        raise InputError(f"--tfrecords={folder}: has too few pictures to judge by; give others with --images")
    places = _drawn(len(validation.labels), most)
    return JudgedPictures(
        readers.take(trained_on, _drawn(len(trained_on.labels), _REPRESENTATIVE)),
        readers.take(validation, places),
        validation.labels[places],
        f"{folder}, split {shard_plan.VALIDATION}",
    )


def of_folder(folder: Path, description: Description, most: int) -> JudgedPictures:
    """Representative ones of a folder with a class for each picture, and `most` others of it, or all if 0.

    Raises:
        InputError: There are too few that can be read, or their classes are not the model's.
    """
    found = labelled_files.find(folder, description.classes)
    order = np.random.default_rng(0).permutation(len(found.keys))
    size = description.image_size
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    for place in order:
        if most and len(pixels) == _REPRESENTATIVE + most:
            break
        picture = encoding.read_picture(folder, found.keys[place], MAX_PIXELS, size)
        if not isinstance(picture, Rejection):
            pixels.append(resizing.resize(picture.rgbx, size, description.resize)[:, :, :3])
            labels.append(found.labels[place])
    # Of few pictures a half.
    split = min(_REPRESENTATIVE, len(pixels) // 2)
    if len(pixels) - split < _FEWEST_JUDGED or not split:
        raise InputError(f"--images={folder}: {len(pixels)} pictures can be read; give {2 * _FEWEST_JUDGED} or more")
    judged = slice(split, split + most if most else None)
    return JudgedPictures(np.stack(pixels[:split]), np.stack(pixels[judged]), np.array(labels[judged]), str(folder))


def _drawn(pictures: int, most: int) -> np.ndarray:
    """Places of some pictures, ascending."""
    drawn = np.random.default_rng(0).permutation(pictures)
    return np.sort(drawn[:most] if most else drawn)
