"""Pictures in records that are read by their places, decoded and batched in one native graph, wherever the shards lie.

At an address, like gs://bucket/set, the same operations read through TensorFlow's file systems: a block of neighbours
is one read, and several are waited for at a time.
"""

from __future__ import annotations

import contextlib
import functools
import weakref

import numpy as np
import tensorflow as tf

from dogcat.core import runtime
from dogcat.core.options import InputError
from dogcat.dataset import example_proto, stored_picture, tfrecord
from dogcat.dataset.manifest import FORMATS, JPEG, RAW
from dogcat.loading.records import DamagedShardError, Records
from dogcat.loading.untuned import untuned

# Reads that wait at a time, so that a disk or a network has several to answer.
_READS = 16
# Records that are read together where each is a read of its own.
_SINGLE = 256
# Runs that are read while batches are made of the one before.
_RUNS_AHEAD = 1
# What is read in one go: a record of its own takes TensorFlow 90 us, one among neighbours 20 us.
_BLOCK_BYTES = 2**20
# Of raw pixels, which are read so at an address alone, where a request takes longer than a disk's.
_RAW_BLOCK_BYTES = 2**22
# Bytes of records that wait together, which single ones of large pictures would exceed.
_TOGETHER_BYTES = 64 * 2**20


class EncodedPictures:
    """The pictures of shards of JPEG or PNG, and of raw pixels at an address; a `pictures.Pictures`.

    No Python runs between a place and its pixels, so that no lock of Python's is a limit.

    Attributes:
        in_use: Those of which there are datasets.
        records: Where each lies.
        block: As many neighbours as have a MiB, of raw pixels four.
        threads: Number of those that decode; `tf.data.AUTOTUNE`: one a core of whatever machine decodes, 16 at most.
    """

    in_use: weakref.WeakSet[EncodedPictures] = weakref.WeakSet()

    def __init__(self, records: Records, encoding: str, image_size: int, key: str = example_proto.ENCODED) -> None:
        """Takes the records, the format of their pictures, their height and width in pixels, and their feature."""
        self.records = records
        self.labels = records.labels
        self.keys = records.keys
        total = max(1, int(records.lengths.sum()))
        block_bytes = _RAW_BLOCK_BYTES if encoding == RAW else _BLOCK_BYTES
        self.block = max(1, len(records.lengths) * block_bytes // total)
        self._single = max(1, min(_SINGLE, len(records.lengths) * _TOGETHER_BYTES // total))
        self.image_size = image_size
        # What reads has threads of its own. More of them than cores take a quarter of the rate.
        self.threads = runtime.available_cores()
        self._encoding = encoding
        self._key = key

    def dataset(
        self, runs: tf.data.Dataset, batch_size: int, block: int = 1, whole_batches: bool = True
    ) -> tf.data.Dataset:
        """See `pictures.Pictures`."""
        self.in_use.add(self)
        table = self._table
        if block == 1:
            runs = runs.unbatch().batch(self._single)
        labels = tf.constant(self.labels)

        # Nothing in it branches on a tensor; to look for that takes AutoGraph a tenth of a second for each function.
        @tf.autograph.experimental.do_not_convert
        def read(run: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return run, table.read(run, block)

        @tf.autograph.experimental.do_not_convert
        def decoded(place: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self.decode(self._encoded(record)), tf.gather(labels, place)

        data = runs.map(read, _RUNS_AHEAD, deterministic=True).unbatch()
        pictures = data.map(decoded, self.threads, deterministic=True)
        return untuned(pictures.batch(batch_size, drop_remainder=whole_batches), self.threads)

    def elsewhere(self, paths: list[str], together: int) -> EncodedPictures:
        """The same pictures for a graph that another machine runs.

        Args:
            paths: The shards' paths there.
            together: So many single records are read in one go.
        """
        there = EncodedPictures(self.records._replace(paths=paths), self._encoding, self.image_size, self._key)
        there.threads, there._single = tf.data.AUTOTUNE, together
        return there

    @functools.cached_property
    def _table(self) -> _Table:
        """For all datasets."""
        return _Table(self.records)

    def first_unreadable(self) -> int | None:
        """The place of the first picture that cannot be read or decoded; None: all can.

        TensorFlow does not say which. They are read once more in the order of the shards, by blocks up to the first in
        which there is one, and those of that each by itself, so that the number of those that came says which is next.
        """
        count = len(self.labels)
        runs = tf.data.Dataset.range(count).batch(self.block)
        first = _came(self.dataset(runs, self.block, self.block, whole_batches=False).map(lambda _, labels: labels))
        if first == count:
            return None
        end = min(first + self.block, count)
        place = first + _came(self._one_by_one(first, end).map(lambda picture: [0]))
        return None if place == end else place

    def _one_by_one(self, first: int, end: int) -> tf.data.Dataset:
        """Each picture from a place to another in the order of the shards, read by itself."""
        table = self._table

        @tf.autograph.experimental.do_not_convert
        def picture(place: tf.Tensor) -> tf.Tensor:
            [record] = tf.unstack(table.read(place[None], 1), 1)
            return self.decode(self._encoded(record))

        places = tf.data.Dataset.range(first, end)
        return untuned(places.map(picture, self.threads, deterministic=True))

    def _encoded(self, record: tf.Tensor) -> tf.Tensor:
        return tf.io.parse_single_example(record, {self._key: tf.io.FixedLenFeature((), tf.string)})[self._key]

    def damaged(self, place: int, what: str) -> InputError:
        """What says that the picture at a place cannot be read."""
        path = self.records.paths[self.records.shard_of[place]]
        return DamagedShardError(path, what, self.records.number_in_shard(place))

    def wrong_with(self, data: bytes) -> str:
        """What keeps a record's data from being such a picture, in words; empty: nothing that can be told."""
        try:
            picture = stored_picture.parse_picture(data)
            if not picture.encoded.startswith(FORMATS[self._encoding]):
                return f"the picture is not {self._encoding.upper()}, as the manifest says"
            height, width, _ = stored_picture.pixels_of(picture).shape
        except ValueError as error:
            return str(error)
        is_right = (height, width) == (self.image_size, self.image_size)
        return "" if is_right else f"the picture has {width}x{height} pixels, not {self.image_size}x{self.image_size}"

    def decode(self, encoded: tf.Tensor) -> tf.Tensor:
        """Decodes a picture of the promised format and size: uint8 [image_size, image_size, 3]."""
        magic = FORMATS[self._encoding]
        size = self.image_size
        is_right = tf.strings.substr(encoded, 0, len(magic)) == magic
        if self._encoding == JPEG:
            # TensorFlow reads other formats too, and gives memory to whatever size a header tells.
            with tf.control_dependencies([tf.debugging.Assert(is_right, ["not a JPEG"])]):
                shape = tf.image.extract_jpeg_shape(encoded)
            with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(shape[:2] == size), [shape])]):
                # The same pixels as libjpeg's, which the shard tool and prediction use.
                pixels = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
        elif self._encoding == RAW:
            pixels = tf.reshape(tf.io.decode_raw(encoded, tf.uint8), (size, size, 3))
        else:
            # Behind the magic number and the beginning of the first chunk.
            shape = tf.io.decode_raw(tf.strings.substr(encoded, 16, 8), tf.int32, little_endian=False)
            is_right &= tf.reduce_all(shape == size)
            with tf.control_dependencies([tf.debugging.Assert(is_right, [shape])]):
                pixels = tf.io.decode_png(encoded, channels=3)
        return tf.ensure_shape(pixels, (size, size, 3))


def _came(batches: tf.data.Dataset) -> int:
    """How many labels come of batches of them before one that cannot be read."""
    count = 0
    with contextlib.suppress(tf.errors.OpError):
        for labels in batches:
            count += len(labels)
    return count


class _Table:
    """Records as tensors, and how they are read in a graph."""

    def __init__(self, records: Records) -> None:
        self._paths = tf.constant(records.paths, tf.string)
        self._shard_of = tf.constant(records.shard_of)
        self._offsets = tf.constant(records.offsets)
        self._lengths = tf.constant(records.lengths)
        # Where the first record of each shard begins.
        self._firsts = tf.constant(records.offsets[np.unique(records.shard_of, return_index=True)[1]])

    def read(self, places: tf.Tensor, block: int) -> tf.Tensor:
        """The data of the records at some places, string [places]; reads each block that they lie in once."""
        blocks, of_place = tf.unique(places // block, out_idx=tf.int64)
        counts = tf.minimum(tf.size(self._lengths, tf.int64) - blocks * block, block)
        records = tf.data.Dataset.from_tensor_slices((blocks * block, counts)).interleave(
            self._neighbours, cycle_length=_READS, block_length=block, num_parallel_calls=_READS, deterministic=True
        )
        together = untuned(records.batch(tf.reduce_sum(counts))).get_single_element()
        return tf.gather(together, tf.gather(tf.cumsum(counts, exclusive=True), of_place) + places % block)

    def _neighbours(self, first: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
        """Records that follow one another, read in one go; strings."""
        # `x[i]` of tensors is several operations for each dataset to make, `tf.gather` is one.
        shards = tf.range(tf.gather(self._shard_of, first), tf.gather(self._shard_of, first + count - 1) + 1)
        offsets = tf.concat([tf.gather(self._offsets, [first]), tf.gather(self._firsts, shards[1:])], axis=0)
        bytes_of_all = tf.reduce_sum(tf.slice(self._lengths, [first], [count]) + tfrecord.FRAME_BYTES)
        return _records_from(tf.gather(self._paths, shards), offsets, bytes_of_all).take(count)


def _records_from(paths: tf.Tensor, offsets: tf.Tensor, buffer_bytes: tf.Tensor) -> tf.data.Dataset:
    """The records of files, of each from an offset on; strings.

    `tf.data.TFRecordDataset` takes no offsets, only the operation under it does.
    """
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=paths, compression_type="", buffer_size=buffer_bytes, byte_offsets=offsets
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec((), tf.string))
