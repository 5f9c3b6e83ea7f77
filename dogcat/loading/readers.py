"""Pictures of a split by their places: decoded from JPEG or PNG, or read as raw pixels, in threads and ahead."""

from __future__ import annotations

import atexit
import collections
import concurrent.futures
import contextlib
import ctypes
import gc
import itertools
import math
import mmap
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Protocol

import numpy as np
import tensorflow as tf

from dogcat.core import runtime
from dogcat.dataset import raw_layout
from dogcat.dataset.manifest import Manifest
from dogcat.loading import index
from dogcat.loading.byte_ranges import ByteRanges
from dogcat.loading.decoding import EncodedPictures
from dogcat.loading.raw_pictures import RawPictures

# Places of the pictures of each batch; each call begins anew.
Batches = Callable[[], Iterator[np.ndarray]]

# Batches read ahead of the one that is asked for.
_BATCHES_AHEAD = 2
# At the end of the interpreter: in which a thread asks for the next batch if it is going to, and in which it is back
# from Python once it was told that there is none.
_SECONDS_TO_ASK = 2.0
_SECONDS_TO_RETURN = 0.05


class PixelSource(Protocol):
    """Where the pixels of pictures come from, by places; for use in threads.

    Attributes:
        pictures_a_call: How many a thread takes at a time: enough to hide the cost of a call, and few enough that the
            threads share a batch evenly.
    """

    pictures_a_call: int

    def prefetch(self, places: np.ndarray, block: int) -> None:
        """Has the system read what is wanted soon.

        Args:
            places: int64 [pictures], in the order of the shards.
            block: So many neighbours are read at a time.
        """

    def read(self, places: np.ndarray, pictures: np.ndarray) -> None:
        """Writes pictures into memory.

        Args:
            places: int64 [pictures], in the order of the shards.
            pictures: Where to, uint8 [pictures, image_size, image_size, 3].

        Raises:
            InputError: A record is damaged.
        """


class Reader:
    """The pictures of a split, by their places in the order of the shards.

    Threads write each picture straight into its place in the batch's memory.

    Attributes:
        labels: int32 [pictures].
        image_size: Height and width, in pixels.
        keys: Gives the key of each picture.
        pixels: Where the pictures come from.
    """

    def __init__(self, labels: np.ndarray, image_size: int, keys: Callable[[], list[str]], pixels: PixelSource) -> None:
        """Takes the attributes."""
        self.labels = labels
        self.image_size = image_size
        self.keys = keys
        self.pixels = pixels

    def dataset(self, batches: Batches, batch_size: int | None = None, block: int = 1) -> tf.data.Dataset:
        """Batches of (pictures uint8 [places, image_size, image_size, 3], labels int32 [places]).

        Args:
            batches: Places of the pictures of each batch.
            batch_size: Their number, where it is the same in all.
            block: So many neighbours are read at a time where one of them is wanted.
        """
        size = self.image_size
        pictures = tf.TensorSpec((batch_size, size, size, 3), tf.uint8)
        labels = tf.TensorSpec((batch_size,), tf.int32)
        return tf.data.Dataset.from_generator(
            lambda: Stoppable(self._read(batches(), block)), output_signature=(pictures, labels)
        )

    def _read(self, batches: Iterator[np.ndarray], block: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        memory = _Memory()
        with concurrent.futures.ThreadPoolExecutor(runtime.available_cores()) as executor:
            pending: collections.deque[tuple[np.ndarray, np.ndarray, list[concurrent.futures.Future[None]]]] = (
                collections.deque()
            )
            try:
                while True:
                    for places in itertools.islice(batches, 1 + _BATCHES_AHEAD - len(pending)):
                        self.pixels.prefetch(places, block)
                        pictures = memory.take((len(places), self.image_size, self.image_size, 3))
                        step = self.pixels.pictures_a_call
                        calls = [slice(at, at + step) for at in range(0, len(places), step)]
                        work = [executor.submit(self.pixels.read, places[call], pictures[call]) for call in calls]
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


def open_split(folder: Path, made: Manifest, split: str) -> Reader:
    """A reader for a split of a data set.

    Raises:
        InputError: A shard is not what the manifest says.
    """
    shards = index.of_split(folder, made, split)
    layout = raw_layout.layout_of(made.options)
    return Reader(
        labels=np.concatenate([np.empty(0, np.int32), *(shard.labels for shard in shards)]),
        image_size=made.image_size,
        keys=lambda: list(itertools.chain.from_iterable(shard.keys() for shard in shards)),
        pixels=RawPictures(ByteRanges([shard.file for shard in shards], [shard.encoded for shard in shards]), layout)
        if layout
        else EncodedPictures(shards, made.encoding),
    )


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


@contextlib.contextmanager
def raising_own_errors() -> Iterator[None]:
    """Raises what ended a reader in the block as the reader raised it, where TensorFlow has made an error of its own.

    Raises:
        InputError: A record that was read is damaged.
        OSError: A shard cannot be read.
    """
    Stoppable.failure = None
    try:
        yield
    except tf.errors.OpError as error:
        if Stoppable.failure is None:
            raise
        raise Stoppable.failure from error
    finally:
        Stoppable.failure = None


class Stoppable:
    """An iterator that ends when the interpreter does, and that keeps the first error.

    TensorFlow's threads ask for batches ahead, and one that waits for a Python that is no longer there would keep the
    process from ending. Of an error TensorFlow passes on no more than the text.

    Attributes:
        failure: The first error of any of these iterators since `raising_own_errors` began.
    """

    failure: Exception | None = None
    _unfinished: weakref.WeakSet[Stoppable] = weakref.WeakSet()
    # Of the two above; each iterator has a lock of its own, so that data sets that are read at once do not wait.
    _lock_of_all = threading.Lock()

    def __init__(self, iterator: Iterator[Any]) -> None:
        """Takes the iterator whose elements it gives."""
        self._iterator = iterator
        self._lock = threading.Lock()
        self._ended = False
        with self._lock_of_all:
            self._unfinished.add(self)

    def __iter__(self) -> Iterator[Any]:
        """Itself."""
        return self

    def __next__(self) -> Any:
        """The next element."""
        with self._lock:
            if self._ended:
                raise StopIteration
            try:
                return next(self._iterator)
            except StopIteration:
                self._leave()
                raise
            except Exception as error:
                self._leave(error)
                raise

    def _leave(self, error: Exception | None = None) -> None:
        with self._lock_of_all:
            self._unfinished.discard(self)
            if Stoppable.failure is None:
                Stoppable.failure = error

    @classmethod
    def end_all(cls) -> None:
        """Ends every iterator, when it is not being asked."""
        with cls._lock_of_all:
            unfinished = list(cls._unfinished)
        for one in unfinished:
            with one._lock:
                one._ended = True
        # An error's frames may still have TensorFlow's iterators. Now these wait for their threads and let them have
        # Python meanwhile; at the end of the interpreter such a thread dies, and is waited for without end.
        gc.collect()
        # TensorFlow drops one when it has been told of the end, unless it has batches enough and does not ask.
        deadline = time.monotonic() + _SECONDS_TO_ASK
        while cls._unfinished and time.monotonic() < deadline:
            time.sleep(_SECONDS_TO_RETURN)
        if unfinished:
            time.sleep(_SECONDS_TO_RETURN)
        # One that is still in use stays as it is: the end of the interpreter would wait for its thread.
        for iterator in [one for one in gc.get_objects() if isinstance(one, tf.data.Iterator)]:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(iterator))


atexit.register(Stoppable.end_all)
