"""Augmentation of a batch on its device: shear, zoom and flip as one warp, so that pixels are resampled once.

The parameters are those of Keras'
`ImageDataGenerator(shear_range=0.2, zoom_range=0.2, horizontal_flip=True)`.
Not for a jit-compiled function: XLA has no kernel for the warp.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf
import tensorflow_addons as tfa

SHEAR_DEGREES = 0.2
ZOOM = 0.2


class WarpParameters(NamedTuple):
    """The parameters of a batch; each float32 [batch].

    Attributes:
        shear: Angle in degrees, counter-clockwise.
        zoom_x: Step between columns in the source, in pixels: above 1 shows more of it, smaller.
        zoom_y: The same for rows.
        flip: 1 for a picture that is mirrored left to right, else 0.
    """

    shear: tf.Tensor
    zoom_x: tf.Tensor
    zoom_y: tf.Tensor
    flip: tf.Tensor


def draw(batch_size: int, seed: tf.Tensor) -> WarpParameters:
    """Draws parameters; the same seed gives the same ones.

    Args:
        batch_size: Number of pictures.
        seed: int [2].
    """
    unit = tf.random.stateless_uniform((4, batch_size), seed)
    return WarpParameters(
        shear=SHEAR_DEGREES * (2 * unit[0] - 1),
        zoom_x=1 + ZOOM * (2 * unit[1] - 1),
        zoom_y=1 + ZOOM * (2 * unit[2] - 1),
        flip=tf.cast(unit[3] < 0.5, tf.float32),
    )


def warp(pictures: tf.Tensor, parameters: WarpParameters) -> tf.Tensor:
    """Warps each picture about its centre, bilinear, the border filled with the nearest pixel.

    Args:
        pictures: uint8 [batch, height, width, 3], both sides known.
        parameters: One of each for every picture.

    Returns:
        uint8, the same shape.
    """
    height, width = pictures.shape[1:3]
    transforms = _transforms(parameters, height, width)
    warped = tfa.image.transform(
        tf.cast(pictures, tf.float32), transforms, interpolation="bilinear", fill_mode="nearest"
    )
    # Rounded, since a cast alone would darken every picture by half a level.
    return tf.cast(tf.round(warped), tf.uint8)


def _transforms(parameters: WarpParameters, height: int, width: int) -> tf.Tensor:
    """Flattened projective matrices, float32 [batch, 8], from output to source coordinates (x, y).

    As Keras' `apply_affine_transform`: the shear times the zoom, about the centre; then the flip.
    """
    angle = parameters.shear * (math.pi / 180)
    # A flip of the output mirrors x about the centre before the rest is applied.
    x_from_x = parameters.zoom_x * (1 - 2 * parameters.flip)
    x_from_y = -tf.sin(angle) * parameters.zoom_y
    y_from_y = tf.cos(angle) * parameters.zoom_y
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    zero = tf.zeros_like(angle)
    offset_x = centre_x - x_from_x * centre_x - x_from_y * centre_y
    offset_y = centre_y - y_from_y * centre_y
    columns = (x_from_x, x_from_y, offset_x, zero, y_from_y, offset_y, zero, zero)
    return tf.stack(columns, axis=1)
