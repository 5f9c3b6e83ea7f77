"""Prediction in pieces, some batches each, by processes on other machines that see the models and the pictures.

A piece begins where a batch of one process would, so that every picture is in the same batch as there.
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dogcat.core import files, runtime, threads
from dogcat.core.calls import Calls, WorkLostError
from dogcat.core.places import place_of
from dogcat.core.progress import pictures_bar
from dogcat.dataset import manifest
from dogcat.dataset.encoding import Rejection
from dogcat.pictures import elsewhere
from dogcat.pictures.elsewhere import Seen, this_process
from dogcat.prediction.options import EvaluationOptions, PredictionOptions

if TYPE_CHECKING:
    from dogcat.prediction.picture_sources import DataSetSplit, PictureFiles, Pictures
    from dogcat.prediction.runner import Manner, Predictor

# Batches for each call: enough to hide the cost of the call and of what is read ahead in vain.
_BATCHES = 16


class Setup(NamedTuple):
    """What decides the logits of all pieces.

    Attributes:
        seen: What the command has and sees of the folder of pictures or the data set.
        split: Split of the data set; None: the folder has picture files.
        digest: That of the pictures.
        models: Path, absolute, and hash of the weights' file of each model.
        tta: As of the options, and so are the others.
        batch_size: In pictures.
        precision: Perhaps `auto`.
        strategy: Perhaps `auto`.
        engine: Perhaps `auto`.
    """

    seen: Seen
    split: str | None
    digest: str
    models: tuple[tuple[str, str], ...]
    tta: str
    batch_size: int
    precision: str
    strategy: str
    engine: str


class Computed(NamedTuple):
    """What became of a piece.

    Attributes:
        logits: float32 [pictures, models, 1 or classes].
        rejections: The pictures that cannot be read.
        manner: How it was computed.
        devices: Where, for people.
    """

    logits: np.ndarray
    rejections: list[Rejection]
    manner: Manner
    devices: str


# What calls `predict_piece`.
Pieces = Calls[Computed]


class PiecesOfPredictions:
    """Predicts as `runner.Predictor` does, in pieces.

    Attributes:
        temperatures: That of each model.
        manner: How the workers compute.
        devices: On which devices, for people: those of the first worker.
    """

    def __init__(self, calls: Pieces, setup: Setup, temperatures: list[float]) -> None:
        """Has a worker load the models, and tell how it computes.

        Args:
            calls: Call `predict_piece`.
            setup: For all pieces.
            temperatures: That of each model.

        Raises:
            InputError: A worker does not fit or cannot compute as asked.
        """
        calls.check_each(check_worker, setup)
        [nothing] = calls.starmap(iter([(setup, 0, [])]))
        self.temperatures = temperatures
        self.manner = nothing.manner
        self.devices = nothing.devices
        self._calls = calls
        self._setup = setup

    def logits(self, pictures: Pictures, first: int = 0) -> Generator[np.ndarray, None, None]:
        """See `runner.Predictor`; piece by piece.

        Raises:
            WorkLostError: A worker computes otherwise than the first one.
        """
        batch_size = self.manner.whole_batch(self._setup.batch_size)
        pieces = range(first, len(pictures.keys), batch_size * _BATCHES)
        calls = ((self._setup, begin, pictures.keys[begin : begin + pieces.step]) for begin in pieces)
        with pictures_bar(len(pictures.keys), "predicting", first) as progress:
            for computed in self._calls.starmap(calls):
                if computed.manner != self.manner:
                    one, other = (", ".join(map(str, manner)) for manner in (self.manner, computed.manner))
                    raise WorkLostError(
                        f"--cluster: one worker computes in {one}, another in {other}; give --precision, --strategy "
                        "and --engine that all have"
                    )
                pictures.rejections.update({rejection.key: rejection for rejection in computed.rejections})
                progress.update(len(computed.logits))
                yield computed.logits


def setup_for(
    pictures: PictureFiles | DataSetSplit,
    models: list[tuple[Path, str]],
    options: PredictionOptions | EvaluationOptions,
) -> Setup:
    """What all pieces of a prediction have in common; `models` are the path and hash of the weights' file of each."""
    split = getattr(pictures, "split", None)
    return Setup(
        seen=elsewhere.seen_here(pictures.folder, [manifest.FILE_NAME] if split else pictures.keys),
        split=split,
        digest=pictures.digest(),
        models=tuple((str(path.absolute()), sha256) for path, sha256 in models),
        tta=options.tta,
        batch_size=options.batch_size,
        precision=options.precision,
        strategy=options.strategy,
        engine=options.engine,
    )


def check_worker(setup: Setup) -> None:
    """Raises WorkLostError where this process does not see the pictures or a model, or has other versions."""
    setup.seen.require()
    for path, _ in setup.models:
        if not Path(path).exists():
            raise WorkLostError(f"{this_process()} does not see {path}; mount it there by the same path")


def predict_piece(setup: Setup, first: int, keys: Sequence[str]) -> Computed:
    """Predicts some pictures in this process, which keeps the models for the next piece.

    Args:
        setup: For all pieces.
        first: Place of the first of them in the split.
        keys: The pictures; none: the models are loaded alone.

    Raises:
        InputError: This process does not fit, cannot compute as asked, or a model or the data set is damaged.
    """
    check_worker(setup)
    return threads.of_networks().submit(_compute, setup, first, keys).result()


def _compute(setup: Setup, first: int, keys: Sequence[str]) -> Computed:
    predictor, manner, devices = _predictor(setup)
    from dogcat.prediction import picture_sources

    if not keys:
        return Computed(np.empty(0, np.float32), [], manner, devices)
    if setup.split is None:
        files_ = picture_sources.PictureFiles(Path(setup.seen.folder), list(keys))
        logits = np.concatenate(list(predictor.logits(files_)))
        # Had they gone meanwhile, all the rest would be unreadable.
        setup.seen.require()
        return Computed(logits, list(files_.rejections.values()), manner, devices)
    found: list[np.ndarray] = []
    batches = predictor.logits(_split(setup), first)
    for logits in batches:
        found.append(logits)
        if sum(map(len, found)) == len(keys):
            break
    batches.close()
    return Computed(np.concatenate(found), [], manner, devices)


@functools.lru_cache(maxsize=1)
def _predictor(setup: Setup) -> tuple[Predictor, Manner, str]:
    runtime.prepare()
    from dogcat.models import model_files
    from dogcat.prediction import runner

    for path, sha256 in setup.models:
        if files.sha256_of(model_files.weights_file(Path(path))) != sha256:
            raise WorkLostError(f"{this_process()}: {path} is another file there than here; give all machines the same")
    paths = [Path(path) for path, _ in setup.models]
    strategy, engine = runner.choose_devices(setup.precision, setup.strategy, setup.engine, paths)
    predictor = runner.Predictor(paths, setup.tta, setup.batch_size, strategy, engine)
    return predictor, runner.manner(strategy, engine), runner.describe(strategy, engine)


@functools.lru_cache(maxsize=1)
def _split(setup: Setup) -> DataSetSplit:
    from dogcat.prediction import picture_sources

    assert setup.split is not None
    folder = place_of(setup.seen.folder)
    split = picture_sources.DataSetSplit(folder, manifest.load(folder), setup.split)
    if split.digest() != setup.digest:
        raise WorkLostError(f"{this_process()}: {folder} is another data set there than here; give all the same")
    return split
