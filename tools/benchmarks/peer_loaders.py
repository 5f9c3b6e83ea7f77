"""Runs one loader of `tools.benchmark load` once, in the peers' environment: NAME FOLDER WORKERS SECONDS.

Imports nothing of dogcat. FOLDER/files holds the pictures as JPEG files of the size that every loader delivers; what a
peer reads is made from them by `prepare`, once, into FOLDER/NAME. Prints one line of JSON, like `benchmark_peers`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

from .peer_writers import QUALITY, SIZE, Work, import_or_say

BATCH = 128
# What the loaders that augment do, besides mirroring every other picture: the ranges of `--augment=source`.
SHEAR_DEGREES, ZOOM = 0.2, 0.2
# Passes over the pictures that a stream has, so that none ends while it is timed.
_ENDLESS = 1000

# Makes an iterable of batches, uint8 arrays or tensors [BATCH, SIZE, SIZE, 3], of so many passes over all pictures.
Stream = Callable[[int], Iterable[Any]]


def measure(stream: Stream, seconds: float, version: str) -> Work:
    """Times a stream for at least one batch, after one pass in which every pixel is looked at."""
    pictures, mean = check(stream)
    batches = iter(stream(_ENDLESS))
    next(batches)
    started = time.perf_counter()
    count = len(next(batches))
    while (elapsed := time.perf_counter() - started) < seconds:
        count += len(next(batches))
    return Work(count, 0, elapsed, version, pictures, mean)


def check(stream: Stream) -> tuple[int, float]:
    """Number of the pictures of one pass, and the mean of their pixels.

    Raises:
        ValueError: They are not what every loader is to give.
    """
    import numpy as np

    pictures = total = 0
    for batch in stream(1):
        pixels = np.asarray(batch)
        if pixels.shape[1:] != (SIZE, SIZE, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"a batch is {pixels.dtype} {pixels.shape}")
        pictures += len(pixels)
        total += int(pixels.sum(dtype=np.uint64))
    return pictures, round(total / (pictures * SIZE * SIZE * 3), 3)


def files_of(folder: Path) -> list[str]:
    """The pictures as files, in order of name."""
    return sorted(map(str, (folder / "files" / "all").iterdir()))


def _open(path: str) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


class _Files:
    """A data set of PyTorch's kind, and of FFCV's: pictures by index, over and over."""

    def __init__(self, files: list[str], passes: int, as_tensor: bool) -> None:
        self._files = files
        self._passes = passes
        self._as_tensor = as_tensor

    def __len__(self) -> int:
        return len(self._files) * self._passes

    def __getitem__(self, index: int) -> Any:
        pixels = _open(self._files[index % len(self._files)])
        if not self._as_tensor:
            return pixels, 0
        import torch

        return torch.from_numpy(pixels.copy())


def torch_loader(folder: Path, workers: int) -> Stream:
    """PyTorch's DataLoader over files; Pillow decodes in worker processes."""
    from torch.utils.data import DataLoader

    files = files_of(folder)
    return lambda passes: DataLoader(
        _Files(files, passes, True), batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=True
    )


def _ffcv(folder: Path, workers: int, mode: str) -> Stream:
    import numpy as np
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.decoders import SimpleRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor
    from ffcv.writer import DatasetWriter

    files = files_of(folder)
    path = folder / f"ffcv-{mode}.beton"
    if not path.exists():
        fields = {"image": RGBImageField(write_mode=mode, jpeg_quality=QUALITY), "label": IntField()}
        DatasetWriter(str(path), fields, num_workers=workers).from_indexed_dataset(_Files(files, 1, False))

    def stream(passes: int) -> Iterable[Any]:
        loader = Loader(
            str(path),
            batch_size=BATCH,
            num_workers=workers,
            order=OrderOption.RANDOM,
            os_cache=True,
            drop_last=True,
            indices=np.tile(np.arange(len(files)), passes),
            pipelines={"image": [SimpleRGBImageDecoder(), ToTensor()], "label": None},
        )
        return (image for (image,) in loader)

    return stream


def ffcv_jpg(folder: Path, workers: int) -> Stream:
    """FFCV, pictures stored as JPEG."""
    return _ffcv(folder, workers, "jpg")


def ffcv_raw(folder: Path, workers: int) -> Stream:
    """FFCV, pictures stored as pixels."""
    return _ffcv(folder, workers, "raw")


