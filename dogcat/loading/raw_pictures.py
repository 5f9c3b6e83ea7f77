"""Pictures as raw pixels in files: any of them is one read, straight into a batch's memory.

That is some four times as fast as TensorFlow's own way through records, which copies each picture several times.
"""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import math
import mmap
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import google_crc32c
import numpy as np
import tensorflow as tf

from dogcat.core import checksums, runtime
from dogcat.core.options import InputError
from dogcat.dataset import raw_layout, tfrecord
from dogcat.loading.byte_ranges import ByteRanges, RangeFile, Spans
from dogcat.loading.records import DamagedShardError, Records
from dogcat.loading.stoppable import Stoppable
from dogcat.loading.untuned import untuned

# Batches read ahead of the one that is asked for.
_BATCHES_AHEAD = 2
# Pictures that a thread reads at a time: enough to hide the cost of a call, and few enough that the threads share a
# batch evenly.
_A_CALL = 64


class RawPictures:
    """Pictures of one size, as raw pixels; a `pictures.Pictures`.

    The checksum of a record is compared when the record is first read: one pass over a split checks all of it, and
    those that follow are no slower for it.
    """

    def __init__(
        self,
        pixels: ByteRanges,
        labels: np.ndarray,
        keys: list[str],
        shape: tuple[int, ...],
        layout: raw_layout.Layout | None,
        damaged: Callable[[RangeFile, str, int], InputError],
    ) -> None:
        """Takes where the pixels of each picture lie.

        Args:
            pixels: The pixels.
            labels: int32 [pictures].
            keys: The key of each.
            shape: Of the pixels of one, [height, width, 3]; or of other bytes in their place.
            layout: That of the records around them; None where the files are nothing but pixels.
            damaged: Makes the error for a picture that is not as it was written: of its file, what is wrong, and its
                number in the file.
        """
        self.labels = labels
        self.image_size = shape[0]
        self.keys = keys
        # Each is a read of its own, and large enough for it.
        self.block = 1
        self._shape = shape
        self._pixels = pixels
        self._layout = layout
        self._damaged = damaged
        self._is_checked = np.full(len(labels), layout is None)

    @classmethod
    def of_records(cls, records: Records, layout: raw_layout.Layout, size: int) -> RawPictures:
        """Those of records, each of the layout.

        Raises:
            InputError: They are not of the layout, or a shard cannot be opened.
        """
        wrong = np.flatnonzero(records.lengths + tfrecord.FRAME_BYTES != layout.record_bytes)
        if wrong.size:
            place = int(wrong[0])
            what = f"it is not one of {layout.record_bytes} bytes with pixels at {layout.pixels_offset}"
            raise DamagedShardError(records.paths[records.shard_of[place]], what, records.number_in_shard(place))
        of_shards = np.split(records.offsets, np.searchsorted(records.shard_of, range(1, len(records.paths))))
        spans = [
            Spans(offsets + layout.pixels_offset, np.full_like(offsets, raw_layout.picture_bytes(size)))
            for offsets in of_shards
        ]
        files = [RangeFile(Path(path)) for path in records.paths]
        ranges = ByteRanges(files, spans)
        return cls(ranges, records.labels, records.keys, (size, size, 3), layout, _damaged_shard)

    def dataset(
        self, runs: tf.data.Dataset, batch_size: int, block: int = 1, whole_batches: bool = True
    ) -> tf.data.Dataset:
        """See `pictures.Pictures`."""
        in_batch = batch_size if whole_batches else None
        pictures = tf.TensorSpec((in_batch, *self._shape), tf.uint8)
        labels = tf.TensorSpec((in_batch,), tf.int32)
        batches = untuned(runs.unbatch().batch(batch_size, drop_remainder=whole_batches))
        return tf.data.Dataset.from_generator(
            lambda: Stoppable(self._read(batches.as_numpy_iterator(), block)), output_signature=(pictures, labels)
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
                        self._pixels.prefetch(places, block)
                        pictures = memory.take((len(places), *self._shape))
                        calls = [slice(at, at + _A_CALL) for at in range(0, len(places), _A_CALL)]
                        work = [executor.submit(self._read_some, places[call], pictures[call]) for call in calls]
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

    def _read_some(self, places: np.ndarray, pictures: np.ndarray) -> None:
        """Reads pictures into memory, uint8 [places, *shape].

        Raises:
            InputError: A record is damaged.
        """
        pixels = self._pixels
        starts, numbers = pixels.starts[places].tolist(), pixels.file_of[places].tolist()
        for place, number, start, picture in zip(places.tolist(), numbers, starts, pictures):
            file = pixels.files[number]
            try:
                if self._is_checked[place]:
                    file.read_into(start, picture)
                else:
                    self._read_checked(file, start, picture)
                    self._is_checked[place] = True
            except ValueError as error:
                number_in_file = place - int(np.searchsorted(pixels.file_of, number))
                raise self._damaged(file, str(error), number_in_file) from error

    def _read_checked(self, file: RangeFile, start: int, picture: np.ndarray) -> None:
        assert self._layout
        head = np.empty(self._layout.pixels_offset, np.uint8)
        checksum = np.empty(tfrecord.FOOTER_BYTES, np.uint8)
        file.read_into(start - len(head), head, picture, checksum)
        length = self._layout.record_bytes - tfrecord.FRAME_BYTES
        if head[: tfrecord.HEADER_BYTES].tobytes() != tfrecord.frame_header(length):
            raise ValueError("its length is not what the index says")
        if not head.tobytes().endswith(raw_layout.pixels_start(self.image_size)):
            raise ValueError(f"its pixels do not begin at {self._layout.pixels_offset}, where the manifest says")
        crc = google_crc32c.extend(google_crc32c.value(head[tfrecord.HEADER_BYTES :]), picture)
        if struct.pack("<I", checksums.masked(crc)) != checksum.tobytes():
            raise ValueError("the data do not match their checksum")


def _damaged_shard(file: RangeFile, what: str, number: int) -> InputError:
    return DamagedShardError(str(file.path), what, number)


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
