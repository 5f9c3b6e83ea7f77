"""A training run: from options to a folder with the best model."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa
from tensorflow import keras

import dogcat
from dogcat import devices, manifest, model_files, pipeline, readers, run_report, runs, shards, weights
from dogcat import history as histories
from dogcat import model as models
from dogcat.backbones import BACKBONES
from dogcat.config import InputError
from dogcat.finished_runs import PAGE, is_finished, preset_run
from dogcat.interrupts import Interrupts, Terminated
from dogcat.loop import TrainingLoop, description_of
from dogcat.presets import PRESETS
from dogcat.printing import printable
from dogcat.runs import RunFolder
from dogcat.state import Progress
from dogcat.trainer import Trainer
from dogcat.training_options import TrainingOptions

# Share of the training time spent waiting for batches from which on the input is called the limit.
_INPUT_IS_LIMIT = 0.05


def train(options: TrainingOptions) -> Path | None:
    """Trains as the options say.

    Returns:
        The run's folder; None for a dry run, and in a worker that does not write.

    Raises:
        InputError: The data set, the model or a layer's name cannot be used, or training diverged.
        Terminated, KeyboardInterrupt: The process was told to stop; the message says how to go on.
    """
    # Before all else: workers find each other while TensorFlow is untouched.
    strategy = devices.make_strategy(options.strategy)
    data = _load_data(options, strategy)
    steps = min(
        pipeline.steps_in_epoch(data.splits[shards.TRAIN], options.batch_size), options.steps_per_epoch or 2**31
    )
    if options.resume and options.report:
        finished = runs.finished_without_page(options, data.digest())
        if finished:
            return _make_missing_page(finished, options, strategy)
    begun = runs.unfinished(options, data.digest()) if options.resume else None
    policy, reason = _precision(options, begun)
    keras.mixed_precision.set_global_policy(policy)
    # For random weights.
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        model, source = _initial_model(options, data, begun)
        first_open = models.find_layer(models.backbone_of(model), options.unfreeze_from)
        models.open_layers(model, first_open)
    trainer = Trainer(model, strategy, options, steps * options.epochs)
    with contextlib.ExitStack() as stack:
        if not devices.is_chief(strategy):
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        print(printable(f"data: {options.tfrecords}, {_counts(data)}"))
        print(printable(f"start: {source}"))
        print(f"device: {devices.describe(strategy)}; {policy}, since {reason}{_engine(options, policy, strategy)}")
        print(f"trains: {_what_trains(model, first_open, options)}; {_epochs(steps, options)}")
        if options.dry_run:
            print(f"memory: {_memory(model, first_open, options, strategy)}")
            return None
        stack.enter_context(readers.raising_own_errors())
        stack.enter_context(devices.naming_full_memory(options.batch_size))
        loop = TrainingLoop(options, data, steps, strategy, trainer)
        replicas = strategy.num_replicas_in_sync
        if begun and begun.config["replicas"] != replicas:
            print(
                f"note: the run began on {begun.config['replicas']} devices; on {replicas} augmentation and BatchNorm "
                "see other shares of each batch, so that it ends near, not at, what it would have given"
            )
        config = _config(options, data, source, policy, strategy)
        with _folder_of_run(options, config, strategy, begun, loop) as folder:
            loop.run(folder)
            _finish(folder, loop.progress, options)
        if options.report and devices.is_chief(strategy):
            _write_report(folder.path)
    return folder.path if devices.is_chief(strategy) else None


@contextlib.contextmanager
def _folder_of_run(
    options: TrainingOptions,
    config: dict[str, Any],
    strategy: tf.distribute.Strategy,
    begun: runs.Unfinished | None,
    loop: TrainingLoop,
) -> Iterator[RunFolder]:
    """The folder that the block writes into, held against other processes.

    One that is made for the block goes where an error comes before the first epoch.

    Raises:
        InputError: Another process has it, or has finished the run.
        Terminated, KeyboardInterrupt: As in the block, with how to go on.
    """
    with contextlib.ExitStack() as stack:
        if devices.is_chief(strategy):
            path = begun.path if begun else runs.create(options)
            run = str(path)
        else:
            # One worker writes for all. Since saving takes all of them, the others do it too, to a folder that goes.
            path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "run")
            path.mkdir()
            run = "the first worker's run"
            if begun:
                runs.copy_state(begun.path, path)
        folder = stack.enter_context(RunFolder(path))
        if begun and is_finished(path):
            raise InputError(f"--resume: {path} has been finished by another process meanwhile")
        try:
            if not begun:
                folder.write_config(config)
            yield folder
        except Exception:
            if not begun and not loop.progress.history:
                folder.remove()
            raise
        except (Terminated, KeyboardInterrupt) as stop:
            stop.args = (f"the same command with --resume goes on with {run}",)
            raise


def _make_missing_page(run: Path, options: TrainingOptions, strategy: tf.distribute.Strategy) -> Path | None:
    """Makes the page of a run that was stopped between its end and that of its page; gives the run's folder."""
    if not devices.is_chief(strategy):
        return None
    print(f"the run {run} is finished; what is left is its page, {PAGE}")
    if options.dry_run:
        return None
    keras.mixed_precision.set_global_policy(devices.choose_precision(options.precision)[0])
    with RunFolder(run):
        _write_report(run)
    return run


