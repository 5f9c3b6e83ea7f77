"""Runs a function over all batches of a dataset, on the devices of a strategy."""

from __future__ import annotations

from typing import Callable

import numpy as np
import tensorflow as tf

from dogcat.progress import pictures_bar


class Forward:
    """A function of a batch of pictures, traced once and then run over datasets."""

    def __init__(self, function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], strategy: tf.distribute.Strategy) -> None:
        """Takes what a replica does: from its pictures and the number of the batch, int64, to a row a picture."""
        self._strategy = strategy
        self._run = tf.function(lambda batch, number: strategy.run(function, (batch, number)))

    def __call__(
        self, make_dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset], pictures: int, what: str
    ) -> np.ndarray:
        """Runs over the padded batches of a dataset.

        Args:
            make_dataset: Makes the batches of pictures for a worker; padding only at the end.
            pictures: Number of pictures; what comes after them is padding.
            what: What the progress bar says.

        Returns:
            float32 [pictures, ...], in the order of the dataset, the same in every worker.
        """
        outputs: list[np.ndarray] = []
        done = 0
        with pictures_bar(pictures, what) as progress:
            for number, batch in enumerate(self._strategy.distribute_datasets_from_function(make_dataset)):
                output = self._run(batch, tf.constant(number, tf.int64))
                outputs.append(self._strategy.gather(output, axis=0).numpy())
                before, done = done, min(pictures, done + len(outputs[-1]))
                progress.update(done - before)
        return np.concatenate(outputs)[:pictures]
