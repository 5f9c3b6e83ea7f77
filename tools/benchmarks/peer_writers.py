"""Runs one peer of `tools.benchmark` once: benchmark_peers.py NAME IMAGES WORKERS WORK_DIR.

A script for the peers' own environment, whose NumPy is newer than TensorFlow 2.15 can use: it imports nothing of
dogcat. Prints one line of JSON: pictures, seconds, version, bytes; or cannot_import, where the peer is not there.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import io
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

# Every contestant makes the same pictures, dogcat's too.
SIZE = 299
QUALITY = 95

_CHUNK = 8


class Work(NamedTuple):
    """What a contestant did.

    Attributes:
        pictures: Number of pictures.
        bytes: Their bytes as stored, where it stores any.
        seconds: How long that took.
        version: The contestant's.
        checked: Of a loader, the pictures that it gave in one pass over all.
        mean: Of a loader, the mean of their pixels, 0 to 255.
    """

    pictures: int
    bytes: int
    seconds: float
    version: str
    checked: int = 0
    mean: float = 0.0


def run_opencv(files: list[str], workers: int, folder: Path) -> Work:
    """OpenCV decodes, resizes and encodes in worker processes, and nothing is written: the practical limit."""
    return _run_opencv(files, workers, "INTER_LINEAR")


def run_opencv_antialiased(files: list[str], workers: int, folder: Path) -> Work:
    """The same by a filter that heeds every pixel, as the project's does."""
    return _run_opencv(files, workers, "INTER_AREA")


def _run_opencv(files: list[str], workers: int, interpolation: str) -> Work:
    import cv2

    encode = functools.partial(_encode_with_opencv, getattr(cv2, interpolation))
    started = time.perf_counter()
    with multiprocessing.Pool(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        sizes = pool.map(encode, files, chunksize=_CHUNK)
    return Work(len(sizes), sum(sizes), time.perf_counter() - started, cv2.__version__)


def _encode_with_opencv(interpolation: int, path: str) -> int:
    import cv2

    pixels = cv2.resize(cv2.imread(path), (SIZE, SIZE), interpolation=interpolation)
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return int(encoded.nbytes)


def resize_with_pillow(path: str) -> Any:
    """A picture file as an RGB Pillow image of the wanted size."""
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def encode_with_pillow(path: str) -> bytes:
    """A picture file as a JPEG of the wanted size."""
    buffer = io.BytesIO()
    resize_with_pillow(path).save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return buffer.getvalue()


class _Pictures:
    """The data set that FFCV's writer reads: a picture, a label."""

    def __init__(self, files: list[str]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return resize_with_pillow(self._files[index]), index % 2


def run_ffcv(files: list[str], workers: int, folder: Path) -> Work:
    """FFCV's DatasetWriter with JPEG encoding; Pillow decodes and resizes in its workers."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.reader import Reader
    from ffcv.writer import DatasetWriter

    path = str(folder / "pictures.beton")
    fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=QUALITY), "label": IntField()}
    started = time.perf_counter()
    DatasetWriter(path, fields, num_workers=workers).from_indexed_dataset(_Pictures(files))
    seconds = time.perf_counter() - started
    reader = Reader(path)
    # Not the file's size: it is rounded up to pages of 8 MiB for each worker.
    return Work(int(reader.num_samples), int(reader.alloc_table["size"].sum()), seconds, _version("ffcv"))


def run_webdataset(files: list[str], workers: int, folder: Path) -> Work:
    """WebDataset's ShardWriter, which has no workers: Pillow decodes, resizes and encodes in the one process."""
    import tarfile

    import webdataset

    started = time.perf_counter()
    with webdataset.ShardWriter(str(folder / "%06d.tar"), maxcount=500, verbose=0) as sink:
        for index, path in enumerate(files):
            sink.write({"__key__": f"{index:08d}", "jpg": encode_with_pillow(path), "cls": index % 2})
    seconds = time.perf_counter() - started
    pictures = 0
    shards = sorted(folder.glob("*.tar"))
    for shard in shards:
        with tarfile.open(shard) as tar:
            pictures += sum(name.endswith(".jpg") for name in tar.getnames())
    return Work(pictures, sum(shard.stat().st_size for shard in shards), seconds, _version("webdataset"))


def _version(package: str) -> str:
    return importlib.metadata.version(package)


# Name on the command line: what runs it, and the modules that it needs.
PEERS = {
    "opencv": (run_opencv, ("cv2",)),
    "opencv-antialiased": (run_opencv_antialiased, ("cv2",)),
    "ffcv": (run_ffcv, ("ffcv.fields", "ffcv.reader", "ffcv.writer", "PIL.Image")),
    "webdataset": (run_webdataset, ("webdataset", "PIL.Image")),
}


def import_or_say(modules: Sequence[str]) -> bool:
    """Imports what a peer needs, before anything is timed, or prints why it cannot be; returns whether it could."""
    try:
        for module in modules:
            importlib.import_module(module)
    except (ImportError, OSError) as error:
        print(json.dumps({"cannot_import": " ".join(str(error).split())}))
        return False
    return True


def main(name: str, images: str, workers: int, folder: Path) -> None:
    """Runs the peer on every file of `images`, in order of name; writes into `folder`."""
    run, modules = PEERS[name]
    if not import_or_say(modules):
        return
    files = [os.path.join(images, file) for file in sorted(os.listdir(images))]
    print(json.dumps(run(files, workers, folder)._asdict()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