def _write_report(run: Path) -> None:
    try:
        with Interrupts():
            page = run_report.write(run)
    except (Terminated, KeyboardInterrupt) as stop:
        stop.args = (f"the run {run} is finished; the same command with --resume makes its page",)
        raise
    print(f"report: {page or 'none, since validation has less than two pictures'}")


def _load_data(options: TrainingOptions, strategy: tf.distribute.Strategy) -> manifest.Manifest:
    """The data set's manifest, checked against what this trainer can use."""
    data = manifest.load(Path(options.tfrecords), shards.TRAIN, shards.VALIDATION)
    if len(data.classes) < 2:
        raise InputError(
            f"{options.tfrecords} has {len(data.classes)} classes ({', '.join(data.classes)}); training needs two or "
            "more"
        )
    backbone = BACKBONES[options.backbone]
    if data.image_size < backbone.smallest_image:
        raise InputError(
            f"{options.tfrecords} has pictures of {data.image_size} pixels; {options.backbone} takes "
            f"{backbone.smallest_image} or more: make it with --image_size={backbone.image_size}"
        )
    if not data.splits[shards.VALIDATION].pictures:
        raise InputError(f"{options.tfrecords} has no validation pictures; make it with --validation above 0")
    if options.limit:
        data = data.limited(options.limit)
    training = data.splits[shards.TRAIN]
    for name, count in zip(data.classes, training.counts):
        if not count:
            raise InputError(f"{options.tfrecords} has no training picture of {name}; leave the class out or add some")
    if options.epochs and training.pictures < options.batch_size:
        raise InputError(
            f"--batch_size={options.batch_size}: the training split has {training.pictures} "
            "pictures, less than one batch; use a smaller one"
        )
    replicas = strategy.num_replicas_in_sync
    if options.batch_size % replicas:
        raise InputError(
            f"--batch_size={options.batch_size}: does not divide between {replicas} replicas; "
            f"use a multiple of {replicas}"
        )
    return data


def _precision(options: TrainingOptions, begun: runs.Unfinished | None) -> tuple[str, str]:
    """The policy, and why; a run goes on with the one that it began with, on whatever machine."""
    policy, reason = devices.choose_precision(options.precision)
    if begun and begun.config["precision"] != policy:
        return begun.config["precision"], "the run began with it"
    return policy, reason


def _engine(options: TrainingOptions, policy: str, strategy: tf.distribute.Strategy) -> str:
    """What the features go through, where it is not what trains."""
    engine = devices.choose_engine(options.engine, policy, strategy)
    return f"; features through {devices.describe_engine(engine)}" if engine != "tensorflow" else ""


def _initial_model(
    options: TrainingOptions, data: manifest.Manifest, begun: runs.Unfinished | None
) -> tuple[keras.Model, str]:
    """The model to start from, and where it is from, for a person; of a run that goes on, what it began with."""
    if not options.init_from:
        model = models.build_model(options.backbone, data.image_size, len(data.classes))
        return model, weights.load(models.backbone_of(model), options.backbone, options.weights)
    place = begun.config.get("start", options.init_from) if begun else options.init_from
    if place in PRESETS and not Path(place).exists():
        place = str(preset_run(options.runs, place))
        if not Path(place).exists():
            raise InputError(
                f"--init_from={options.init_from}: {options.runs} has no run of this preset yet; start with "
                f"--preset={options.init_from}, or give a model's file or a run's folder"
            )
    path = model_files.find_file(place, "init_from")
    model, description = model_files.load(path)
    wanted = description_of(options, data)
    if dataclasses.replace(description, temperature=wanted.temperature) != wanted:
        raise InputError(
            f"--init_from={options.init_from}: made for {_say(description)}, the data set and --backbone have "
            f"{_say(wanted)}; give a model of the same"
        )
    return model, str(path.resolve())


