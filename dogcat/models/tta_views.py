"""What a network is shown of a picture: itself, or its mirror image."""

from __future__ import annotations

from typing import Callable

import tensorflow as tf

# Numbers of the views that nothing is drawn for; greater ones are augmented.
PLAIN, MIRRORED = 0, 1


def mirrored(pictures: tf.Tensor) -> tf.Tensor:
    """Pictures mirrored left to right, uint8 [batch, height, width, 3]."""
    return tf.reverse(pictures, [2])


# What is shown of pictures, by the number of the view.
SHOWN: dict[int, Callable[[tf.Tensor], tf.Tensor]] = {PLAIN: lambda pictures: pictures, MIRRORED: mirrored}
