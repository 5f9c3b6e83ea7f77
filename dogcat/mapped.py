"""Pictures as raw pixels in files that are mapped into memory: any batch is one copy, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dogcat import raw


class MappedPixels:
    """Files of equally long records, seen as matrices of strips of pixels.

    TensorFlow maps a file where a constant is created: once, here, not in a function that a dataset calls, which
    would map it for every batch. Since a record is a whole number of strips long, the strips of a batch are gathered
    from the file without a copy of the records first.
    """

    def __init__(self, files: Sequence[tuple[Path, int]], image_size: int, layout: raw.Layout) -> None:
        """Maps the files.

        Args:
            files: Each one's path, and the number of its pictures that count.
            image_size: Height and width of the pictures, in pixels.
            layout: Of all records; `record_bytes` divides the size of each file.
        """
        strip = raw.strip_bytes(layout, image_size)
        self._size = image_size
        self._strips_a_record = layout.record_bytes // strip
        strips_of_pixels = raw.row_bytes(image_size) * image_size // strip
        self._strips = layout.pixels_offset // strip + np.arange(strips_of_pixels)
        self._firsts = np.cumsum([0, *(count for _, count in files)])
        self._files = [_map(path, strip) for path, _ in files]

    def __call__(self, places: tf.Tensor) -> tf.Tensor:
        """Copies pictures.

        Args:
            places: int64 [batch], counted through all files.

        Returns:
            uint8 [batch, image_size, image_size, 3].
        """
        if len(self._files) == 1:
            return self._gather(0, places)
        file_of = tf.searchsorted(self._firsts[1:], places, side="right")
        parts = tf.dynamic_partition(tf.range(tf.size(places)), file_of, len(self._files))
        pictures = [self._gather(file, tf.gather(places, part)) for file, part in enumerate(parts)]
        return tf.dynamic_stitch(parts, pictures)

    def _gather(self, file: int, places: tf.Tensor) -> tf.Tensor:
        strips = (places[:, tf.newaxis] - self._firsts[file]) * self._strips_a_record + self._strips
        size = self._size
        return tf.reshape(tf.gather(self._files[file], strips), (-1, size, size, 3))


def _map(path: Path, strip: int) -> tf.Tensor:
    """A file as uint8 [strips, bytes of a strip], mapped as long as the tensor lives."""
    # Private, so that it may count as writable: DLPack has no word for what is not. Nothing writes.
    mapped = np.memmap(path, np.uint8, "c").view(np.ndarray)
    return tf.experimental.dlpack.from_dlpack(mapped.reshape(-1, strip).__dlpack__())
