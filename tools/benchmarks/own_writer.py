"""Runs a contestant of `tools.benchmark` that needs the project's environment, once: NAME IMAGES WORKERS WORK_DIR.

Prints one line of JSON like `benchmark_peers.py`. It is a program of its own, so that every run starts from a
fresh process, and so that the shard tool's workers import no more than they do for its own command.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import struct
import sys
import time
from pathlib import Path

import PIL
import PIL.Image

import dogcat
from dogcat.dataset import example_proto, tfrecord
from dogcat.dataset.options import ShardOptions

from ..make_tfrecords import make_data_set
from .peer_writers import QUALITY, SIZE, Work, encode_with_pillow

_CHUNK = 8


def run_dogcat(images: Path, workers: int, folder: Path) -> Work:
    """The project's shard writer. Without labels: any folder of pictures will do, and the work is the same."""
    options = ShardOptions(
        images=str(images),
        output=str(folder / "tfrecords"),
        unlabeled=True,
        image_size=SIZE,
        quality=QUALITY,
        chroma="420",
        workers=workers,
    )
    started = time.perf_counter()
    make_data_set(options)
    seconds = time.perf_counter() - started
    return _work(sorted((folder / "tfrecords").glob("*.tfrecord")), seconds, dogcat.__version__)


def run_pillow(images: Path, workers: int, folder: Path) -> Work:
    """What one writes by hand: Pillow in a pool of processes, the parent writes the records."""
    files = [str(images / name) for name in sorted(os.listdir(images))]
    shard = folder / "pictures.tfrecord"
    started = time.perf_counter()
    with concurrent.futures.ProcessPoolExecutor(workers) as executor, open(shard, "wb") as file:
        for framed in executor.map(_frame_with_pillow, files, chunksize=_CHUNK):
            file.write(framed)
    return _work([shard], time.perf_counter() - started, PIL.__version__)


def _frame_with_pillow(path: str) -> bytes:
    features: dict[str, bytes | int] = {
        example_proto.ENCODED: encode_with_pillow(path),
        example_proto.FORMAT: b"jpeg",
        example_proto.HEIGHT: SIZE,
        example_proto.WIDTH: SIZE,
        example_proto.FILENAME: os.fsencode(os.path.basename(path)),
        example_proto.LABEL: -1,
    }
    return tfrecord.frame(example_proto.encode_example(features))


def _work(shards: list[Path], seconds: float, version: str) -> Work:
    pictures = sum(_count_records(shard) for shard in shards)
    return Work(pictures, sum(shard.stat().st_size for shard in shards), seconds, version)


def _count_records(shard: Path) -> int:
    """Counts by the lengths in the file, whatever its writer says of it."""
    count = 0
    with open(shard, "rb") as file:
        while header := file.read(8):
            file.seek(struct.unpack("<Q", header)[0] + tfrecord.FRAME_BYTES - len(header), os.SEEK_CUR)
            count += 1
    return count


CONTESTANTS = {"dogcat": run_dogcat, "pillow": run_pillow}


if __name__ == "__main__":
    work = CONTESTANTS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
    print(json.dumps(work._asdict()))
