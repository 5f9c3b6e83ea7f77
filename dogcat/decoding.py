"""Pictures of shards that are encoded, decoded where they are wanted. No TensorFlow."""

from __future__ import annotations

import struct

import numpy as np
import simplejpeg

from dogcat import images, records, stored
from dogcat.config import MAX_PIXELS, InputError
from dogcat.index import ShardIndex
from dogcat.mapped_file import MappedStretches


class EncodedPictures:
    """The pictures of shards of JPEG or PNG; what a `readers.Reader` reads from.

    The decoder is the one that the shard tool and prediction use, so the same picture gives the same pixels everywhere.
    Nothing is copied on the way but the encoded record.
    """

    pictures_a_call = 8

    def __init__(self, shards: list[ShardIndex]) -> None:
        """Takes the shards, in their order."""
        self._shards = shards
        self._data = MappedStretches([shard.file for shard in shards], [shard.data for shard in shards])
        nothing = np.empty((0, 2), np.int64)
        encoded = np.concatenate([nothing, *(np.stack(shard.encoded, axis=1) for shard in shards)])
        # Shard, start and length of the data, start and length of the picture: int64 [pictures, 5].
        self._records = np.column_stack((self._data.file_of, self._data.starts, self._data.lengths, encoded))

    def announce(self, places: np.ndarray, block: int) -> None:
        """See `readers.PixelSource`."""
        self._data.announce(places, block)

    def read(self, places: np.ndarray, pictures: np.ndarray) -> None:
        """See `readers.PixelSource`."""
        for (number, start, length, first, size), picture in zip(self._records[places].tolist(), pictures):
            shard = self._shards[number]
            try:
                _decode_record(shard.file.content, start, length, first, size, picture)
            except ValueError as error:
                record = np.searchsorted(shard.data.starts, start)
                raise InputError(f"{shard.path} is damaged: record {record}: {error}") from error


def _decode_record(content: np.ndarray, start: int, length: int, first: int, size: int, picture: np.ndarray) -> None:
    """Decodes a record's picture.

    Args:
        content: Of the shard, uint8 [bytes].
        start: Where the record's data begin in it.
        length: Their bytes.
        first: Where the encoded picture begins.
        size: Its bytes.
        picture: Where the pixels go, uint8 [size, size, 3].

    Raises:
        ValueError: The record is damaged, or its picture is of another size.
    """
    data = content[start : start + length].tobytes()
    checksum = content[start + length : start + length + records.FOOTER_BYTES].tobytes()
    if struct.pack("<I", records.masked_crc32c(data)) != checksum:
        raise ValueError("the data do not match their checksum")
    at = first - start
    if data.startswith(stored.FORMATS[stored.JPEG], at):
        made = simplejpeg.decode_jpeg(memoryview(data)[at : at + size], "RGB", buffer=picture)
        if made.shape != picture.shape:
            raise ValueError(f"the picture has {made.shape[0]}x{made.shape[1]} pixels")
    else:
        try:
            picture[:] = images.decode(data[at : at + size], MAX_PIXELS).pixels
        except images.RejectedPicture as rejected:
            raise ValueError(str(rejected)) from rejected
