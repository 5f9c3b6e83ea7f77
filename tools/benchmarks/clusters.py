"""How much faster two workers of a cluster do the work of one, each a process on a core of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple

import dogcat
from dogcat.cleaning import network_pieces, pieces
from dogcat.core import cluster, log, runtime
from dogcat.core.options import InputError
from dogcat.dataset import making, shard_pieces, shard_steps
from dogcat.dataset.options import ShardOptions
from dogcat.pictures import folders
from dogcat.prediction.options import PredictionOptions
from dogcat.prediction.pieces import predict_piece

from ..weights_in_wheel import write_in_older_layout
from . import rounds
from .peer_writers import Work
from .processes import environment_of_project

# Workers whose rates are compared.
_MANY, _ONE = 2, 1
# So few MiB that several thousand pictures are many shards.
_SHARD_MIB = 2
# So few pictures that a piece of predictions is a fraction of a run; one of features always has 512.
_BATCH_SIZE = 8
# A network for which reading and sending count more than for a large one. Speed does not depend on its weights.
_BACKBONE = "mobilenetv2"
_CLASSES = ["cat", "dog"]
_LONGEST_START = 300
# Runs a module on some cores alone, until the process that started it is gone.
_PINNED = """
import os, runpy, sys, threading
os.sched_setaffinity(0, map(int, sys.argv[1].split(",")))
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class _Piecework(NamedTuple):
    """Work that is done in pieces.

    Attributes:
        title: What is done.
        do: Does it once, given the value of `--cluster`; returns the seconds without start-up.
    """

    title: str
    do: Callable[[str], float]


def require() -> None:
    """Raises InputError where this cannot be measured."""
    if not hasattr(os, "sched_setaffinity") or runtime.available_cores() < _MANY:
        raise InputError(f"benchmark cluster: needs Linux and {_MANY} cores; leave it out")
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"benchmark cluster: Dask cannot be imported ({error}); pip install 'dogcat[cluster]'"
        ) from error


@contextlib.contextmanager
def pinned_workers(folder: Path) -> Iterator[tuple[str, str]]:
    """A block with clusters of Dask on 127.0.0.1, of one worker and of two; yields what `--cluster` takes for each.

    A worker is a process of one thread for pieces, on a core of its own.

    Args:
        folder: An empty folder.

    Raises:
        CannotRun: A process does not start.
    """
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as running:
        files = [folder / "one.json", folder / "many.json"]
        for file, count in zip(files, (_ONE, _MANY)):
            place = f"--scheduler-file={file}"
            running.enter_context(_process("scheduler", cores, "--port=0", place))
            for core in cores[:count]:
                worker = ("--no-nanny", "--nthreads=1", "--memory-limit=0", f"--local-directory={folder}")
                running.enter_context(_process("worker", [core], place, *worker))
            _wait_for_workers(file, count)
        one, many = (f"dask:{file}" for file in files)
        yield one, many


@contextlib.contextmanager
def _process(what: str, cores: list[int], *flags: str) -> Iterator[None]:
    line = [sys.executable, "-c", _PINNED, ",".join(map(str, cores)), f"distributed.cli.dask_{what}"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        [*line, "--host=127.0.0.1", "--no-dashboard", *flags],
        env=environment_of_project(with_others=True),
        stdin=subprocess.PIPE,
        stdout=quiet,
        stderr=quiet,
    ) as process:
        try:
            yield
        finally:
            process.kill()


def _wait_for_workers(file: Path, count: int) -> None:
    import distributed

    deadline = time.monotonic() + _LONGEST_START
    while not file.exists():
        if time.monotonic() > deadline:
            raise rounds.CannotRun(f"a scheduler of Dask is not there after {_LONGEST_START} s")
        time.sleep(0.1)
    with distributed.Client(scheduler_file=str(file), set_as_default=False) as client:
        try:
            client.wait_for_workers(count, timeout=_LONGEST_START)
        except TimeoutError as error:
            raise rounds.CannotRun(f"workers of Dask are not there after {_LONGEST_START} s") from error


