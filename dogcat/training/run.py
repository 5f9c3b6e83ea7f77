"""A training run: from options to a folder with the best model."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow import keras

from dogcat.core import outputs
from dogcat.core.interrupts import Terminated
from dogcat.core.log import at_level, tell
from dogcat.core.options import InputError
from dogcat.loading import damage
from dogcat.loading.fold_set import FoldSet
from dogcat.models import devices, workers
from dogcat.training import agreement, epoch_records, estimate, preparation, rate_finder, run_folder
from dogcat.training.checkpoint import Progress
from dogcat.training.finished_runs import PAGE, is_finished, read_config
from dogcat.training.inputs import open_inputs
from dogcat.training.loop import TrainingLoop
from dogcat.training.options import TrainingOptions
from dogcat.training.preparation import Preparation
from dogcat.training.run_folder import RunFolder
from dogcat.training.tracking import NOWHERE, Tracking

# Share of the training time spent waiting for batches from which on the input is called the limit.
_INPUT_IS_LIMIT = 0.05


def train(options: TrainingOptions, tracking: Tracking = NOWHERE, fold: int = 0) -> Path | None:
    """Trains as the options say.

    Args:
        options: The options.
        tracking: What the run's figures go to beside its folder, from the first worker.
        fold: The fold of --folds to validate on, from 1; 0: the validation split.

    Returns:
        The run's folder, also where the run was finished already and only its page is missing; None for a dry run,
        where learning rates were tried, and in a worker that does not write.

    Raises:
        InputError: The data set, the model or a layer's name cannot be used, or training diverged.
        Terminated, KeyboardInterrupt: The process was told to stop, or another worker was, or is gone; the message
            says how to go on.
    """
    # Before all else: workers find each other while TensorFlow is untouched.
    strategy = devices.make_strategy(options.strategy)
    with contextlib.ExitStack() as stack:
        stack.enter_context(workers.naming_lost())
        data = preparation.load_data(options, strategy, fold)
        agreement.require_same_work(options, data, strategy)
        if workers.is_chief(strategy):
            outputs.require_folder(Path(options.runs))
            tracking.load()
        finished = None
        if options.resume and options.report:
            finished = run_folder.finished_without_page(options, data.digest())
        if finished:
            return _without_training(finished, options, strategy, tracking)
        prepared = preparation.prepare(options, strategy, data)
        if not workers.is_chief(strategy):
            # The first worker reports the work of all.
            stack.enter_context(at_level(logging.WARNING))
        for line in prepared.description():
            tell(line)
        if options.find_lr and workers.is_chief(strategy):
            rate_finder.announce(Path(options.runs))
        if options.dry_run:
            if not (options.find_lr or workers.are_several(strategy)):
                tell(estimate.describe(prepared))
            return None
        stack.enter_context(damage.naming_damage())
        stack.enter_context(devices.naming_full_memory(options.batch_size))
        inputs = open_inputs(prepared)
        if options.find_lr:
            rate_finder.find(prepared, inputs)
            return None
        loop = TrainingLoop(prepared, inputs, tracking)
        with _folder_of_run(prepared, loop) as folder:
            tracking.begin(folder.path, prepared.config())
            with workers.naming_lost():
                loop.run(folder)
            _tell_outcome(loop.progress, options)
            folder.finish(_summary(loop.progress))
    return folder.path if workers.is_chief(strategy) else None


@contextlib.contextmanager
def _folder_of_run(prepared: Preparation, loop: TrainingLoop) -> Iterator[RunFolder]:
    """The folder that the block writes into, held against other processes.

    One that is made for the block goes where an error comes before the first epoch.

    Raises:
        InputError: Another process has it, or has finished the run.
        Terminated, KeyboardInterrupt: As in the block, with how to go on.
    """
    begun, data = prepared.begun, prepared.data
    name = run_folder.fold_name(data.number) if isinstance(data, FoldSet) else ""
    with contextlib.ExitStack() as stack:
        if workers.is_chief(prepared.strategy):
            path = begun.path if begun else run_folder.create(prepared.options, name)
            run = str(path)
        else:
            # One worker writes for all. Since saving takes all of them, the others do it too, to a folder that goes.
            path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "run")
            path.mkdir()
            run = "the first worker's run"
            if begun:
                run_folder.copy_state(begun.path, path)
        folder = stack.enter_context(RunFolder(path))
        if begun and is_finished(path):
            raise InputError(f"--resume: {path} has been finished by another process meanwhile")
        try:
            if not begun:
                folder.write_config(prepared.config())
            yield folder
        except Exception:
            if not begun and not loop.progress.history:
                folder.remove()
            raise
        except (Terminated, KeyboardInterrupt) as stop:
            after = ", from its last whole epoch on" if prepared.options.data_service else ""
            stop.args = (f"the same command with --resume goes on with {run}{after}",)
            raise


def _without_training(
    finished: Path, options: TrainingOptions, strategy: tf.distribute.Strategy, tracking: Tracking
) -> Path | None:
    """Says that a run was finished before its page was made; gives its folder."""
    if not workers.is_chief(strategy):
        return None
    tell(f"the run {finished} is finished; what is left is its page, {PAGE}")
    if options.dry_run:
        return None
    keras.mixed_precision.set_global_policy(devices.choose_precision(options.precision)[0])
    tracking.begin(finished, read_config(finished))
    return finished


def _tell_outcome(progress: Progress, options: TrainingOptions) -> None:
    """Tells how good the best epoch is, what took the time, and whether the input was the limit."""
    if progress.epoch < options.epochs:
        tell(f"stopped: no lower validation loss for {options.patience} epochs")
    best = epoch_records.best_of(progress.history)
    tell(
        f"best: epoch {best.epoch} of {progress.epoch}, validation log loss {best.val_loss:.4f}, "
        f"accuracy {best.val_accuracy:.2%}, AUC {best.val_auc:.4f}"
    )
    stages = progress.stages_of_work()
    told = {stage: seconds for stage, seconds in stages.items() if seconds >= 0.05}
    tell("time: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in told.items()))
    share = progress.input_wait()
    if share is not None:
        limit = "compute is the limit, not input"
        if share > _INPUT_IS_LIMIT:
            limit = "input is the limit"
            if options.data_service:
                limit += ", which more workers of the data service may move"
            # Steps on what a trunk gave once read no pictures.
            elif "trunk" not in told:
                limit += ", which --cache=auto may move, or --shuffle_block on a disk that seeks"
        tell(f"input: {share:.1%} of the training time went into waiting for batches: {limit}")


def _summary(progress: Progress) -> dict[str, Any]:
    """The content of summary.json, as plain values."""
    return {
        "best": epoch_records.to_json(epoch_records.best_of(progress.history)),
        "epochs": progress.epoch,
        "seconds": progress.stages_of_work(),
        "input_wait": progress.input_wait(),
    }
