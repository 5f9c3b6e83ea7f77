"""Runs a network over all batches of a dataset: on the devices of a strategy, or through another engine."""

from __future__ import annotations

import abc
import collections
from collections.abc import Iterator
from typing import Callable

import numpy as np
import tensorflow as tf

from dogcat.core.progress import pictures_bar
from dogcat.models import openvino_network, workers
from dogcat.models.distribution import MakeDataset, distribute
from dogcat.models.onnx_network import OnnxNetwork
from dogcat.models.openvino_network import OpenVinoNetwork

# From pictures, uint8 [batch, height, width, 3], to a row for each, float32.
Network = Callable[[tf.Tensor], tf.Tensor]
# What becomes of a replica's pictures before the network, by the number of the batch, int64.
Prepare = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Forward(abc.ABC):
    """A network that is set up once and then run over datasets."""

    def __call__(self, make_dataset: MakeDataset, pictures: int, what: str) -> np.ndarray:
        """Runs over the padded batches of a dataset.

        Args:
            make_dataset: Makes the batches of pictures for a worker; padding only at the end.
            pictures: Number of pictures; what comes after them is padding.
            what: What the progress bar says.

        Returns:
            float32 [pictures, ...], in the order of the dataset, the same in every worker.
        """
        return np.concatenate(list(self.batches(make_dataset, pictures, what)))

    def batches(self, make_dataset: MakeDataset, pictures: int, what: str, first: int = 0) -> Iterator[np.ndarray]:
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
            for padded in self._padded(make_dataset):
                output = padded[: pictures - first]
                first += len(output)
                progress.update(len(output))
                yield output

    @abc.abstractmethod
    def _padded(self, make_dataset: MakeDataset) -> Iterator[np.ndarray]:
        """Yields the network's rows for each global batch, padding included."""


def make_forward(
    network: Network | OpenVinoNetwork | OnnxNetwork, strategy: tf.distribute.Strategy, prepare: Prepare | None = None
) -> Forward:
    """The way to run a network.

    Args:
        network: A function in TensorFlow; or what another engine runs, whose strategy has one replica.
        strategy: The devices.
        prepare: What each replica does first; None: nothing.
    """
    if isinstance(network, (OpenVinoNetwork, OnnxNetwork)):
        return _StartedForward(network, prepare)
    return _StrategyForward(network, strategy, prepare)


class _StrategyForward(Forward):
    def __init__(self, network: Network, strategy: tf.distribute.Strategy, prepare: Prepare | None) -> None:
        self._strategy = strategy
        self._gathers = workers.are_several(strategy)

        def on_replica(batch: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            output = network(prepare(batch, number) if prepare else batch)
            # What other processes computed comes through the network; the rest is at hand.
            return tf.distribute.get_replica_context().all_gather(output, axis=0) if self._gathers else output

        self._run = tf.function(lambda batch, number: strategy.run(on_replica, (batch, number)), autograph=False)

    def _padded(self, make_dataset: MakeDataset) -> Iterator[np.ndarray]:
        for number, batch in enumerate(distribute(self._strategy, make_dataset)):
            of_replicas = self._strategy.experimental_local_results(self._run(batch, tf.constant(number, tf.int64)))
            yield np.concatenate(of_replicas[:1] if self._gathers else of_replicas)


class _StartedForward(Forward):
    def __init__(self, network: OpenVinoNetwork | OnnxNetwork, prepare: Prepare | None) -> None:
        self._network = network
        self._prepare = tf.function(prepare, autograph=False) if prepare else None

    def _padded(self, make_dataset: MakeDataset) -> Iterator[np.ndarray]:
        running: collections.deque[Callable[[], np.ndarray]] = collections.deque()
        try:
            for number, batch in enumerate(make_dataset(tf.distribute.InputContext())):
                prepared = self._prepare(batch, tf.constant(number, tf.int64)) if self._prepare else batch
                running.append(self._network.start(prepared.numpy()))
                if len(running) == openvino_network.AT_ONCE:
                    yield running.popleft()()
            while running:
                yield running.popleft()()
        finally:
            # Where the caller stops, none may still compute while the program takes itself down.
            for result in running:
                result()
