"""Some pictures as training sees them."""

from __future__ import annotations

import tensorflow as tf

from dogcat.loading import pipeline
from dogcat.loading.pictures import Pictures
from dogcat.training import augment, plots
from dogcat.training.augmentations import AugmentationRanges

# Pictures on the sheet, and versions of each.
_PICTURES, _VERSIONS = 6, 5


def draw(source: Pictures, ranges: AugmentationRanges, seed: int) -> tuple[bytes, tf.Tensor]:
    """Draws the first pictures and versions of them as a PNG; gives it, and the first version of each picture."""
    pictures = next(iter(pipeline.evaluation_dataset(source, _PICTURES)))
    versions = [augment.apply(pictures, ranges, augment.seed_of(seed, 0, step, 0)) for step in range(_VERSIONS)]
    return plots.draw_augmented(pictures.numpy(), [version.numpy() for version in versions], ranges), versions[0]
