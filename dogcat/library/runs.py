"""Training and evaluation for other programs, as the commands do them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dogcat.core.interrupts import Interrupts, Terminated
from dogcat.core.log import tell
from dogcat.core.options import AnyOptions, InputError
from dogcat.evaluation.assess import Assessment, LabelledPredictions
from dogcat.evaluation.bootstrap import Interval
from dogcat.library.keywords import options_from
from dogcat.library.process import own_precision, prepare
from dogcat.library.trained_models import Model, load_model
from dogcat.prediction.options import EvaluationOptions
from dogcat.training import epoch_records, finished_runs
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.finished_runs import FinishedRun
from dogcat.training.options import TrainingOptions


class Run:
    """A run of training that came to its end.

    Attributes:
        folder: Its folder.
        options: All options of `dogcat train` that it was made with, by name.
        history: The figures of each epoch, from 0, the model before the epochs.
    """

    def __init__(self, finished: FinishedRun) -> None:
        """Takes what its folder tells; use `train` or `open_run`."""
        self.folder = finished.path
        self.options: dict[str, Any] = dict(finished.options)
        self.history: list[EpochRecord] = list(finished.history)

    @property
    def best(self) -> EpochRecord:
        """The epoch with the lowest validation loss, whose model was kept."""
        return epoch_records.best_of(self.history)

    @property
    def report(self) -> Path | None:
        """The page of the run, report.html; None if none was made."""
        page = self.folder / finished_runs.PAGE
        return page if page.exists() else None

    def model(self) -> Model:
        """The model of the best epoch."""
        return load_model(self.folder)

    def __repr__(self) -> str:
        """The folder, and how good the best epoch is."""
        best = self.best
        return f"Run({str(self.folder)!r}, best epoch {best.epoch}, validation log loss {best.val_loss:.4f})"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How good a model is on labelled pictures, or two.

    Attributes:
        predictions: The pictures, their labels, and what was predicted.
        assessment: All figures, also those of each class.
    """

    predictions: LabelledPredictions
    assessment: Assessment

    @property
    def metrics(self) -> dict[str, Interval]:
        """The metrics of the (first) model by name: value, low, high, the 95% interval."""
        return self.assessment.models[0].overall

    @property
    def differences(self) -> dict[str, Interval]:
        """Those of the first model less those of the second, by name; empty for one model."""
        return self.assessment.differences


def train(options: Mapping[str, Any] | TrainingOptions | None = None, /, **more: Any) -> Run:
    """Trains a model, as `dogcat train` does.

    Args:
        options: Flags of the command by name, like `{"tfrecords": "data/tfrecords", "epochs": 3}`; or its options.
        **more: Further ones.

    Raises:
        InputError: The data set or an option cannot be used, or training diverged.
        TypeError: An option is unknown, or of another type.
    """
    wanted = _options(TrainingOptions, options, more)
    for name, does in (("dry_run", "trains no run"), ("find_lr", "trains no run"), ("folds", "trains several runs")):
        if value := getattr(wanted, name):
            raise InputError(f"{name}={value}: is for the command, which {does} with it; leave it out")
    prepare()
    with own_precision():
        folder = train_with_page(wanted)
    if folder is None:
        raise InputError("strategy: this worker is not the first one, which writes the run; train there")
    return open_run(folder)


def open_run(folder: str | os.PathLike[str] = "runs/latest") -> Run:
    """A finished run.

    Raises:
        InputError: There is none, or its files are damaged.
    """
    return Run(finished_runs.read(Path(folder)))


def evaluate(options: Mapping[str, Any] | EvaluationOptions | None = None, /, **more: Any) -> Evaluation:
    """Tells how good a model is, as `dogcat evaluate` does, and writes nothing.

    Args:
        options: Flags of the command by name, like `{"model": "runs/latest", "split": "validation"}`; or its options.
        **more: Further ones.

    Raises:
        InputError: The model, the pictures or an option cannot be used, or they do not fit each other.
        TypeError: An option is unknown, or of another type.
    """
    wanted = _options(EvaluationOptions, options, more)
    for name in ("cluster", "save_temperature"):
        if getattr(wanted, name):
            raise InputError(f"{name}={getattr(wanted, name)}: is for the command, dogcat evaluate; leave it out")
    from dogcat.evaluation import assess

    if wanted.predictions:
        from dogcat.prediction import submission_csv

        predictions = submission_csv.read_labelled(wanted)
    else:
        prepare()
        from dogcat.prediction import predictor

        with own_precision():
            predictions = predictor.predict_labelled(wanted)
    return Evaluation(predictions, assess.assess(predictions, wanted.scoring))


def train_with_page(options: TrainingOptions) -> Path | None:
    """Trains, and makes the page of the run; of a run that only lacks its page, makes that.

    With --folds it does so for the run of each fold.

    Returns:
        The run's folder, or that of all folds; None for a dry run, where learning rates were tried, and in a worker
        that does not write.

    Raises:
        InputError: Something cannot be used, or training diverged.
        Terminated, KeyboardInterrupt: The process was told to stop; the message says how to go on.
    """
    if options.folds:
        from dogcat.training import cross_validation

        return cross_validation.train(options, _train_one)
    return _train_one(options)


def _train_one(options: TrainingOptions, fold: int = 0) -> Path | None:
    """Trains a run, that of a fold where one is given, and makes its page."""
    from dogcat.training import run, trackers
    from dogcat.training.tracking import Tracking

    with Tracking(trackers.chosen(options.track)) as tracking:
        folder = run.train(options, tracking, fold)
        if folder and options.report:
            _make_page(folder)
        if folder:
            tracking.finish(folder)
    return folder


def _make_page(run: Path) -> None:
    from dogcat.reports import build
    from dogcat.training.run_folder import RunFolder

    try:
        with RunFolder(run), Interrupts():
            page = build.write(run)
    except (Terminated, KeyboardInterrupt) as stop:
        stop.args = (f"the run {run} is finished; the same command with --resume makes its page",)
        raise
    tell(f"report: {page or 'none, since validation has less than two pictures'}")


def _options(
    options_class: type[AnyOptions], given: Mapping[str, Any] | AnyOptions | None, more: dict[str, Any]
) -> AnyOptions:
    if not isinstance(given, options_class):
        return options_from(options_class, {**(given or {}), **more})  # type: ignore[dict-item]
    if more:
        raise TypeError(f"{next(iter(more))}: give it within the options, or all options by name")
    return given
