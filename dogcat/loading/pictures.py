"""The pictures of a split by their places: the one interface to all readers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import tensorflow as tf


class Pictures(Protocol):
    """The pictures of a split, by their places in the order of the shards.

    Attributes:
        labels: int32 [pictures].
        image_size: Height and width, in pixels.
        keys: The key of each picture.
        block: So many neighbours are best read in one go.
    """

    labels: np.ndarray
    image_size: int
    keys: list[str]
    block: int

    def dataset(
        self, runs: tf.data.Dataset, batch_size: int, block: int = 1, whole_batches: bool = True
    ) -> tf.data.Dataset:
        """Batches of (pictures uint8 [batch, image_size, image_size, 3], labels int32 [batch]).

        Args:
            runs: Places of the pictures, one run after the other, each int64 [any number].
            batch_size: Pictures of a batch.
            block: So many neighbours are read in one go where one of them is wanted; runs that hold all pictures of
                the blocks they touch read each once.
            whole_batches: Leave out what is left for a last batch, so that the shape of all is known.
        """
        ...
