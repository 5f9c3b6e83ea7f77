"""From shards to batches on the device: training, evaluation and prediction, each a short linear function."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import tensorflow as tf

from dogcat import examples, records, shards
from dogcat.config import InputError
from dogcat.manifest import Manifest, Split

# Memory for the shuffle buffer, which holds encoded records (about 34 KB a picture, not 268 KB).
SHUFFLE_BYTES = 64 * 2**20
# Shards read at a time.
_OPEN_SHARDS = 16
# One process that takes all.
ALONE = tf.distribute.InputContext()


class Position(NamedTuple):
    """A step of training: its epoch, from 0, and its number within the epoch, from 0."""

    epoch: int
    step: int


BEGINNING = Position(0, 0)


def train_dataset(
    folder: Path,
    manifest: Manifest,
    batch_size: int,
    steps: int,
    seed: int,
    start: Position = BEGINNING,
    context: tf.distribute.InputContext = ALONE,
) -> tf.data.Dataset:
    """Endless shuffled batches for training.

    The order of an epoch follows from (seed, epoch) alone, and differs from epoch to epoch.

    Args:
        folder: The data set's folder.
        manifest: Its manifest.
        batch_size: Global batch size.
        steps: Steps of an epoch, `steps_in_epoch` at most.
        seed: Seed of the order.
        start: Step to begin with.
        context: The worker that asks; each gets its own part of each global batch.

    Returns:
        (pictures uint8 [batch, size, size, 3], labels int32 [batch]), each a replica's share of a global batch: the
        replicas take one after the other.
    """
    records = _training_records(folder, manifest, batch_size, steps, seed, start)
    if context.num_input_pipelines > 1:
        # Cut before decoding: a worker decodes its own pictures alone.
        part = _part_of(context, batch_size)
        records = records.batch(batch_size).map(lambda batch: batch[part]).unbatch()
    dataset = records.map(_decoder(manifest), num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(context.get_per_replica_batch_size(batch_size), drop_remainder=True)
    return _finish(dataset)


def keys_of_batch(
    folder: Path, manifest: Manifest, batch_size: int, steps: int, seed: int, position: Position
) -> list[str]:
    """Keys of the pictures that `train_dataset` gives at a step, over all workers."""
    records = _training_records(folder, manifest, batch_size, steps, seed, position).take(batch_size)
    feature = {examples.FILENAME: tf.io.FixedLenFeature((), tf.string)}
    parsed = [tf.io.parse_single_example(record, feature)[examples.FILENAME] for record in records]
    return [os.fsdecode(key.numpy()) for key in parsed]


def evaluation_dataset(
    folder: Path,
    manifest: Manifest,
    split: str,
    batch_size: int,
    context: tf.distribute.InputContext = ALONE,
    first: int = 0,
) -> tf.data.Dataset:
    """Each picture of a split once, in the order of the shards; the last batch is padded to full size.

    Full batches give every replica the same share, so none gets an empty one.

    Args:
        folder: The data set's folder.
        manifest: Its manifest.
        split: The split's name.
        batch_size: Global batch size.
        context: The worker that asks.
        first: Place of the picture to begin with.

    Returns:
        pictures uint8 [batch, size, size, 3], each a replica's share of a global batch. What comes after the last
        picture is padding.
    """
    # One shard after the other: the order is that of the records on disk.
    records = _shards(folder, manifest.splits[split]).flat_map(_read_shard).skip(first)
    part = _part_of(context, batch_size)
    records = records.batch(batch_size).map(lambda batch: _repeat_first(batch, batch_size)[part]).unbatch()
    decode = _decoder(manifest)
    dataset = records.map(lambda record: decode(record)[0], num_parallel_calls=tf.data.AUTOTUNE)
    return _finish(dataset.batch(context.get_per_replica_batch_size(batch_size), drop_remainder=True))


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
    dataset = tf.data.Dataset.from_generator(batches, output_signature=shape)
    dataset = dataset.map(lambda pictures: _pad(pictures, batch_size))
    replicas = context.num_replicas_in_sync
    if replicas > 1:
        dataset = dataset.flat_map(lambda batch: tf.data.Dataset.from_tensor_slices(tf.split(batch, replicas)))
    return _finish(dataset)


@contextlib.contextmanager
def naming_damaged_shards(folder: Path, manifest: Manifest) -> Iterator[None]:
    """Turns TensorFlow's errors about records, which name no file, into a line that does.

    Raises:
        InputError: A shard that was read in the block is damaged.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.NotFoundError) as error:
        every = [shard for split in manifest.splits.values() for shard in split.shards]
        damaged = [
            shard.name
            for shard in every
            if not (folder / shard.name).is_file() or records.sha256_of(folder / shard.name) != shard.sha256
        ]
        if not damaged:
            raise
        raise InputError(
            f"{folder / damaged[0]} is damaged or gone; python -m tools.inspect_tfrecords {folder} --verify says where"
        ) from error


def steps_in_epoch(split: Split, batch_size: int) -> int:
    """Full batches in one pass over a split."""
    return split.pictures // batch_size