def _say(description: model_files.Description) -> str:
    classes = ", ".join(description.classes)
    return f"{description.backbone} for {classes} at {description.image_size} pixels ({description.resize})"


def _config(
    options: TrainingOptions, data: manifest.Manifest, source: str, policy: str, strategy: tf.distribute.Strategy
) -> dict[str, Any]:
    """What the run is made with, and on what."""
    # What belongs to one call is not for another that reads this file.
    stored = {**dataclasses.asdict(options), "config": "", "resume": False, "dry_run": False}
    return {
        "options": stored,
        "start": source,
        "precision": policy,
        "features_engine": devices.describe_engine(devices.choose_engine(options.engine, policy, strategy)),
        "device": devices.describe(strategy),
        "replicas": strategy.num_replicas_in_sync,
        "classes": data.classes,
        "data_digest": data.digest(),
        "versions": {
            "dogcat": dogcat.__version__,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "tensorflow_addons": tfa.__version__,
            "numpy": np.__version__,
        },
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the checkout that this program runs from, if it does."""
    checkout = Path(__file__).parents[1]
    # Installed, it may lie in a checkout of something else.
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def _finish(folder: RunFolder, progress: Progress, options: TrainingOptions) -> None:
    """Sums up: for a person, and in summary.json."""
    if progress.epoch < options.epochs:
        print(f"stopped: no lower validation loss for {options.patience} epochs")
    best = histories.best_of(progress.history)
    print(
        f"best: epoch {best.epoch} of {progress.epoch}, validation log loss {best.val_loss:.4f}, "
        f"accuracy {best.val_accuracy:.2%}, AUC {best.val_auc:.4f}"
    )
    stages = dict(progress.stages)
    waited = stages.pop("waiting for input", 0.0)
    print("time: " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stages.items() if seconds >= 0.05))
    share = waited / stages["training"] if stages.get("training") else None
    if share is not None:
        limit = "compute is the limit, not input"
        if share > _INPUT_IS_LIMIT:
            limit = "input is the limit, which --cache=auto may move, or --shuffle_block on a disk that seeks"
        print(f"input: {share:.1%} of the training time went into waiting for batches: {limit}")
    folder.finish({"best": histories.to_json(best), "epochs": progress.epoch, "seconds": stages, "input_wait": share})


def _counts(data: manifest.Manifest) -> str:
    return ", ".join(f"{part.pictures} for {name}" for name, part in data.splits.items())


def _what_trains(model: keras.Model, first_open: int, options: TrainingOptions) -> str:
    backbone = models.backbone_of(model)
    if not options.epochs:
        return f"the head of {backbone.name} alone, on its features"
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_weights)
    if first_open == len(backbone.layers):
        return f"the head of {backbone.name} alone ({count:,} weights)"
    name = backbone.layers[first_open].name
    return f"the head and {backbone.name} from layer {first_open}, {name} ({count:,} weights)"


def _epochs(steps: int, options: TrainingOptions) -> str:
    if not options.epochs:
        return "no epochs"
    return f"epochs: {options.epochs} at most, {steps} steps of {options.batch_size} each"


def _memory(model: keras.Model, first_open: int, options: TrainingOptions, strategy: tf.distribute.Strategy) -> str:
    """What a device needs at least: weights, and what a step keeps for its gradients."""
    # Of a trained weight there are its gradient and, at most, two moments more.
    held = 4 * (model.count_params() + 3 * sum(int(np.prod(variable.shape)) for variable in model.trainable_weights))
    value_bytes = 4 if keras.mixed_precision.global_policy().compute_dtype == "float32" else 2
    batch = options.batch_size // strategy.num_replicas_in_sync
    outputs = [int(np.prod(layer.output_shape[1:])) for layer in models.backbone_of(model).layers[1:]]
    kept = value_bytes * batch * max(sum(outputs[max(first_open - 1, 0) :]), max(outputs, default=0))
    return (
        f"at least {held / 2**20:,.0f} MiB for weights and {kept / 2**20:,.0f} MiB for what a step of {batch} "
        "pictures keeps, on each device"
    )
