"""Runs a function over all batches of a dataset, on the devices of a strategy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import numpy as np
import tensorflow as tf

from dogcat import devices
from dogcat.progress import pictures_bar


class Forward:
    """A function of a batch of pictures, traced once and then run over datasets."""

    def __init__(self, function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], strategy: tf.distribute.Strategy) -> None:
        """Takes what a replica does: from its pictures and the number of the batch, int64, to a row a picture."""
        self._strategy = strategy
        self._gathers = devices.is_multi_worker(strategy)

        def on_replica(batch: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            output = function(batch, number)
            # What other processes computed comes through the network; the rest is at hand.
            return tf.distribute.get_replica_context().all_gather(output, axis=0) if self._gathers else output

        self._run = tf.function(lambda batch, number: strategy.run(on_replica, (batch, number)))

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
        return np.concatenate(list(self.batches(make_dataset, pictures, what)))

    def batches(
        self,
        make_dataset: Callable[[tf.distribute.InputContext], tf.data.Dataset],
        pictures: int,
        what: str,
        first: int = 0,
    ) -> Iterator[np.ndarray]:
        """What a call returns, batch by batch as it is computed, without padding.

        Args:
            make_dataset: As for a call; its batches begin with the picture `first`.
            pictures: Number of pictures, those before `first` counted.
            what: What the progress bar says.
            first: Place of the first picture that is left to do.

        Yields:
            float32 [up to the global batch size, ...].
        """
        with pictures_bar(pictures, what, first) as progress:
            for number, batch in enumerate(self._strategy.distribute_datasets_from_function(make_dataset)):
                of_replicas = self._strategy.experimental_local_results(self._run(batch, tf.constant(number, tf.int64)))
                output = np.concatenate(of_replicas[:1] if self._gathers else of_replicas)[: pictures - first]
                first += len(output)
                progress.update(len(output))
                yield output
