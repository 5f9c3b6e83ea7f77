"""Contestants of `tools.benchmark` in processes of their own: who they are, how they start, what they must do."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from dogcat.core import runtime

from .options import BenchmarkOptions
from .peer_writers import Work
from .rounds import CannotRun, Contestant

_ROOT = Path(__file__).parents[2]
# A contestant's bytes for each picture may differ from ours by this factor: containers and encoders differ, but a
# writer that keeps another size or quality does other work.
_PLAUSIBLE_SIZE = 2.0
# Means of all pixels may differ by this: the fast inverse transform, which is the default of TensorFlow's decoder and
# the only one in FFCV, makes pictures 0.8 of 255 darker.
_ROUNDING = 1.5

# Name for the process, title, note.
_Listed = tuple[str, str, str]
_DOGCAT_JPEG: _Listed = ("dogcat-jpeg", "dogcat, JPEG", "")
_DOGCAT_RAW: _Listed = ("dogcat-raw", "dogcat, raw", "")
_TF_DATA_JPEG: _Listed = ("tf-data-jpeg", "tf.data", "interleave, shuffle, map decode, batch")
_TF_DATA_RAW: _Listed = ("tf-data-raw", "tf.data, raw", "interleave, shuffle, map decode_raw, batch")
# Ours first, then those of this environment, then those of the peers'.
_SHARDS: tuple[Sequence[_Listed], Sequence[_Listed]] = (
    (("dogcat", "dogcat", ""), ("pillow", "plain Pillow", "in a pool of processes, TFRecords")),
    (
        ("opencv", "OpenCV", "the limit: plain bilinear, nothing is written"),
        ("opencv-antialiased", "OpenCV, antialiased", "INTER_AREA, nothing is written"),
        ("ffcv", "FFCV", "DatasetWriter, jpg; Pillow decodes"),
        ("webdataset", "WebDataset", "ShardWriter, 1 process; Pillow decodes"),
    ),
)
_LOAD_JPEG: tuple[Sequence[_Listed], Sequence[_Listed]] = (
    (
        _DOGCAT_JPEG,
        ("decode", "decode alone, simplejpeg", "the limit: nothing is read or shuffled"),
        _TF_DATA_JPEG,
        ("tfds", "TensorFlow Datasets", "the same shards; shuffle, batch"),
        ("keras-directory", "image_dataset_from_directory", "from files"),
        ("keras-generator", "ImageDataGenerator", "from files, 1 thread"),
    ),
    (
        ("dali", "DALI on the CPU", "from files"),
        ("ffcv-jpg", "FFCV, jpg", "fast inverse transform, other pixels"),
        ("torch", "PyTorch DataLoader", "from files; Pillow decodes"),
        ("webdataset", "WebDataset", "Pillow decodes"),
        ("streaming", "MosaicML streaming", "Pillow decodes"),
    ),
)
_LOAD_RAW: tuple[Sequence[_Listed], Sequence[_Listed]] = (
    (
        _DOGCAT_RAW,
        ("copy", "copying alone, NumPy", "the limit: nothing is read or shuffled"),
        _TF_DATA_RAW,
    ),
    (("ffcv-raw", "FFCV, raw", ""),),
)
_DISK_JPEG: tuple[Sequence[_Listed], Sequence[_Listed]] = ((_DOGCAT_JPEG, _TF_DATA_JPEG), ())
_DISK_RAW: tuple[Sequence[_Listed], Sequence[_Listed]] = (
    (_DOGCAT_RAW, ("read", "reading alone", "the limit: from end to end, not shuffled"), _TF_DATA_RAW),
    (),
)
_BUCKET_JPEG = (("dogcat-jpeg-bucket", "dogcat, JPEG in a bucket", ""), _DOGCAT_JPEG)
_BUCKET_RAW = (("dogcat-raw-bucket", "dogcat, raw in a bucket", ""), _DOGCAT_RAW)
_AUGMENT: tuple[Sequence[_Listed], Sequence[_Listed]] = (
    (
        ("dogcat-warp", "dogcat", "one warp of each picture"),
        ("keras-layers-warp", "Keras' layers", "RandomFlip, RandomZoom; no shear"),
        ("keras-generator-warp", "ImageDataGenerator", "from files, 1 thread"),
    ),
    (("dali-warp", "DALI on the CPU", "from files; one warp of each picture"),),
)


def workers_of(options: BenchmarkOptions) -> int:
    """Processes or threads of each contestant."""
    return options.workers or runtime.available_cores()


def shard_writers(options: BenchmarkOptions, pictures: Path) -> list[Contestant]:
    """Those who write shards from the pictures of a folder."""
    own = [sys.executable, "-m", "tools.benchmarks.own_writer"]
    # Isolated: nothing that PYTHONPATH names for this environment gets into the other.
    peer = [options.peers_python, "-I", str(Path(__file__).with_name("peer_writers.py"))]

    def contestant(command: list[str], name: str, title: str, note: str) -> Contestant:
        def run() -> Work:
            with tempfile.TemporaryDirectory(prefix="dogcat-benchmark-") as folder:
                # Else the disk would still be busy with what the run before has written.
                os.sync()
                return _run([*command, name, str(pictures), str(workers_of(options)), folder], with_ours=True)

        return Contestant(name, title, note, run, ours=name == "dogcat")

    listed = [(own, *each) for each in _SHARDS[0]] + [(peer, *each) for each in _SHARDS[1] if options.peers]
    return [contestant(*each) for each in listed]


def jpeg_loaders(options: BenchmarkOptions, folder: Path) -> list[Contestant]:
    """Those who load JPEG, from what `benchmark_load.prepare` made."""
    return _loaders(_LOAD_JPEG, options, folder, options.seconds)


def raw_loaders(options: BenchmarkOptions, folder: Path) -> list[Contestant]:
    """Those who load raw pixels."""
    return _loaders(_LOAD_RAW, options, folder, options.seconds)


def loaders_from_disk(options: BenchmarkOptions, folder: Path) -> tuple[list[Contestant], list[Contestant]]:
    """Those who load JPEG, and those who load raw pixels, of which nothing is in memory."""
    of_jpeg, of_raw = (_loaders(listed, options, folder, seconds=0) for listed in (_DISK_JPEG, _DISK_RAW))
    return of_jpeg, of_raw


def bucket_loaders(
    options: BenchmarkOptions, folder: Path, environment: dict[str, str]
) -> tuple[list[Contestant], list[Contestant]]:
    """Ours from a bucket and from this machine: from JPEG, and from raw pixels."""
    of_jpeg, of_raw = (
        _loaders((listed, ()), options, folder, options.seconds, environment) for listed in (_BUCKET_JPEG, _BUCKET_RAW)
    )
    return of_jpeg, of_raw


def augmenting_loaders(options: BenchmarkOptions, folder: Path) -> list[Contestant]:
    """Those who load JPEG and warp each picture."""
    return _loaders(_AUGMENT, options, folder, options.seconds)


def _loaders(
    listed: tuple[Sequence[_Listed], Sequence[_Listed]],
    options: BenchmarkOptions,
    folder: Path,
    seconds: float,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> list[Contestant]:
    def contestant(python: str, module: str, name: str, title: str, note: str) -> Contestant:
        command = [python, "-s", "-m", module, name, str(folder), str(workers_of(options)), str(seconds)]
        run = functools.partial(_run, command, python == sys.executable, environment)
        return Contestant(name, title, note, run, ours=name.startswith("dogcat"))

    own, peers = listed
    return [contestant(sys.executable, "tools.benchmarks.own_loaders", *each) for each in own] + [
        contestant(options.peers_python, "tools.benchmarks.peer_loaders", *each) for each in peers if options.peers
    ]


def check_shards(work: Work, ours: Work, pictures: int) -> None:
    """Raises CannotRun for a writer that did other work than was asked for."""
    if work.pictures != pictures:
        raise CannotRun(f"it made {work.pictures} pictures of {pictures}")
    factor = work.bytes / ours.bytes
    if not 1 / _PLAUSIBLE_SIZE <= factor <= _PLAUSIBLE_SIZE:
        raise CannotRun(f"its pictures have {factor:.2f} times the bytes of ours: not the same work")


def check_loaded(work: Work, ours: Work, pictures: int) -> None:
    """Raises CannotRun for a loader that does not give every picture once, or other pixels."""
    if work.checked != pictures:
        raise CannotRun(f"it gave {work.checked} pictures of {pictures} in a pass")
    if abs(work.mean - ours.mean) > _ROUNDING:
        raise CannotRun(f"the mean of its pixels is {work.mean}, ours is {ours.mean}: not the same pictures")


def environment_of_project(with_others: bool) -> dict[str, str]:
    """The variables of a process that imports the project from where it is.

    Args:
        with_others: Whether what PYTHONPATH names for this environment is for it too.
    """
    others = os.environ.get("PYTHONPATH") if with_others else None
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), others)))}


def _run(command: list[str], with_ours: bool, more: Mapping[str, str] = MappingProxyType({})) -> Work:
    """What a contestant's process says that it did.

    Args:
        command: Its command.
        with_ours: Whether what PYTHONPATH names for this environment is for it too.
        more: Environment variables besides those of this process.

    Raises:
        CannotRun: The contestant is not installed, or it failed.
    """
    environment = {**environment_of_project(with_others=with_ours), **more}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CannotRun(message)
    answer = json.loads(done.stdout.splitlines()[-1])
    if "cannot_import" in answer:
        raise CannotRun(f"cannot be imported by {command[0]}: {answer['cannot_import']}")
    return Work(**answer)
