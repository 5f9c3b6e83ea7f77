"""Some of the pictures that a reader gives, as pictures of their own."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dogcat.loading.pictures import Pictures


class ChosenPictures:
    """Some of the pictures of another reader; a `pictures.Pictures`."""

    def __init__(self, pictures: Pictures, places: np.ndarray) -> None:
        """Takes the reader of all, and the places of those that are chosen, int64 [chosen]."""
        self.labels = pictures.labels[places]
        self.image_size = pictures.image_size
        self.keys = [pictures.keys[place] for place in places.tolist()]
        # Neighbours among the chosen are neighbours among all, or nearly so: their blocks are those of all.
        self.block = pictures.block
        self._pictures = pictures
        self._places = places

    def dataset(
        self, runs: tf.data.Dataset, batch_size: int, block: int = 1, whole_batches: bool = True
    ) -> tf.data.Dataset:
        """See `pictures.Pictures`."""
        places = tf.constant(self._places, tf.int64)

        @tf.autograph.experimental.do_not_convert
        def places_of(run: tf.Tensor) -> tf.Tensor:
            return tf.gather(places, run)

        return self._pictures.dataset(runs.map(places_of), batch_size, block, whole_batches)
