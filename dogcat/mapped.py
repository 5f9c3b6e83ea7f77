"""Pictures as raw pixels in files that are mapped into memory: any of them is one copy. No TensorFlow."""

from __future__ import annotations

import math

import numpy as np

from dogcat.mapped_file import MappedStretches
from dogcat.streaming_copy import StreamingCopy


class MappedPixels:
    """The pixels of pictures of one size; what a `readers.Reader` reads from."""

    pictures_a_call = 64

    def __init__(self, pixels: MappedStretches) -> None:
        """Takes where those of each picture lie."""
        self._pixels = pixels
        sizes = np.array([len(file.content) for file in pixels.files], np.int64)
        addresses = np.array([file.content.ctypes.data for file in pixels.files], np.int64)
        assert (pixels.starts >= 0).all() and (pixels.starts + pixels.lengths <= sizes[pixels.file_of]).all()
        self._addresses = addresses[pixels.file_of] + pixels.starts
        self._copy = StreamingCopy()

    def announce(self, places: np.ndarray, block: int) -> None:
        """See `readers.PixelSource`."""
        self._pixels.announce(places, block)

    def read(self, places: np.ndarray, pictures: np.ndarray) -> None:
        """See `readers.PixelSource`."""
        assert (self._pixels.lengths[places] == math.prod(pictures.shape[1:])).all()
        self._copy(self._addresses[places], pictures)
