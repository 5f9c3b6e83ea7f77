"""Pictures of a split by their places: decoded from JPEG or PNG in threads, or copied from a mapped file of pixels."""

from __future__ import annotations

import atexit
import collections
import concurrent.futures
import itertools
import math
import mmap
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Protocol

import numpy as np
import simplejpeg
import tensorflow as tf

from dogcat import images, index, raw, records, runtime, stored
from dogcat.config import MAX_PIXELS, InputError
from dogcat.manifest import Manifest
from dogcat.mapped import MappedPixels

# Places of the pictures of each batch; each call begins anew.
Batches = Callable[[], Iterator[np.ndarray]]

# Pictures decoded by a call of a thread: few enough that the threads share a batch evenly.
_CHUNK = 8
# Batches decoded ahead of the one that is asked for.
_BATCHES_AHEAD = 2
# Calls that copy batches from mapped pixels at a time: more do not help where memory is the limit.
_COPIES = 2
# Between the last batch and the end of the interpreter.
_SECONDS_TO_END = 0.05


class Reader(Protocol):
    """The pictures of a split, by their places in the order of the shards.

    Attributes:
        labels: int32 [pictures].
        image_size: Height and width, in pixels.
    """

    labels: np.ndarray
    image_size: int

    def keys(self) -> list[str]:
        """The key of each picture."""

    def dataset(self, batches: Batches) -> tf.data.Dataset:
        """Batches of (pictures uint8 [places, image_size, image_size, 3], labels int32 [places])."""


def open_split(folder: Path, made: Manifest, split: str) -> Reader:
    """A reader for a split of a data set.

    Raises:
        InputError: A shard is not what the manifest says.
    """
    shards = index.of_split(folder, made, split)
    layout = raw.layout_of(made.options)
    if not layout:
        return DecodingReader(shards, made)
    pixels = MappedPixels([(shard.file, len(shard.labels)) for shard in shards], made.image_size, layout)
    return MappedReader(_ShardReader(shards, made), pixels)


class _ShardReader:
    """What readers of shards have in common."""

    def __init__(self, shards: list[index.ShardIndex], made: Manifest) -> None:
        """Takes the shards of a split, and the manifest."""
        self._shards = shards
        self.image_size = made.image_size
        self.labels = np.concatenate([np.empty(0, np.int32), *(shard.labels for shard in shards)])

    def keys(self) -> list[str]:
        """See `Reader`."""
        return list(itertools.chain.from_iterable(shard.keys() for shard in self._shards))