def webdataset(folder: Path, workers: int) -> Stream:
    """WebDataset over tar files; Pillow decodes in worker processes."""
    import io

    import numpy as np
    import torch
    import webdataset as wds
    from PIL import Image

    files = files_of(folder)
    shards = folder / "webdataset"
    if not shards.exists():
        shards.mkdir()
        # A shard for each worker at least, all of one size, so that no worker ends early.
        with wds.ShardWriter(str(shards / "%06d.tar"), maxcount=len(files) // workers // 4 + 1, verbose=0) as sink:
            for index, path in enumerate(files):
                sink.write({"__key__": f"{index:08d}", "jpg": Path(path).read_bytes()})

    def decode(sample: dict[str, Any]) -> Any:
        with Image.open(io.BytesIO(sample["jpg"])) as image:
            return (torch.from_numpy(np.asarray(image.convert("RGB")).copy()),)

    def stream(passes: int) -> Iterable[Any]:
        urls = sorted(map(str, shards.iterdir()))
        data = wds.WebDataset(urls, shardshuffle=100, empty_check=False).shuffle(1000).map(decode)
        loader = wds.WebLoader(data.batched(BATCH, partial=passes == 1), batch_size=None, num_workers=workers)
        return (batch for (batch,) in (loader if passes == 1 else loader.repeat(passes)))

    return stream


def dali(folder: Path, workers: int) -> Stream:
    """NVIDIA DALI on the CPU, over files."""
    return _dali(folder, workers, lambda pictures: pictures)


def dali_warp(folder: Path, workers: int) -> Stream:
    """NVIDIA DALI on the CPU: decodes, and warps each picture once: shear, zoom and flip."""
    from nvidia.dali import fn, types

    def warp(pictures: Any) -> Any:
        centre = [SIZE / 2, SIZE / 2]
        shear = fn.random.uniform(range=[-SHEAR_DEGREES, SHEAR_DEGREES])
        mirror = 1 - 2 * fn.cast(fn.random.coin_flip(probability=0.5), dtype=types.FLOAT)
        zoom = [fn.random.uniform(range=[1 - ZOOM, 1 + ZOOM]) for _ in range(2)]
        matrix = fn.transforms.scale(scale=fn.stack(zoom[0] * mirror, zoom[1]), center=centre)
        matrix = fn.transforms.shear(matrix, angles=fn.stack(shear, 0 * shear), center=centre)
        return fn.warp_affine(pictures, matrix=matrix, size=(SIZE, SIZE), fill_value=None, inverse_map=False)

    return _dali(folder, workers, warp)


def _dali(folder: Path, workers: int, change: Callable[[Any], Any]) -> Stream:
    from nvidia.dali import fn, pipeline_def, types

    files = files_of(folder)

    @pipeline_def(batch_size=BATCH, num_threads=workers, device_id=None, prefetch_queue_depth=2)
    def pipeline() -> Any:
        encoded, _ = fn.readers.file(files=files, labels=[0] * len(files), random_shuffle=True)
        return change(fn.decoders.image(encoded, device="cpu", output_type=types.RGB))

    def stream(passes: int) -> Iterable[Any]:
        import numpy as np

        running = pipeline()
        running.build()
        for _ in range(passes * len(files) // BATCH):
            (batch,) = running.run()
            # A batch lies in one piece in memory where all pictures are of one size.
            yield np.asarray(batch.as_tensor())

    return stream


def streaming(folder: Path, workers: int) -> Stream:
    """MosaicML streaming, JPEG bytes in MDS shards; Pillow decodes in worker processes."""
    import io

    import numpy as np
    import torch
    from PIL import Image
    from streaming import MDSWriter, StreamingDataset
    from streaming.base.util import clean_stale_shared_memory

    files = files_of(folder)
    shards = folder / "streaming"
    if not shards.exists():
        with MDSWriter(out=str(shards), columns={"jpg": "bytes"}) as writer:
            for path in files:
                writer.write({"jpg": Path(path).read_bytes()})

    class Pictures(StreamingDataset):
        def __getitem__(self, index: int) -> Any:
            with Image.open(io.BytesIO(super().__getitem__(index)["jpg"])) as image:
                return torch.from_numpy(np.asarray(image.convert("RGB")).copy())

    def stream(passes: int) -> Iterable[Any]:
        clean_stale_shared_memory()
        data = Pictures(local=str(shards), shuffle=True, batch_size=BATCH)
        loader = torch.utils.data.DataLoader(data, batch_size=BATCH, num_workers=workers, persistent_workers=True)
        for _ in range(passes):
            yield from loader

    return stream


# Name on the command line: what makes the stream, the package whose version counts, the modules that it needs.
LOADERS: dict[str, tuple[Callable[[Path, int], Stream], str, tuple[str, ...]]] = {
    "ffcv-jpg": (ffcv_jpg, "ffcv", ("ffcv.loader",)),
    "ffcv-raw": (ffcv_raw, "ffcv", ("ffcv.loader",)),
    "webdataset": (webdataset, "webdataset", ("torch", "webdataset", "PIL.Image")),
    "torch": (torch_loader, "torch", ("torch", "PIL.Image")),
    "dali": (dali, "nvidia-dali-cuda120", ("nvidia.dali",)),
    "dali-warp": (dali_warp, "nvidia-dali-cuda120", ("nvidia.dali",)),
    "streaming": (streaming, "mosaicml-streaming", ("streaming", "PIL.Image")),
}


def main(name: str, folder: Path, workers: int, seconds: float) -> None:
    """Runs a loader, or says why it cannot be."""
    make, package, modules = LOADERS[name]
    if not import_or_say(modules):
        return
    print(json.dumps(measure(make(folder, workers), seconds, importlib.metadata.version(package))._asdict()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
