"""Where in a picture a model sees what speaks for a class: Grad-CAM (Selvaraju et al. 2017)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.models import architecture

# Pictures at a time: memory does not grow with their number.
_BATCH = 16


class HeatMaps:
    """A model whose last feature maps can be weighed by what a class gains from them."""

    def __init__(self, model: keras.Model) -> None:
        """Takes a model of `models.build_model`, of any backbone."""
        self._pooling = architecture.pooling_of(model)
        self._head = architecture.head_of(model)
        self._maps = keras.Model(model.input, self._pooling.input)

    def __call__(self, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Draws a map for each picture.

        Args:
            pictures: uint8 [n, image_size, image_size, 3], n of 1 or more.
            labels: Index of the class to look for in each, [n].

        Returns:
            float32 [n, rows, columns], of the size of the backbone's last feature maps: the hottest place of a picture
            is 1, what does not speak for the class 0; all 0 where nothing does.
        """
        starts = range(0, len(pictures), _BATCH)
        return np.concatenate([self._of_batch(pictures[i : i + _BATCH], labels[i : i + _BATCH]) for i in starts])

    def _of_batch(self, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
        maps = tf.cast(self._maps(pictures, training=False), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            logits = self._head(self._pooling(maps))
            if logits.shape[1] == 1:
                # What speaks against the second class speaks for the first.
                scores = logits[:, 0] * np.where(labels == 1, 1, -1).astype(np.float32)
            else:
                scores = tf.gather(logits, labels, axis=1, batch_dims=1)
        gradients = tape.gradient(scores, maps)
        importance = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(importance * maps, axis=-1)).numpy()
        return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
