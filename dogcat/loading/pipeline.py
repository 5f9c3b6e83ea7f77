"""From shards to batches on the device: training, evaluation and prediction, each a short linear function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from dogcat.dataset.manifest import Split
from dogcat.loading.order import WINDOW_BLOCKS, EpochOrder, epoch_order
from dogcat.loading.pictures import Pictures
from dogcat.loading.stoppable import Stoppable
from dogcat.loading.untuned import untuned

# One process that takes all.
ALONE = tf.distribute.InputContext()
# Batches of a replica that wait for the device.
_PREFETCHED = 2
# Nothing here branches on a tensor; to look for that takes AutoGraph a tenth of a second for each function.
_as_it_is = tf.autograph.experimental.do_not_convert
# Of TensorFlow, where no other is set (`random_seed.DEFAULT_GRAPH_SEED`).
_SEED_OF_GRAPHS = 87654321
# More epochs than any run has.
_ENDLESS = 2**31


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
        block: So many neighbouring pictures are shuffled as one block, and read in one go; 1: no blocks; 0: as many
            as are best for the data set.
    """

    batch_size: int
    steps: int
    seed: int
    block: int = 0


class Views(NamedTuple):
    """What is read in place of a split's pictures: something of each that was computed from each of several views.

    Attributes:
        rows: Its reader: that of all pictures in the first view, then in the second, and so on.
        of_epoch: From the number of an epoch to the view of each of its pictures, in its order; int64 [pictures], at
            least those of its steps.
    """

    rows: Pictures
    of_epoch: Callable[[tf.Tensor], tf.Tensor]


def train_dataset(
    pictures: Pictures,
    order: TrainingOrder,
    start: Position = BEGINNING,
    context: tf.distribute.InputContext = ALONE,
    views: Views | None = None,
) -> tf.data.Dataset:
    """Endless shuffled batches for training.

    An epoch is a permutation of all pictures that follows from the order and the epoch's number alone, so any step is
    where it begins to read, and workers and replicas share the batches that one would have.

    Args:
        pictures: The split to train on.
        order: The order of its pictures.
        start: Step to begin with.
        context: The worker that asks; each gets its own part of each global batch.
        views: What is read in place of the pictures, in the same order; None: the pictures.

    Returns:
        (pictures uint8 [batch, size, size, 3], or what is read in their place, labels int32 [batch]), each a replica's
        share of a global batch: the replicas take one after the other.
    """

    @_as_it_is
    def runs_of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        places, windows = order_of_epoch(pictures, order, epoch)
        # The remainder is dropped here, so that no batch mixes two epochs; another one each epoch.
        first = tf.where(epoch == start.epoch, start.step * order.batch_size, 0)
        end = order.steps * order.batch_size
        if views:
            places = places[:end] + len(pictures.labels) * views.of_epoch(epoch)[:end]
        return _runs(places, windows, order.batch_size, tf.cast(first, tf.int64), end, context)

    epochs = tf.data.Dataset.range(start.epoch, _ENDLESS)
    share = context.get_per_replica_batch_size(order.batch_size)
    runs = epochs.flat_map(runs_of_epoch)
    if views:
        return finish(views.rows.dataset(runs, share, views.rows.block))
    return finish(pictures.dataset(runs, share, _block(pictures, order)))


def keys_of_batch(pictures: Pictures, order: TrainingOrder, position: Position) -> list[str]:
    """Keys of the pictures that `train_dataset` gives at a step, over all workers."""
    places = order_of_epoch(pictures, order, position.epoch).places
    first = position.step * order.batch_size
    return [pictures.keys[place] for place in places[first : first + order.batch_size].numpy()]


def order_of_epoch(pictures: Pictures, order: TrainingOrder, epoch: tf.Tensor | int) -> EpochOrder:
    """The order in which training takes all pictures of an epoch."""
    return epoch_order(len(pictures.labels), order.seed, epoch, _block(pictures, order))


