"""From shards to batches on the device: training, evaluation and prediction, each a short linear function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from dogcat.dataset.manifest import Split
from dogcat.loading import readers
from dogcat.loading.order import epoch_order
from dogcat.loading.readers import Reader

# One process that takes all.
ALONE = tf.distribute.InputContext()
# Batches of a replica that wait for the device.
_PREFETCHED = 2


class Position(NamedTuple):
    """A step of training: its epoch, from 0, and its number within the epoch, from 0."""

    epoch: int
    step: int


BEGINNING = Position(0, 0)


class TrainingOrder(NamedTuple):
    """In which order and batches training takes the pictures of each epoch.

    Attributes:
        batch_size: Global batch size.
        steps: Steps of an epoch, `steps_in_epoch` at most.
        seed: Seed of the order.
        block: So many neighbouring pictures are shuffled as one block, and read in one go; 1: no blocks.
    """

    batch_size: int
    steps: int
    seed: int
    block: int = 1


def train_dataset(
    reader: Reader,
    order: TrainingOrder,
    start: Position = BEGINNING,
    context: tf.distribute.InputContext = ALONE,
) -> tf.data.Dataset:
    """Endless shuffled batches for training.

    An epoch is a permutation of all pictures that follows from the order and the epoch's number alone, so any step is
    where it begins to read, and workers and replicas share the batches that one would have.

    Args:
        reader: The split to train on.
        order: The order of its pictures.
        start: Step to begin with.
        context: The worker that asks; each gets its own part of each global batch.

    Returns:
        (pictures uint8 [batch, size, size, 3], labels int32 [batch]), each a replica's share of a global batch: the
        replicas take one after the other.
    """

    def shares() -> Iterator[np.ndarray]:
        for batch in _training_batches(len(reader.labels), order, start):
            yield from _shares(batch, context)

    return finish(reader.dataset(shares, context.get_per_replica_batch_size(order.batch_size), order.block))


def keys_of_batch(reader: Reader, order: TrainingOrder, position: Position) -> list[str]:
    """Keys of the pictures that `train_dataset` gives at a step, over all workers."""
    keys = reader.keys()
    batch = next(_training_batches(len(reader.labels), order, position))
    return [keys[place] for place in batch]


def evaluation_dataset(
    reader: Reader, batch_size: int, context: tf.distribute.InputContext = ALONE, first: int = 0
) -> tf.data.Dataset:
    """Each picture of a split once, in the order of the shards; the last batch is padded to full size.

    Full batches give every replica the same share, so none gets an empty one.

    Args:
        reader: The split.
        batch_size: Global batch size.
        context: The worker that asks.
        first: Place of the picture to begin with.

    Returns:
        pictures uint8 [batch, size, size, 3], each a replica's share of a global batch. What comes after the last
        picture is padding.
    """

    def shares() -> Iterator[np.ndarray]:
        for begin in range(first, len(reader.labels), batch_size):
            # The last picture again and again is the padding.
            batch = np.minimum(np.arange(begin, begin + batch_size), len(reader.labels) - 1)
            yield from _shares(batch, context)

    dataset = reader.dataset(shares, context.get_per_replica_batch_size(batch_size))
    return finish(dataset.map(lambda pictures, labels: pictures))


def prediction_dataset(
    batches: Callable[[], Iterator[np.ndarray]],
    image_size: int,
    batch_size: int,
    context: tf.distribute.InputContext = ALONE,
) -> tf.data.Dataset:
    """Batches of pictures that come from elsewhere than shards; a batch that is not full is padded.

    Args:
        batches: Makes an iterator of uint8 [up to batch_size, image_size, image_size, 3].
        image_size: Height and width, in pixels.
        batch_size: Global batch size.
        context: The process that asks; prediction runs in one.

    Returns:
        pictures uint8 [batch, image_size, image_size, 3], each a replica's share of a global batch.
    """
    shape = tf.TensorSpec((None, image_size, image_size, 3), tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: readers.Stoppable(batches()), output_signature=shape)
    dataset = dataset.map(lambda pictures: _pad(pictures, batch_size))
    replicas = context.num_replicas_in_sync
    if replicas > 1:
        dataset = dataset.flat_map(lambda batch: tf.data.Dataset.from_tensor_slices(tf.split(batch, replicas)))
    return finish(dataset)


def steps_in_epoch(split: Split, batch_size: int) -> int:
    """Full batches in one pass over a split."""
    return split.pictures // batch_size


def _training_batches(pictures: int, order: TrainingOrder, start: Position) -> Iterator[np.ndarray]:
    """Places of the pictures of each global batch, int64 [batch_size], from a step on, endless."""
    epoch, first = start
    while True:
        # The remainder is dropped here, so that no batch mixes two epochs; another one each epoch.
        places = epoch_order(pictures, order.seed, epoch, order.block)[: order.steps * order.batch_size]
        yield from places.reshape(order.steps, order.batch_size)[first:]
        epoch, first = epoch + 1, 0


def _shares(batch: np.ndarray, context: tf.distribute.InputContext) -> list[np.ndarray]:
    """A worker's own part of a global batch, cut into its replicas' shares."""
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    return np.split(np.split(batch, context.num_input_pipelines)[context.input_pipeline_id], replicas)


def _pad(batch: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Adds zeros along the first axis, up to `batch_size`."""
    missing = batch_size - tf.shape(batch)[0]
    paddings = tf.pad([[0, missing]], [[0, len(batch.shape) - 1], [0, 0]])
    return tf.ensure_shape(tf.pad(batch, paddings), (batch_size, *batch.shape[1:]))


def finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """What every dataset ends with: it prefetches, and is not tuned; the strategy moves on to the device."""
    options = tf.data.Options()
    options.deterministic = True
    # Nothing here is left to be tuned, and an iterator may have to wait for the tuner's thread at its end
    # (`distribution`).
    options.autotune.enabled = False
    return dataset.prefetch(_PREFETCHED).with_options(options)
