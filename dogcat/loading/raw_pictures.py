"""Pictures as raw pixels in files: any of them is one read, straight into a batch's memory. No TensorFlow."""

from __future__ import annotations

import struct

import google_crc32c
import numpy as np

from dogcat.core import checksums
from dogcat.core.options import InputError
from dogcat.dataset import raw_layout, tfrecord
from dogcat.loading.byte_ranges import ByteRanges, RangeFile
from dogcat.loading.index import DamagedShardError


class RawPictures:
    """Pictures of one size, as raw pixels; what a `readers.Reader` reads from.

    The checksum of a record is compared when the record is first read: one pass over a split checks all of it, and
    those that follow are no slower for it.
    """

    pictures_a_call = 64

    def __init__(self, pixels: ByteRanges, layout: raw_layout.Layout | None) -> None:
        """Takes where the pixels of each picture lie.

        Args:
            pixels: The pixels.
            layout: That of the records around them; None where the files are nothing but pixels.
        """
        self._pixels = pixels
        self._layout = layout
        self._is_checked = np.full(len(pixels.starts), layout is None)

    def prefetch(self, places: np.ndarray, block: int) -> None:
        """See `readers.PixelSource`."""
        self._pixels.prefetch(places, block)

    def read(self, places: np.ndarray, pictures: np.ndarray) -> None:
        """See `readers.PixelSource`."""
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
                raise self._damaged(file, number, place, str(error)) from error

    def _read_checked(self, file: RangeFile, start: int, picture: np.ndarray) -> None:
        assert self._layout
        head = np.empty(self._layout.pixels_offset, np.uint8)
        checksum = np.empty(tfrecord.FOOTER_BYTES, np.uint8)
        file.read_into(start - len(head), head, picture, checksum)
        crc = google_crc32c.extend(google_crc32c.value(head[tfrecord.HEADER_BYTES :]), picture)
        if struct.pack("<I", checksums.masked(crc)) != checksum.tobytes():
            raise ValueError("the data do not match their checksum")

    def _damaged(self, file: RangeFile, number: int, place: int, what: str) -> InputError:
        if not self._layout:
            return InputError(f"{file.path} was damaged while it was read: {what}; start again")
        return DamagedShardError(file.path, what, place - int(np.searchsorted(self._pixels.file_of, number)))
