"""Pictures of shards that are encoded, decoded where they are wanted. No TensorFlow."""

from __future__ import annotations

import struct

import numpy as np
import simplejpeg

from dogcat.core import checksums
from dogcat.dataset import tfrecord
from dogcat.dataset.manifest import FORMATS, JPEG
from dogcat.loading.byte_ranges import ByteRanges
from dogcat.loading.index import DamagedShardError, ShardIndex
from dogcat.pictures import decode, rejections
from dogcat.pictures.geometry import MAX_PIXELS


class EncodedPictures:
    """The pictures of shards of JPEG or PNG; what a `readers.Reader` reads from.

    The decoder is the one that the shard tool and prediction use, so the same picture gives the same pixels everywhere.
    """

    pictures_a_call = 8

    def __init__(self, shards: list[ShardIndex], encoding: str) -> None:
        """Takes the shards, in their order, and the format of their pictures."""
        self._shards = shards
        self._encoding = encoding
        self._data = ByteRanges([shard.file for shard in shards], [shard.data for shard in shards])
        nothing = np.empty((0, 2), np.int64)
        encoded = np.concatenate([nothing, *(np.stack(shard.encoded, axis=1) for shard in shards)])
        # Shard, start and length of the data, start and length of the picture: int64 [pictures, 5].
        self._records = np.column_stack((self._data.file_of, self._data.starts, self._data.lengths, encoded))

    def prefetch(self, places: np.ndarray, block: int) -> None:
        """See `readers.PixelSource`."""
        self._data.prefetch(places, block)

    def read(self, places: np.ndarray, pictures: np.ndarray) -> None:
        """See `readers.PixelSource`."""
        for (number, start, length, first, size), picture in zip(self._records[places].tolist(), pictures):
            shard = self._shards[number]
            try:
                record = shard.file.read(start, length + tfrecord.FOOTER_BYTES)
                data = record[:length]
                if struct.pack("<I", checksums.masked_crc32c(data)) != record[length:]:
                    raise ValueError("the data do not match their checksum")
                _decode(memoryview(data)[first - start : first - start + size], self._encoding, picture)
            except ValueError as error:
                place = int(np.searchsorted(shard.data.starts, start))
                raise DamagedShardError(shard.file.path, str(error), place) from error


def _decode(encoded: memoryview, encoding: str, picture: np.ndarray) -> None:
    """Decodes a picture of the promised format and size.

    Args:
        encoded: The picture.
        encoding: Its format, JPEG or PNG.
        picture: Where the pixels go, uint8 [size, size, 3].

    Raises:
        ValueError: It is of another format or size, or damaged.
    """
    magic = FORMATS[encoding]
    if encoded[: len(magic)] != magic:
        raise ValueError(f"the picture is not {encoding.upper()}, as the manifest says")
    if encoding == JPEG:
        height, width = simplejpeg.decode_jpeg_header(encoded)[:2]
    else:
        # Behind the magic number and the beginning of the first chunk.
        width, height = struct.unpack_from(">8x8xII", encoded)
    if (height, width) != picture.shape[:2]:
        wanted = f"{picture.shape[1]}x{picture.shape[0]}"
        raise ValueError(f"the picture has {width}x{height} pixels, not {wanted}")
    if encoding == JPEG:
        pixels = simplejpeg.decode_jpeg(encoded, "RGB", buffer=picture)
    else:
        try:
            pixels = decode.decode(bytes(encoded), MAX_PIXELS).pixels
        except rejections.RejectedPicture as rejected:
            raise ValueError(f"the picture cannot be decoded: {rejected}") from rejected
    # Another shape would be spread over the picture.
    if pixels.shape != picture.shape:
        raise ValueError(f"the picture has {pixels.shape[1]}x{pixels.shape[0]} pixels")
    if pixels is not picture:
        picture[:] = pixels
