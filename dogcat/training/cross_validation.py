"""Cross-validation: a run for each fold of a data set, and what all of them say of pictures that they never saw."""

from __future__ import annotations

import dataclasses
import gc
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from dogcat.core import files, outputs
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.places import place_of
from dogcat.dataset import shard_plan
from dogcat.evaluation import assess, metrics, results
from dogcat.evaluation.assess import LabelledPredictions, Scoring
from dogcat.loading import fold_set, records
from dogcat.loading.fold_set import FoldSet
from dogcat.models import devices, model_files, model_list, workers
from dogcat.training import epoch_records, estimate, finished_runs, preparation, run_folder
from dogcat.training.finished_runs import CONFIG, PAGE, FinishedRun
from dogcat.training.options import TrainingOptions
from dogcat.training.run_folder import RunFolder

PREDICTIONS, METRICS = "out_of_fold.csv", "metrics.json"
# What is told of the figures, with their intervals.
_TOLD = ("log_loss", "accuracy", "roc_auc")

# Trains the run of a fold, and gives its folder.
TrainFold = Callable[[TrainingOptions, int], Optional[Path]]


class _OutOfFold(NamedTuple):
    """What is said of each picture by the model that never saw it.

    Attributes:
        predictions: The pictures, those of the training shards first, and what is predicted.
        fold_of: The fold of each, from 1; int64 [pictures].
    """

    predictions: LabelledPredictions
    fold_of: np.ndarray


def train(options: TrainingOptions, train_fold: TrainFold) -> Path | None:
    """Trains a run for each fold, one after the other, in folders below that of all; then measures them together.

    What `run_folder.lead_to` leads to it, and the list by which it is an ensemble, come last, when all is there.

    Args:
        options: The options, with --folds.
        train_fold: Trains the run of a fold by its options and its number, with its page.

    Returns:
        The folder of all; None for a dry run.

    Raises:
        InputError: The data set or the model cannot be used, training diverged, or there are several workers.
        Terminated, KeyboardInterrupt: The process was told to stop; the message says how to go on.
    """
    # Before workers wait for each other.
    if options.strategy == "multi_worker" or (options.strategy == "auto" and workers.cluster_of_tf_config()):
        raise InputError(f"--folds={options.folds}: trains in one process; use --strategy=one_device or mirrored")
    strategy = devices.make_strategy(options.strategy)
    outputs.require_folder(Path(options.runs))
    folds = []
    for number in _numbers(options):
        data = preparation.load_data(options, strategy, number)
        assert isinstance(data, FoldSet)
        folds.append(data)
    whole = folds[0].whole.digest()
    begun = run_folder.unfinished(options, whole) if options.resume else None
    config: dict[str, Any] = {}
    if not begun:
        prepared = preparation.prepare(dataclasses.replace(options, resume=False), strategy, folds[0])
        if options.dry_run:
            for line in [*prepared.description(), estimate.describe(prepared)]:
                tell(line)
        config = {**prepared.config(), "data_digest": whole}
        config["options"]["runs"] = options.runs
        del config["fold"], prepared
    tell(_plan(folds))
    if begun:
        finished = sum(finished_runs.is_finished(run) for run in _runs_in(begun.path))
        tell(f"resuming: {begun.path}, in which {finished} of {options.folds} runs are finished")
    if options.dry_run:
        return None
    path = begun.path if begun else run_folder.create(options)
    with RunFolder(path) as folder:
        if not begun:
            folder.write_config(config)
        try:
            for number in _numbers(options):
                _train_fold(options, path, number, train_fold)
        except Exception:
            if not begun and not _runs_in(path):
                folder.remove()
            raise
        _finish(folder, options, folds)
    return path


def _numbers(options: TrainingOptions) -> range:
    return range(1, options.folds + 1)


def _runs_in(path: Path) -> list[Path]:
    return list(path.glob(run_folder.fold_name("*")))


def _plan(folds: list[FoldSet]) -> str:
    pictures = [data.splits[shard_plan.VALIDATION].pictures for data in folds]
    least, most = min(pictures), max(pictures)
    each = {0: f"{most}", 1: f"{least} or {most}"}.get(most - least, f"{least} to {most}")
    return (
        f"folds: {len(folds)} runs, each validated on {each} of all {sum(pictures)} pictures, and trained on the others"
    )


def _train_fold(options: TrainingOptions, path: Path, number: int, train_fold: TrainFold) -> None:
    """Trains the run of a fold, or goes on with it, or makes its page, as far as that is not done."""
    of_fold = path / run_folder.fold_name(number)
    if finished_runs.is_finished(of_fold) and (not options.report or (of_fold / PAGE).exists()):
        return
    tell(f"fold {number} of {options.folds}: {of_fold}")
    is_begun = (of_fold / CONFIG).exists()
    train_fold(dataclasses.replace(options, runs=str(path), resume=is_begun), number)
    # The model of a run and its graphs refer to one another.
    gc.collect()


def _finish(folder: RunFolder, options: TrainingOptions, folds: list[FoldSet]) -> None:
    """Writes what the runs say together, the list of their models, and last that all is done."""
    names = [run_folder.fold_name(data.number) for data in folds]
    runs = [finished_runs.read(folder.path / name) for name in names]
    predictions, fold_of = _out_of_fold(options, folds, runs, folder.path.name)
    scoring = Scoring(seed=options.seed)
    assessed = assess.assess(predictions, scoring)
    table = results.predictions_csv(predictions, {"fold": fold_of.tolist()})
    with files.FileSet() as written:
        written.write(folder.path / PREDICTIONS, table.encode("utf-8", "surrogateescape"))
        written.write(folder.path / METRICS, results.metrics_json(predictions, assessed, scoring).encode())
        written.write(folder.path / model_list.FILE, model_list.content(names))
    for data, run in zip(folds, runs):
        best = epoch_records.best_of(run.history)
        figures = f"log loss {best.val_loss:.4f}, accuracy {best.val_accuracy:.2%}"
        tell(f"fold {data.number}: best epoch {best.epoch}, {figures}")
    told = ", ".join(results.in_words(name, assessed.models[0].overall[name]) for name in _TOLD)
    tell(f"out of fold, of all {len(fold_of)} pictures: {told}")
    run_folder.lead_to(folder.path, options)
    folder.finish({"folds": options.folds, "seconds": sum(run.seconds for run in runs)})


def _out_of_fold(options: TrainingOptions, folds: list[FoldSet], runs: list[FinishedRun], name: str) -> _OutOfFold:
    """Joins what the best models of the folds say of their validation pictures.

    Raises:
        InputError: A file of a run is damaged.
    """
    found = records.of_split(place_of(options.tfrecords), folds[0].whole, fold_set.ALL)
    count, classes = len(found.keys), folds[0].classes
    log_probabilities = np.empty((count, len(classes)))
    fold_of = np.empty(count, np.int64)
    for data, run in zip(folds, runs):
        places = data.places[shard_plan.VALIDATION]
        logits = run.validation_logits(len(places), len(classes))
        assert logits is not None
        temperature = model_files.describe(run.path / model_files.BEST_MODEL).temperature
        log_probabilities[places] = metrics.log_probabilities(logits / temperature)
        fold_of[places] = data.number
    predictions = LabelledPredictions(
        source=f"{options.tfrecords}, each predicted by the run of {options.folds} that never saw it",
        keys=found.keys,
        labels=found.labels,
        classes=classes,
        predicted_by=[name],
        log_probabilities=[log_probabilities],
        left_out={},
    )
    return _OutOfFold(predictions, fold_of)
