"""Picture files whose folders or names tell their classes, as a model calls these. No TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.spelling import Spellings
from dogcat.pictures import folders, labels
from dogcat.pictures.labels import LabelledKeys


def find(folder: Path, classes: list[str]) -> LabelledKeys:
    """The pictures of a folder, with labels that are indices into a model's classes.

    Args:
        folder: The folder, as of --images.
        classes: Names of the model's classes.

    Raises:
        InputError: There are none, nothing tells their classes, or the model does not know one.
    """
    listing = folders.list_images(folder)
    tell(listing.summary(str(folder)))
    found = labels.label_keys(listing, {}, [])
    spellings = Spellings(classes)
    meant = [spellings.find(name, f"--images={folder}") for name in found.classes]
    unknown = [name for name, known in zip(found.classes, meant) if known is None]
    if unknown:
        raise InputError(
            f"--images={folder}: has pictures of {unknown[0]!r}, which is none of the model's classes, "
            f"{', '.join(classes)}; name pictures or their folders after these"
        )
    of_model = np.array([classes.index(name) for name in meant if name is not None], np.int32)
    return dataclasses.replace(found, labels=of_model[found.labels], classes=classes)
