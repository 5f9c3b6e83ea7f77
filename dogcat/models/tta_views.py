"""What a network is shown of a picture besides the picture itself."""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

# Numbers of the views that nothing is drawn for; greater ones are augmented.
MAGNIFIED, PLAIN, MAGNIFIED_MIRROR = -1, 0, 1

# How many times larger the middle of a picture is shown than in the picture. ImageNet's networks were trained on parts
# of pictures and are better on them than on the whole; the factor is the first that was tried
# (docs/decisions/recipe.md).
MAGNIFICATION = 1.25


def mirrored(pictures: tf.Tensor) -> tf.Tensor:
    """Pictures mirrored left to right, uint8 [batch, height, width, 3]."""
    return tf.reverse(pictures, [2])


def magnified(pictures: tf.Tensor) -> tf.Tensor:
    """The middle of each picture at the size of the whole, bilinear.

    Args:
        pictures: uint8 [batch, size, size, 3], the size known.

    Returns:
        uint8, the same shape.
    """
    size = pictures.shape[1]
    edge = round(size * (1 - 1 / MAGNIFICATION) / 2)
    middle = pictures[:, edge : size - edge, edge : size - edge]
    return tf.cast(tf.round(tf.image.resize(middle, (size, size))), tf.uint8)


# What is shown of pictures, by the number of the view.
SHOWN: dict[int, Callable[[tf.Tensor], tf.Tensor]] = {
    MAGNIFIED: magnified,
    PLAIN: lambda pictures: pictures,
    MAGNIFIED_MIRROR: lambda pictures: mirrored(magnified(pictures)),
}


def of_validation(magnify: float) -> int:
    """The view that a run validates, by the share of training pictures that it magnifies.

    A network that learned from magnified pictures is judged by them, as it predicts from them.
    """
    return MAGNIFIED if magnify else PLAIN
