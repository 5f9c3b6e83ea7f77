"""Pictures as raw pixels in files that are mapped into memory: any batch is one copy, in any order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dogcat import raw
from dogcat.mapped_file import MappedFile


class MappedPixels:
    """Files of equally long records, seen as matrices of strips of pixels.

    Since a record is a whole number of strips long, the strips of a batch are gathered from the file without a copy of
    the records first. What is not in memory is read in time, if it is announced.
    """

    def __init__(self, files: Sequence[tuple[MappedFile, int]], image_size: int, layout: raw.Layout) -> None:
        """Takes mapped files.

        Args:
            files: Each one, and the number of its pictures that count.
            image_size: Height and width of the pictures, in pixels.
            layout: Of all records; `record_bytes` divides the size of each file.
        """
        strip = raw.strip_bytes(layout, image_size)
        self._size = image_size
        self._strips_a_record = layout.record_bytes // strip
        self._picture_bytes = raw.picture_bytes(image_size)
        self._strips = layout.pixels_offset // strip + np.arange(self._picture_bytes // strip)
        self._firsts = np.cumsum([0, *(count for _, count in files)])
        self._record_bytes, self._pixels_offset = layout
        self._files = [file for file, _ in files]
        for file in self._files:
            file.expect_jumps()
        # Without a copy.
        self._pixels = [
            tf.experimental.dlpack.from_dlpack(file.content.reshape(-1, strip).__dlpack__()) for file in self._files
        ]

    def __call__(self, places: tf.Tensor) -> tf.Tensor:
        """Copies pictures.

        Args:
            places: int64 [batch], counted through all files.

        Returns:
            uint8 [batch, image_size, image_size, 3].
        """
        if len(self._pixels) == 1:
            return self._gather(0, places)
        file_of = tf.searchsorted(self._firsts[1:], places, side="right")
        parts = tf.dynamic_partition(tf.range(tf.size(places)), file_of, len(self._pixels))
        pictures = [self._gather(file, tf.gather(places, part)) for file, part in enumerate(parts)]
        return tf.dynamic_stitch(parts, pictures)

    def announce(self, places: np.ndarray) -> None:
        """Has the system read pictures that are wanted soon; `places` as above."""
        file_of = np.searchsorted(self._firsts, places, side="right") - 1
        starts = (places - self._firsts[file_of]) * self._record_bytes + self._pixels_offset
        for number in np.unique(file_of).tolist():
            of_file = starts[file_of == number]
            self._files[number].announce(of_file, np.full_like(of_file, self._picture_bytes))

    def _gather(self, file: int, places: tf.Tensor) -> tf.Tensor:
        strips = (places[:, tf.newaxis] - self._firsts[file]) * self._strips_a_record + self._strips
        size = self._size
        return tf.reshape(tf.gather(self._pixels[file], strips), (-1, size, size, 3))