def _training_records(
    folder: Path, manifest: Manifest, batch_size: int, steps: int, seed: int, start: Position
) -> tf.data.Dataset:
    """Serialised examples in the order of training, endless; each epoch has those of `steps` full batches."""
    split = manifest.splits[shards.TRAIN]
    mean_bytes = sum(shard.bytes for shard in split.shards) / split.pictures
    buffer = min(split.pictures, max(batch_size, int(SHUFFLE_BYTES / mean_bytes)))

    def records_of(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = seed * 1_000_003 + epoch
        files = _shards(folder, split)
        files = files.shuffle(len(split.shards), seed=epoch_seed, reshuffle_each_iteration=False)
        records = files.enumerate().interleave(
            lambda number, shard: _read_rotated(shard[0], shard[1], tf.stack([epoch_seed, number])),
            cycle_length=min(len(split.shards), _OPEN_SHARDS),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        # Encoded records are shuffled, before decoding, since pixels take eight times the memory.
        records = records.shuffle(buffer, seed=epoch_seed, reshuffle_each_iteration=False)
        # The remainder is dropped here, so that no batch mixes two epochs; another one each epoch.
        records = records.take(steps * batch_size)
        return records.skip(tf.where(epoch == start.epoch, tf.constant(start.step * batch_size, tf.int64), 0))

    # One iterator over all epochs: the pipeline does not run dry where one epoch ends.
    return tf.data.Dataset.counter(start.epoch).flat_map(records_of)


def _shards(folder: Path, split: Split) -> tf.data.Dataset:
    """(path, number of records to read) of each shard, in order."""
    names = [str(folder / shard.name) for shard in split.shards]
    return tf.data.Dataset.from_tensor_slices((names, np.array([shard.records for shard in split.shards], np.int64)))


def _read_shard(name: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(name).take(count)


def _read_rotated(name: tf.Tensor, count: tf.Tensor, seed: tf.Tensor) -> tf.data.Dataset:
    """The records of a shard from a drawn place on, then those before it: no record is always among the first."""
    start = tf.random.stateless_uniform((), seed, maxval=count, dtype=tf.int64)
    records = _read_shard(name, count)
    return records.skip(start).concatenate(records.take(start))


def _part_of(context: tf.distribute.InputContext, batch_size: int) -> slice:
    """Where a worker's own examples lie in a global batch."""
    size = batch_size // context.num_input_pipelines
    return slice(context.input_pipeline_id * size, (context.input_pipeline_id + 1) * size)


def _decoder(manifest: Manifest) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A function from a serialised example to (picture uint8 [size, size, 3], label int32)."""
    features = {
        examples.ENCODED: tf.io.FixedLenFeature((), tf.string),
        examples.LABEL: tf.io.FixedLenFeature((), tf.int64),
    }
    size = manifest.image_size

    def decode(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, features)
        # The exact transform, as Pillow's: with the fast one, shards and files would differ by rounding.
        picture = tf.io.decode_jpeg(example[examples.ENCODED], channels=3, dct_method="INTEGER_ACCURATE")
        picture = tf.ensure_shape(picture, (size, size, 3))
        return picture, tf.cast(example[examples.LABEL], tf.int32)

    return decode


def _repeat_first(batch: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Adds copies of the first element, up to `batch_size`."""
    missing = batch_size - tf.shape(batch)[0]
    return tf.ensure_shape(tf.concat([batch, tf.repeat(batch[:1], missing)], axis=0), (batch_size,))


def _pad(batch: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Adds zeros along the first axis, up to `batch_size`."""
    missing = batch_size - tf.shape(batch)[0]
    paddings = tf.pad([[0, missing]], [[0, len(batch.shape) - 1], [0, 0]])
    return tf.ensure_shape(tf.pad(batch, paddings), (batch_size, *batch.shape[1:]))


def _finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches; the strategy moves on to the device."""
    options = tf.data.Options()
    options.deterministic = True
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def read_labels(folder: Path, manifest: Manifest, split: str) -> np.ndarray:
    """Labels of a split in the order of `evaluation_dataset`, int32 [pictures]; decodes no picture."""
    return _read_feature(folder, manifest, split, examples.LABEL, tf.int64).astype(np.int32)


def read_keys(folder: Path, manifest: Manifest, split: str) -> list[str]:
    """Keys of a split's pictures in the order of `evaluation_dataset`; decodes no picture."""
    return [os.fsdecode(key) for key in _read_feature(folder, manifest, split, examples.FILENAME, tf.string)]


def _read_feature(folder: Path, manifest: Manifest, split: str, name: str, kind: tf.DType) -> np.ndarray:
    """A feature of each of a split's records, [pictures]."""
    feature = {name: tf.io.FixedLenFeature((), kind)}
    dataset = _shards(folder, manifest.splits[split]).flat_map(_read_shard).batch(1024)
    dataset = dataset.map(lambda batch: tf.io.parse_example(batch, feature)[name])
    return np.concatenate(list(dataset.as_numpy_iterator()))
