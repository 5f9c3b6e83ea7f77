"""How far the parameters of augmentation may go: the ranges, and the sets of them that --augment names."""

from __future__ import annotations

import dataclasses

from dogcat.core.bounds import Bounds
from dogcat.core.options import Options, option


@dataclasses.dataclass(frozen=True)
class AugmentationRanges(Options):
    """How far each parameter of augmentation may go; 0 leaves a picture as it is.

    A parameter is uniform over its range, drawn for each picture anew.
    """

    shear: float = option(0.0, "Largest shear, either way.", bounds=Bounds(at_least=0, below=90, unit="degrees"))
    zoom: float = option(
        0.0,
        "Zoom of each axis, by a factor between 1 minus this and 1 plus this.",
        bounds=Bounds(at_least=0, below=1, example=0.2),
    )
    flip: float = option(
        0.0,
        "Probability that a picture is mirrored left to right.",
        bounds=Bounds(at_least=0, at_most=1, example=0.5),
    )
    rotate: float = option(0.0, "Largest rotation, either way.", bounds=Bounds(at_least=0, at_most=180, unit="degrees"))
    shift: float = option(
        0.0,
        "Largest shift along each axis, either way, as a share of the side.",
        bounds=Bounds(at_least=0, below=1, example=0.1),
    )
    brightness: float = option(
        0.0,
        "Brightness, by a factor between 1 minus this and 1 plus this.",
        bounds=Bounds(at_least=0, at_most=1, example=0.3),
    )


# `source` is that of the recipe which this project follows. `strong` adds what photos of pets differ in anyway: the
# camera is held some degrees askew, the animal is off the middle, the room is dim or bright. It stays below what would
# cut off the animal or turn its fur plain white, since a picture must still show its label.
AUGMENTATIONS = {
    "source": AugmentationRanges(shear=0.2, zoom=0.2, flip=0.5),
    "none": AugmentationRanges(),
    "strong": AugmentationRanges(shear=5.0, zoom=0.2, flip=0.5, rotate=15.0, shift=0.1, brightness=0.3),
}
