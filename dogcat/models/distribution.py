"""Batches of a dataset on the devices of a strategy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Callable

import tensorflow as tf

# From the worker that asks, to the batches of its replicas, in turn.
MakeDataset = Callable[[tf.distribute.InputContext], tf.data.Dataset]


def distribute(strategy: tf.distribute.Strategy, make_dataset: MakeDataset) -> Iterator[Any]:
    """What `strategy.distribute_datasets_from_function` gives, without a wait at its end.

    An iterator of that one cannot be given up before a thread of its own wakes, which sleeps twice as long each time,
    up to a minute, and often misses the call to stop (TensorFlow 2.15, `Model::OptimizeLoop` in
    tensorflow/core/framework/model.cc). A pass over a dataset could last twice as long as its work.

    Args:
        strategy: The devices.
        make_dataset: Makes the dataset of this worker.

    Yields:
        An element for each replica, on its device, for `strategy.run`. A GPU works on the one before meanwhile, since
        neither copies nor steps are waited for.
    """

    def id_of(context: tf.distribute.ValueContext) -> int:
        return context.replica_id_in_sync_group

    replicas = strategy.experimental_local_results(strategy.experimental_distribute_values_from_function(id_of))
    of_all = strategy.num_replicas_in_sync
    worker = tf.distribute.InputContext(of_all // len(replicas), replicas[0] // len(replicas), of_all)
    elements = iter(make_dataset(worker))
    while shares := list(itertools.islice(elements, len(replicas))):
        moved = iter([_on_device(*both) for both in zip(shares, strategy.extended.worker_devices)])
        yield strategy.experimental_distribute_values_from_function(lambda _, moved=moved: next(moved))


def _on_device(share: Any, device: str) -> Any:
    with tf.device(device):
        return tf.nest.map_structure(tf.identity, share)