class DecodingReader(_ShardReader):
    """Reads encoded pictures.

    Threads decode straight into the memory of the batch, by the decoder that the shard tool and prediction use: so
    the same picture gives the same pixels everywhere, and nothing is copied on the way but the encoded record.
    """

    def __init__(self, shards: list[index.ShardIndex], made: Manifest) -> None:
        """Takes the shards of a split, and the manifest."""
        super().__init__(shards, made)
        self._firsts = np.cumsum([0, *(len(shard.labels) for shard in shards)])

    def dataset(self, batches: Batches) -> tf.data.Dataset:
        """See `Reader`."""
        size = self.image_size
        pictures, labels = tf.TensorSpec((None, size, size, 3), tf.uint8), tf.TensorSpec((None,), tf.int32)
        return _from_generator(lambda: self._decoded(batches()), (pictures, labels))

    def _decoded(self, batches: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        memory = _Memory()
        with concurrent.futures.ThreadPoolExecutor(runtime.available_cores()) as executor:
            pending: collections.deque[tuple[np.ndarray, np.ndarray, list[concurrent.futures.Future[None]]]] = (
                collections.deque()
            )
            try:
                while True:
                    for places in itertools.islice(batches, 1 + _BATCHES_AHEAD - len(pending)):
                        self._announce(places)
                        pictures = memory.take((len(places), self.image_size, self.image_size, 3))
                        chunks = range(0, len(places), _CHUNK)
                        work = [
                            executor.submit(self._decode, places[at : at + _CHUNK], pictures[at : at + _CHUNK])
                            for at in chunks
                        ]
                        pending.append((pictures, self.labels[places], work))
                    if not pending:
                        return
                    pictures, labels, work = pending.popleft()
                    # The last one first, since each that is waited for interrupts the threads.
                    for future in reversed(work):
                        future.result()
                    yield pictures, labels
            finally:
                executor.shutdown(cancel_futures=True)

    def _announce(self, places: np.ndarray) -> None:
        shard_of, numbers = self._records_at(places)
        for number in np.unique(shard_of).tolist():
            self._shards[number].announce(numbers[shard_of == number])

    def _records_at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shard of each place, and the number of the record in it."""
        shard_of = np.searchsorted(self._firsts, places, side="right") - 1
        return shard_of, places - self._firsts[shard_of]

    def _decode(self, places: np.ndarray, pictures: np.ndarray) -> None:
        """Decodes pictures into their places of a batch."""
        shard_of, numbers = self._records_at(places)
        for shard_number, number, picture in zip(shard_of.tolist(), numbers.tolist(), pictures):
            shard = self._shards[shard_number]
            try:
                _decode_record(shard, number, picture)
            except ValueError as error:
                raise InputError(f"{shard.path} is damaged: record {number}: {error}") from error


class MappedReader:
    """Reads raw pixels from mapped files; labels and keys are those of another reader of the same pictures."""

    def __init__(self, source: _ShardReader | Reader, pixels: MappedPixels) -> None:
        """Takes what knows labels and keys, and the pixels in the same order."""
        self.labels = source.labels
        self.image_size = source.image_size
        self.keys = source.keys
        self._pixels = pixels

    def dataset(self, batches: Batches) -> tf.data.Dataset:
        """See `Reader`."""
        labels = tf.constant(self.labels)
        places = _from_generator(lambda: self._announced(batches()), tf.TensorSpec((None,), tf.int64))
        dataset = places.map(
            lambda batch: (self._pixels(batch), tf.gather(labels, batch)),
            num_parallel_calls=_COPIES,
            deterministic=True,
        )
        options = tf.data.Options()
        # To rewrite the dataset, TensorFlow would copy all that it holds: every picture, and into memory.
        options.experimental_optimization.apply_default_optimizations = False
        return dataset.with_options(options)

    def _announced(self, batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        ahead: collections.deque[np.ndarray] = collections.deque()
        for places in batches:
            self._pixels.announce(places)
            ahead.append(places)
            if len(ahead) > _BATCHES_AHEAD:
                yield ahead.popleft()
        yield from ahead


def _decode_record(shard: index.ShardIndex, number: int, picture: np.ndarray) -> None:
    """Decodes a record's picture into `picture`, uint8 [size, size, 3].

    Raises:
        ValueError: The record is damaged, or its picture is of another size.
    """
    start, length = int(shard.data.starts[number]), int(shard.data.lengths[number])
    record = shard.content[start : start + length + records.FOOTER_BYTES].tobytes()
    if struct.pack("<I", records.masked_crc32c(record[:length])) != record[length:]:
        raise ValueError("the data do not match their checksum")
    first, size = int(shard.encoded.starts[number]) - start, int(shard.encoded.lengths[number])
    encoded = record[first : first + size]
    if encoded.startswith(stored.FORMATS[stored.JPEG]):
        made = simplejpeg.decode_jpeg(encoded, "RGB", buffer=picture)
        if made.shape != picture.shape:
            raise ValueError(f"the picture has {made.shape[0]}x{made.shape[1]} pixels")
    else:
        try:
            picture[:] = images.decode(encoded, MAX_PIXELS).pixels
        except images.RejectedPicture as rejected:
            raise ValueError(str(rejected)) from rejected


class _Memory:
    """Memory for batches, each taken again when TensorFlow has dropped what was in it.

    From the heap it would come anew, page by page: TensorFlow asks in threads of its own, whose heaps glibc does not
    keep. An array at the beginning of a page is one that TensorFlow takes without a copy.
    """

    def __init__(self) -> None:
        self._free: collections.defaultdict[int, list[mmap.mmap]] = collections.defaultdict(list)

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """An array of uint8, whatever is in it."""
        size = math.prod(shape)
        free = self._free[size]
        memory = free.pop() if free else mmap.mmap(-1, max(size, 1))
        pixels = np.frombuffer(memory, np.uint8, size)
        weakref.finalize(pixels, free.append, memory)
        return pixels.reshape(shape)


class _Stoppable:
    """An iterator that ends when the interpreter does.

    TensorFlow's threads ask for batches ahead, and one that waits for a Python that is no longer there would keep the
    process from ending.
    """

    _lock = threading.Lock()
    _ended = False

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._lock:
            if self._ended:
                raise StopIteration
            return next(self._iterator)

    @classmethod
    def end_all(cls) -> None:
        """Ends every iterator, when none is being asked."""
        with cls._lock:
            cls._ended = True
        # For what TensorFlow does in Python between two batches.
        time.sleep(_SECONDS_TO_END)


atexit.register(_Stoppable.end_all)


def _from_generator(make: Callable[[], Iterator[Any]], signature: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_generator(lambda: _Stoppable(make()), output_signature=signature)