def evaluation_dataset(
    pictures: Pictures,
    batch_size: int,
    context: tf.distribute.InputContext = ALONE,
    first: int = 0,
) -> tf.data.Dataset:
    """Each picture of a split once, in the order of the shards; the last batch is padded to full size.

    Full batches give every replica the same share, so none gets an empty one.

    Args:
        pictures: The split.
        batch_size: Global batch size.
        context: The worker that asks.
        first: Place of the picture to begin with.

    Returns:
        pictures uint8 [batch, size, size, 3], each a replica's share of a global batch. What comes after the last
        picture is padding.
    """
    count = len(pictures.labels)
    end = -(-(count - first) // batch_size) * batch_size
    # The last picture again and again is the padding.
    places = tf.minimum(tf.range(first, first + end, dtype=tf.int64), count - 1)
    windows = tf.constant([*range(0, end, WINDOW_BLOCKS * pictures.block), end], tf.int64)
    runs = _runs(places, windows, batch_size, 0, end, context)
    share = context.get_per_replica_batch_size(batch_size)
    return finish(pictures.dataset(runs, share, pictures.block).map(_as_it_is(lambda pixels, labels: pixels)))


def one_pass(
    pictures: Pictures,
    batch_size: int,
    seed: int | None,
    whole_batches: bool,
    context: tf.distribute.InputContext = ALONE,
) -> tf.data.Dataset:
    """Each picture of a split once, for programs with a loop of their own.

    Args:
        pictures: The split.
        batch_size: Global batch size.
        seed: Seed of an order that is another in each iteration; None: the order of the shards.
        whole_batches: Leave out what is left for a last batch.
        context: The process that asks; each gets its own part of each global batch.

    Returns:
        (pictures uint8 [batch, size, size, 3], labels int32 [batch]), each the process' share of a global batch.
    """
    count = len(pictures.labels)
    end = count // batch_size * batch_size if whole_batches else count

    @_as_it_is
    def shuffled(number: tf.Tensor) -> tf.data.Dataset:
        places, windows = order_of_epoch(pictures, TrainingOrder(batch_size, 0, seed or 0), number)
        return _runs(places, windows, batch_size, 0, end, context)

    if seed is None:
        windows = tf.constant([*range(0, end, WINDOW_BLOCKS * pictures.block), end], tf.int64)
        runs = _runs(tf.range(count, dtype=tf.int64), windows, batch_size, 0, end, context)
    else:
        runs = draws(seed).take(1).flat_map(shuffled)
    share = context.get_per_replica_batch_size(batch_size)
    dataset = pictures.dataset(runs, share, pictures.block, whole_batches)
    # Of the last batch, when it is not full, the first processes get the most.
    batches = -(-(end - share * context.input_pipeline_id) // batch_size)
    return finish(dataset.apply(tf.data.experimental.assert_cardinality(batches)))


def draws(seed: int) -> tf.data.Dataset:
    """Random numbers without end, int64, that follow from the seed, and are others in each iteration.

    As `tf.data.Dataset.random` gives them where nobody called `tf.random.set_seed`, on which that one depends too:
    processes that share a pass need not have called it with the same seed.
    """
    drawn = tf.raw_ops.RandomDatasetV2(
        seed=tf.constant(_SEED_OF_GRAPHS, tf.int64),
        seed2=tf.constant(seed, tf.int64),
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        rerandomize_each_iteration=True,
        output_types=[tf.int64],
        output_shapes=[[]],
    )
    return tf.data.experimental.from_variant(drawn, tf.TensorSpec((), tf.int64))


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
    dataset = tf.data.Dataset.from_generator(lambda: Stoppable(batches()), output_signature=shape)
    dataset = dataset.map(_as_it_is(lambda pictures: _pad(pictures, batch_size)))
    replicas = context.num_replicas_in_sync
    if replicas > 1:
        split = _as_it_is(lambda batch: tf.data.Dataset.from_tensor_slices(tf.split(batch, replicas)))
        dataset = dataset.flat_map(split)
    return finish(dataset)


def steps_in_epoch(split: Split, batch_size: int) -> int:
    """Full batches in one pass over a split."""
    return split.pictures // batch_size


def _block(pictures: Pictures, order: TrainingOrder) -> int:
    return order.block or pictures.block


def _runs(
    places: tf.Tensor,
    windows: tf.Tensor,
    batch_size: int,
    first: tf.Tensor | int,
    end: int,
    context: tf.distribute.InputContext = ALONE,
) -> tf.data.Dataset:
    """A worker's own part of each global batch, in runs.

    Args:
        places: Places of pictures, int64 [pictures].
        windows: Where the parts of `places` that are read together begin, and the end; int64 [windows + 1].
        batch_size: Global batch size.
        first: The one to begin with, at the beginning of a batch.
        end: Where the last batch ends.
        context: The worker.

    Returns:
        Places, int64 [any number]: of a window, those of the worker's shares of batches.
    """
    share = batch_size // context.num_input_pipelines
    mine = context.input_pipeline_id

    @_as_it_is
    def run(window: tf.Tensor) -> tf.Tensor:
        begin, behind = tf.gather(windows, window), tf.gather(windows, window + 1)
        at = tf.range(tf.maximum(begin, first), tf.minimum(behind, end))
        own = tf.reshape(tf.where(at % batch_size // share == mine), [-1])
        return tf.gather(places, tf.gather(at, own))

    # That in which the first begins, and that at which the end is.
    first_window = tf.searchsorted(windows, [tf.cast(first, tf.int64)], side="right", out_type=tf.int64)[0] - 1
    end_window = tf.searchsorted(windows, [tf.cast(end, tf.int64)], side="left", out_type=tf.int64)[0]
    return tf.data.Dataset.range(first_window, end_window).map(run)


def _pad(batch: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Adds zeros along the first axis, up to `batch_size`."""
    missing = batch_size - tf.shape(batch)[0]
    paddings = tf.pad([[0, missing]], [[0, len(batch.shape) - 1], [0, 0]])
    return tf.ensure_shape(tf.pad(batch, paddings), (batch_size, *batch.shape[1:]))


def finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """What every dataset ends with: it prefetches, and is not tuned; the strategy moves on to the device."""
    return untuned(dataset.prefetch(_PREFETCHED))
