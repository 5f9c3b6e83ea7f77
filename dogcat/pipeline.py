"""From shards to batches on the device: training, evaluation and prediction, each a short linear function."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import numpy as np
import tensorflow as tf

from dogcat import examples, records, shards
from dogcat.config import InputError
from dogcat.manifest import Manifest, Split

# Memory for the shuffle buffer, which holds encoded records (about 34 KB a picture, not 268 KB).
SHUFFLE_BYTES = 512 * 2**20
# Shards read at a time.
_OPEN_SHARDS = 16


def train_dataset(
    folder: Path, manifest: Manifest, batch_size: int, seed: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Endless shuffled batches for training; each epoch is `steps_in_epoch` of them.

    The order of an epoch follows from (seed, epoch) alone, and differs from epoch to epoch.

    Args:
        folder: The data set's folder.
        manifest: Its manifest.
        batch_size: Global batch size.
        seed: Seed of the order.
        first_epoch: Epoch to begin with.

    Returns:
        (pictures uint8 [batch, size, size, 3], labels int32 [batch]), every batch full.
    """
    split = manifest.splits[shards.TRAIN]
    pictures_in_epoch = steps_in_epoch(split, batch_size) * batch_size
    names = [str(folder / shard.name) for shard in split.shards]
    mean_bytes = sum(shard.bytes for shard in split.shards) / split.pictures
    buffer = min(split.pictures, max(batch_size, int(SHUFFLE_BYTES / mean_bytes)))

    def records_of(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = seed * 1_000_003 + epoch
        files = tf.data.Dataset.from_tensor_slices(names)
        files = files.shuffle(len(names), seed=epoch_seed, reshuffle_each_iteration=False)
        records = _read(files, len(names))
        # Encoded records are shuffled, before decoding, since pixels take eight times the memory.
        records = records.shuffle(buffer, seed=epoch_seed, reshuffle_each_iteration=False)
        # The remainder is dropped here, so that no batch mixes two epochs; another one each epoch.
        return records.take(pictures_in_epoch)

    # One iterator over all epochs: the pipeline does not run dry where one epoch ends.
    dataset = tf.data.Dataset.counter(first_epoch).flat_map(records_of)
    dataset = dataset.map(_decoder(manifest), num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    return _finish(dataset)


def evaluation_dataset(folder: Path, manifest: Manifest, split: str, batch_size: int) -> tf.data.Dataset:
    """Each picture of a split once, in the order of the shards; the last batch is padded to full size.

    Full batches give every replica the same share, so none gets an empty one.

    Returns:
        (pictures uint8 [batch, size, size, 3], labels int32 [batch], weights float32 [batch]); a weight is
        1 for a picture and 0 for padding.
    """
    names = [str(folder / shard.name) for shard in manifest.splits[split].shards]
    # One after the other: the order is that of the records on disk.
    dataset = tf.data.TFRecordDataset(names)
    dataset = dataset.map(_decoder(manifest), num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(batch_size)
    return _finish(dataset.map(_pad_to(batch_size)))


def prediction_dataset(
    batches: Callable[[], Iterator[np.ndarray]], image_size: int, batch_size: int
) -> tf.data.Dataset:
    """Batches of pictures that come from elsewhere than shards; a batch that is not full is padded.

    Args:
        batches: Makes an iterator of uint8 [up to batch_size, image_size, image_size, 3].
        image_size: Height and width, in pixels.
        batch_size: Size of every batch that comes out.

    Returns:
        pictures uint8 [batch_size, image_size, image_size, 3].
    """
    shape = tf.TensorSpec((None, image_size, image_size, 3), tf.uint8)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=shape)
    return _finish(dataset.map(lambda pictures: _pad(pictures, batch_size)))


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


def _read(files: tf.data.Dataset, count: int) -> tf.data.Dataset:
    return files.interleave(
        tf.data.TFRecordDataset,
        cycle_length=min(count, _OPEN_SHARDS),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


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


def _pad_to(batch_size: int) -> Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    def pad(pictures: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        weights = tf.ones_like(labels, tf.float32)
        return _pad(pictures, batch_size), _pad(labels, batch_size), _pad(weights, batch_size)

    return pad


def _pad(batch: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Adds zeros along the first axis, up to `batch_size`."""
    missing = batch_size - tf.shape(batch)[0]
    paddings = tf.pad([[0, missing]], [[0, len(batch.shape) - 1], [0, 0]])
    return tf.ensure_shape(tf.pad(batch, paddings), (batch_size, *batch.shape[1:]))


def _finish(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Prefetches; the strategy moves on to the device."""
    options = tf.data.Options()
    options.deterministic = True
    # Several replicas share one process: each batch is split between them, files are not.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def read_labels(folder: Path, manifest: Manifest, split: str) -> np.ndarray:
    """Labels of a split in the order of `evaluation_dataset`, int32 [pictures]; decodes no picture."""
    names = [str(folder / shard.name) for shard in manifest.splits[split].shards]
    feature = {examples.LABEL: tf.io.FixedLenFeature((), tf.int64)}
    dataset = tf.data.TFRecordDataset(names).batch(1024)
    dataset = dataset.map(lambda batch: tf.io.parse_example(batch, feature)[examples.LABEL])
    return np.concatenate(list(dataset.as_numpy_iterator())).astype(np.int32)
