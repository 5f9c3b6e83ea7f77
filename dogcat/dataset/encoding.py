"""What a worker of the shard tool does: picture files in, framed records and rejections out. No TensorFlow.

Prediction reads its pictures through here too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.core.places import Place
from dogcat.dataset import example_proto, raw_layout, tfrecord
from dogcat.dataset.options import ShardOptions
from dogcat.dataset.shard_index import ShardIndex
from dogcat.pictures import decode, encoder, folders, rejections, resizing
from dogcat.pictures.decode import Picture

UNREADABLE = "unreadable"

# Mean and deviation are taken from every 8th row and column: 1,444 pixels of a picture of 299x299, and 2% of the time
# of encoding it instead of 60%.
_STATISTICS_STEP = 8


class Task(NamedTuple):
    """A picture to encode: its key, its label, the name of its class."""

    key: str
    label: int
    text: str


class Rejection(NamedTuple):
    """A picture that is left out, and why."""

    key: str
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What became of some pictures.

    Attributes:
        framed: Their records end to end, as they stand in a shard.
        index: What stands of the records in the shard's index.
        rejections: The pictures that have no record.
        channel_sums: int64 [3, 3]: number, sum and sum of squares of the pixels looked at, for R, G and B.
    """

    framed: bytes
    index: ShardIndex
    rejections: list[Rejection]
    channel_sums: np.ndarray


def read_picture(folder: Path, key: str, max_pixels: int, size: int | None) -> Picture | Rejection:
    """Reads and decodes the picture `folder`/`key`, or says why not; arguments as for `decode.decode`."""
    [opened] = folders.open_each(folder, [key])
    return _decoded(key, opened, max_pixels, size)


def _decoded(key: str, opened: folders.Opened, max_pixels: int, size: int | None) -> Picture | Rejection:
    if isinstance(opened, OSError):
        return Rejection(key, UNREADABLE, str(opened.strerror))
    try:
        with opened as file:
            return decode.decode(file, max_pixels, size)
    except rejections.RejectedPicture as rejected:
        return Rejection(key, rejected.reason, rejected.detail)
    except OSError as error:
        return Rejection(key, UNREADABLE, str(error.strerror))


def encode_chunk(
    folder: Place, tasks: Sequence[Task], options: ShardOptions, layout: raw_layout.Layout | None = None
) -> Chunk:
    """Reads, decodes, resizes and encodes pictures.

    Args:
        folder: The folder that keys are relative to.
        tasks: The pictures.
        options: Size, encoding and limits.
        layout: That of records of raw pixels, where those are wanted.
    """
    framed, encoded, rejections = [], [], []
    sampled = [np.empty(0, np.uint32)]
    opened = folders.open_each(folder, [task.key for task in tasks])
    for task, file in zip(tasks, opened):
        picture = _decoded(task.key, file, options.max_pixels, options.image_size)
        if isinstance(picture, Rejection):
            rejections.append(picture)
            continue
        rgbx = resizing.resize(picture.rgbx, options.image_size, options.resize)
        features = example_proto.picture_features(
            task.key, task.label, task.text, _encode(rgbx, options), options.encoding, options.image_size
        )
        features[example_proto.ORIGINAL_HEIGHT] = picture.height
        features[example_proto.ORIGINAL_WIDTH] = picture.width
        data = raw_layout.encode_example(features, layout) if layout else example_proto.encode_example(features)
        framed.append(tfrecord.frame(data))
        encoded.append(task)
        # A pixel as one number, which is quicker to gather than its channels.
        sampled.append(rgbx.view(np.uint32)[::_STATISTICS_STEP, ::_STATISTICS_STEP].reshape(-1))
    index = ShardIndex(
        np.array([len(record) - tfrecord.FRAME_BYTES for record in framed], np.int64),
        np.array([task.label for task in encoded], np.int32),
        [task.key for task in encoded],
    )
    return Chunk(b"".join(framed), index, rejections, _sums(np.concatenate(sampled)))


def _encode(rgbx: np.ndarray, options: ShardOptions) -> bytes:
    if options.encoding == raw_layout.FORMAT:
        return np.ascontiguousarray(rgbx[:, :, :3]).tobytes()
    return encoder.encode(rgbx, options.encoding, options.quality, options.chroma)


def mean_and_deviation(channel_sums: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of R, G and B, 0 to 255, from `Chunk.channel_sums` added up."""
    number, total, squares = channel_sums.astype(np.float64)
    mean = total / np.maximum(number, 1)
    variance = squares / np.maximum(number, 1) - mean**2
    return mean.round(3).tolist(), np.sqrt(np.maximum(variance, 0)).round(3).tolist()


def _sums(rgbx: np.ndarray) -> np.ndarray:
    """`Chunk.channel_sums` of pixels, uint32 [number], the four bytes of each."""
    pixels = rgbx.view(np.uint8).reshape(-1, 4)[:, :3]
    # A row a channel, and float64, in which whole numbers far below 2^53 are exact: both are quicker to sum.
    values = pixels.T.astype(np.float64, order="C")
    number = np.full(3, len(pixels))
    return np.stack([number, values.sum(1), np.einsum("ij,ij->i", values, values)]).astype(np.int64)