def measure(pictures: Path, work: Path, number: int, one: str, many: str, backbone: str = _BACKBONE) -> rounds.Outcome:
    """Measures shards, features and predictions by one worker and by two, in turn.

    Args:
        pictures: Folder of readable pictures.
        work: An empty folder.
        number: Number of rounds.
        one: `--cluster` of one worker.
        many: That of two.
        backbone: Name of the network.
    """
    runtime.prepare()
    count = len(list(pictures.iterdir()))
    groups, conclusions = [], []
    with log.at_level(logging.WARNING):
        for piecework in _pieceworks(pictures, work, backbone):
            contestants = [
                _contestant(piecework, place, workers, count) for place, workers in ((many, _MANY), (one, _ONE))
            ]
            # What each worker imports and loads counts in no round.
            for contestant in contestants:
                contestant.run()
            measured = rounds.measure(contestants, number, lambda done, ours: None)
            groups.append(rounds.Group(piecework.title, measured.results, "two workers / it"))
            share = rounds.Figure.of([ratio / _MANY for ratio in measured.results[1].ratios])
            conclusions.append(f"{piecework.title}: two workers reach {share} of twice the rate of one.")
    about = f"{count} pictures, {backbone} for networks, a core for each worker, {number} rounds"
    return rounds.Outcome(about, groups, conclusions, {})


def _contestant(piecework: _Piecework, place: str, workers: int, count: int) -> rounds.Contestant:
    def run() -> Work:
        return Work(count, 0, piecework.do(place), dogcat.__version__)

    title = f"{piecework.title}, {workers} worker{'s' if workers > 1 else ''}"
    return rounds.Contestant(f"{piecework.title}-{workers}", title, "", run, ours=True)


def _pieceworks(images: Path, work: Path, backbone: str) -> list[_Piecework]:
    from dogcat.models import architecture, model_files
    from dogcat.models.backbones import BACKBONES
    from dogcat.prediction import predictor
    from dogcat.prediction.picture_sources import PictureFiles

    size = BACKBONES[backbone].image_size
    model = work / "model.keras"
    description = model_files.Description(_CLASSES, size, "stretch", backbone)
    weights = work / "weights.h5"
    write_in_older_layout(architecture.make_backbone(backbone, size), weights)
    model_files.save(architecture.build_model(backbone, size, len(_CLASSES)), model, description)
    keys = folders.list_images(images).keys

    def write_shards(place: str) -> float:
        with tempfile.TemporaryDirectory(dir=work) as folder, cluster.workers(place, shard_pieces.write_piece) as calls:
            output = str(Path(folder, "tfrecords"))
            options = ShardOptions(images=str(images), output=output, unlabeled=True, shard_mib=_SHARD_MIB)
            shard_steps.write_plan(making.prepare(options))
            # Else the disk would still be busy with what the run before has written.
            os.sync()

            def write() -> None:
                shard_steps.write_part(output, 0, 1, calls)
                shard_steps.commit(output)

            return _seconds(write)

    def compute_features(place: str) -> float:
        wanted = network_pieces.WantedBackbone(str(weights), backbone, size, seed=0)
        with (
            tempfile.TemporaryDirectory(dir=work) as folder,
            # What another run has found would be taken from there.
            runtime.variables_set(DOGCAT_CACHE=folder),
            cluster.workers(place, pieces.do_piece) as calls,
        ):
            return _seconds(lambda: network_pieces.outputs(wanted, PictureFiles(images, keys), calls, "features"))

    def predict(place: str) -> float:
        with tempfile.TemporaryDirectory(dir=work) as folder, cluster.workers(place, predict_piece) as calls:
            options = PredictionOptions(
                model=str(model),
                images=str(images),
                output=str(Path(folder, "submission.csv")),
                batch_size=_BATCH_SIZE,
            )
            return _seconds(lambda: predictor.predict(options, calls))

    return [
        _Piecework("shards", write_shards),
        _Piecework("features", compute_features),
        _Piecework("predictions", predict),
    ]


def _seconds(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started
