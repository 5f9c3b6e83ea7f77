"""Augmentation of a batch on its device: all geometry as one warp, so that pixels are resampled once; then brightness.

The parameters mean what they mean to Keras' `ImageDataGenerator` and are spread as there. The warp is compiled by XLA;
where XLA does not compile, an operation of TensorFlow does it, in 2-5 times the time (docs/decisions/augmentation.md).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import NamedTuple

import tensorflow as tf

from dogcat.models import preflight
from dogcat.training.augmentations import AugmentationRanges


class WarpParameters(NamedTuple):
    """What is done to each picture of a batch, in this order; each float32 [batch].

    Attributes:
        rotate: Angle in degrees, counter-clockwise.
        shift_x: How far the content moves to the left, as a share of the width.
        shift_y: How far it moves up, as a share of the height.
        shear: Angle in degrees by which columns lean, counter-clockwise.
        zoom_x: Step between columns in the source, in pixels: above 1 shows more of it, smaller.
        zoom_y: The same for rows.
        flip: 1 for a picture that is mirrored left to right, else 0.
        brightness: Factor of every pixel. None: all stay as they are, which saves two passes over the pixels.
    """

    rotate: tf.Tensor
    shift_x: tf.Tensor
    shift_y: tf.Tensor
    shear: tf.Tensor
    zoom_x: tf.Tensor
    zoom_y: tf.Tensor
    flip: tf.Tensor
    brightness: tf.Tensor | None


def seed_of(run_seed: int, epoch: tf.Tensor, step: tf.Tensor, replica: tf.Tensor) -> tf.Tensor:
    """The seed of one draw, int64 [2]: the same for the same four numbers, another one for others.

    Args:
        run_seed: The run's seed; this and the others are integers, in a tensor or not.
        epoch: The number of the epoch.
        step: The number of the step.
        replica: The number of the replica.
    """
    seed = tf.stack([tf.cast(run_seed, tf.int64), tf.cast(epoch, tf.int64)])
    for position in (step, replica):
        seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(position, tf.int64))
    return seed


def apply(pictures: tf.Tensor, ranges: AugmentationRanges, seed: tf.Tensor) -> tf.Tensor:
    """Augments a batch with parameters drawn from ranges; where all ranges are 0, returns the batch itself.

    Args:
        pictures: uint8 [batch, height, width, 3], height and width known.
        ranges: How far each parameter may go.
        seed: int [2], as from `seed_of`.

    Returns:
        uint8, the same shape.
    """
    if ranges == AugmentationRanges():
        return pictures
    batch_size = pictures.shape[0]
    return warp(pictures, draw(tf.shape(pictures)[0] if batch_size is None else batch_size, ranges, seed))


def draw(batch_size: tf.Tensor | int, ranges: AugmentationRanges, seed: tf.Tensor) -> WarpParameters:
    """Draws parameters, all independent and uniform; the same seed gives the same ones.

    Args:
        batch_size: Number of pictures.
        ranges: How far each parameter may go.
        seed: int [2].
    """
    unit = tf.random.stateless_uniform((8, batch_size), seed)
    either_way = 2 * unit - 1
    return WarpParameters(
        rotate=ranges.rotate * either_way[0],
        shift_x=ranges.shift * either_way[1],
        shift_y=ranges.shift * either_way[2],
        shear=ranges.shear * either_way[3],
        zoom_x=1 + ranges.zoom * either_way[4],
        zoom_y=1 + ranges.zoom * either_way[5],
        flip=tf.cast(unit[6] < ranges.flip, tf.float32),
        brightness=1 + ranges.brightness * either_way[7] if ranges.brightness else None,
    )


def only_flips(ranges: AugmentationRanges) -> bool:
    """Whether each picture is shown as it is, or mirrored, and in no other way."""
    return dataclasses.replace(ranges, flip=0.0) == AugmentationRanges()


def flips_of_epoch(
    ranges: AugmentationRanges, run_seed: int, epoch: tf.Tensor, steps: int, shares: tuple[int, int]
) -> tf.Tensor:
    """Which pictures of an epoch `apply` mirrors, in the order of its steps and, in each, of the replicas.

    Args:
        ranges: How far each parameter may go.
        run_seed: The run's seed.
        epoch: The number of the epoch.
        steps: Steps of an epoch.
        shares: Number of replicas, and of the pictures of each in a step.

    Returns:
        int64 [steps * replicas * pictures of each]: 1 for a picture that is mirrored, else 0.
    """
    replicas, share = shares

    def of_share(number: tf.Tensor) -> tf.Tensor:
        return draw(share, ranges, seed_of(run_seed, epoch, number // replicas, number % replicas)).flip

    flips = tf.map_fn(of_share, tf.range(steps * replicas), fn_output_signature=tf.TensorSpec((share,), tf.float32))
    return tf.cast(tf.reshape(flips, [-1]), tf.int64)


def warp(pictures: tf.Tensor, parameters: WarpParameters) -> tf.Tensor:
    """Warps each picture about its centre, bilinear, the border filled with the nearest pixel; then sets brightness.

    Args:
        pictures: uint8 [batch, height, width, 3], both sides known, 2 or more.
        parameters: One of each for every picture.

    Returns:
        uint8, the same shape.
    """
    height, width = pictures.shape[1:3]
    resample = _resample_by_operation if preflight.xla_failure() else _resample
    return resample(pictures, _transforms(parameters, height, width), parameters.brightness)


@functools.partial(tf.function, jit_compile=True, autograph=False)
def _resample(pictures: tf.Tensor, transforms: tf.Tensor, brightness: tf.Tensor | None) -> tf.Tensor:
    """Takes each pixel from between four of the source: one pass over the pixels, since XLA fuses all of it.

    Args:
        pictures: uint8 [batch, height, width, 3].
        transforms: As from `_transforms`.
        brightness: float32 [batch], or None.
    """
    height, width = pictures.shape[1:3]
    x_from_x, x_from_y, offset_x, y_from_x, y_from_y, offset_y = tf.unstack(transforms[:, :, None, None], axis=1)
    columns, rows = tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32)[:, None]
    x = tf.clip_by_value(x_from_x * columns + x_from_y * rows + offset_x, 0, width - 1)
    y = tf.clip_by_value(y_from_x * columns + y_from_y * rows + offset_y, 0, height - 1)
    # So that each has a neighbour: at the last column or row all the weight is on that.
    left, upper = tf.minimum(tf.floor(x), width - 2), tf.minimum(tf.floor(y), height - 2)
    to_right, down = (x - left)[..., None], (y - upper)[..., None]
    pixels = tf.reshape(pictures, (-1, height * width, 3))
    place = tf.cast(upper, tf.int32) * width + tf.cast(left, tf.int32)

    def row_between(first: tf.Tensor) -> tf.Tensor:
        """What lies between the pixels at `first` and those to the right of them."""
        one, other = (tf.cast(tf.gather(pixels, at, batch_dims=1), tf.float32) for at in (first, first + 1))
        return one + (other - one) * to_right

    above = row_between(place)
    warped = above + (row_between(place + width) - above) * down
    return _finished(warped, brightness)


@functools.partial(tf.function, autograph=False)
def _resample_by_operation(pictures: tf.Tensor, transforms: tf.Tensor, brightness: tf.Tensor | None) -> tf.Tensor:
    """The same without XLA, to rounding; it takes and gives what `_resample` does."""
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        # Of bytes it would cut off what is behind the point.
        images=tf.cast(pictures, tf.float32),
        # The last two would be perspective.
        transforms=tf.pad(transforms, ((0, 0), (0, 2))),
        output_shape=pictures.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )
    return _finished(warped, brightness)


def _finished(warped: tf.Tensor, brightness: tf.Tensor | None) -> tf.Tensor:
    """Sets brightness; float32 becomes uint8."""
    if brightness is not None:
        warped = tf.minimum(warped * brightness[:, None, None, None], 255.0)
    # Rounded, since a cast alone would darken every picture by half a level.
    return tf.cast(tf.round(warped), tf.uint8)


def _transforms(parameters: WarpParameters, height: int, width: int) -> tf.Tensor:
    """Affine matrices from output to source coordinates, float32 [batch, 6]: the rows that give x and y.

    As Keras' `apply_affine_transform`: rotation times shift times shear times zoom, about the centre; then the flip.
    """
    angle = parameters.rotate * (math.pi / 180)
    # Rotation times shear turns rows by the first angle and columns by the sum of both.
    column_angle = angle + parameters.shear * (math.pi / 180)
    # A flip of the output mirrors x about the centre before the rest is applied.
    zoom_x = parameters.zoom_x * (1 - 2 * parameters.flip)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x_from_x, x_from_y = cos * zoom_x, -tf.sin(column_angle) * parameters.zoom_y
    y_from_x, y_from_y = sin * zoom_x, tf.cos(column_angle) * parameters.zoom_y
    shift_x, shift_y = parameters.shift_x * width, parameters.shift_y * height
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    offset_x = centre_x - x_from_x * centre_x - x_from_y * centre_y + cos * shift_x - sin * shift_y
    offset_y = centre_y - y_from_x * centre_x - y_from_y * centre_y + sin * shift_x + cos * shift_y
    return tf.stack((x_from_x, x_from_y, offset_x, y_from_x, y_from_y, offset_y), axis=1)
