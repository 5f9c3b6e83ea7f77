"""What a run starts from, checked before anything is written: data, model, trainer, and what to go on with."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

import dogcat
from dogcat.core.options import InputError
from dogcat.dataset import manifest, shard_plan
from dogcat.loading import data_service, dispatcher, pipeline
from dogcat.loading.fold_set import FoldSet
from dogcat.loading.foreign_set import ForeignSet
from dogcat.models import architecture, devices, keras_versions, model_files, weights, workers
from dogcat.models.backbones import BACKBONES
from dogcat.models.latest_run import preset_run
from dogcat.training import data_set, run_folder, trunk_cache
from dogcat.training.options import TrainingOptions
from dogcat.training.presets import PRESETS
from dogcat.training.step import Trainer
from dogcat.training.trunk_cache import TrunkCache


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What a run starts from.

    Attributes:
        options: The options.
        strategy: The devices.
        data: The data set's manifest, within --limit.
        steps: Steps of an epoch.
        begun: The unfinished run to go on with; None for a new one.
        policy: The precision of the model, as Keras calls it.
        reason: Why this one, for a person.
        source: Where the model is from, for a person.
        first_open: Index of the first of the backbone's layers that trains; their number where none does.
        trainer: The model with its optimizer.
        trunk: Whether the output of the frozen layers is kept; None where the recipe does not allow it.
        engine: What features are computed through, tensorflow or openvino.
    """

    options: TrainingOptions
    strategy: tf.distribute.Strategy
    data: manifest.Manifest
    steps: int
    begun: run_folder.Unfinished | None
    policy: str
    reason: str
    source: str
    first_open: int
    trainer: Trainer
    trunk: TrunkCache | None
    engine: str

    def description(self) -> list[str]:
        """Lines for a person: what would be done, with what, on what."""
        options, model = self.options, self.trainer.model
        through = f"; features through {devices.describe_engine(self.engine)}" if self.engine != "tensorflow" else ""
        served = f"input: decoded by the data service {options.data_service}; a run goes on from whole epochs"
        lines = [
            f"data: {options.tfrecords}, {_counts(self.data)}",
            *([self.data.description()] if isinstance(self.data, ForeignSet) else []),
            f"start: {self.source}",
            f"device: {devices.describe(self.strategy)}; {self.policy}, since {self.reason}{through}",
            f"trains: {_what_trains(model, self.first_open, options)}; {_epochs(self.steps, options)}",
            *([self.trunk.description()] if self.trunk else []),
            *([served] if options.data_service else []),
        ]
        if options.dry_run:
            return [*lines, f"memory: {_memory(model, self.first_open, options, self.strategy)}"]
        replicas = self.strategy.num_replicas_in_sync
        if self.begun and self.begun.config["replicas"] != replicas:
            lines.append(
                f"note: the run began on {self.begun.config['replicas']} devices; on {replicas} augmentation and "
                "BatchNorm see other shares of each batch, so that it ends near, not at, what it would have given"
            )
        return lines

    def config(self) -> dict[str, Any]:
        """What the run is made with, and on what: the content of config.json."""
        options = self.options
        # What belongs to one call is not for another that reads this file.
        stored = {**dataclasses.asdict(options), "config": "", "resume": False, "dry_run": False}
        fold = {}
        if isinstance(self.data, FoldSet):
            # --runs of the command, which the run of a fold is two folders below.
            stored["runs"], fold = str(Path(options.runs).parent), {"fold": self.data.number}
        return {
            "options": stored,
            **fold,
            "start": self.source,
            "precision": self.policy,
            "features_engine": devices.describe_engine(self.engine),
            "device": devices.describe(self.strategy),
            "replicas": self.strategy.num_replicas_in_sync,
            "classes": self.data.classes,
            "data_digest": self.data.digest(),
            "versions": {
                "dogcat": dogcat.__version__,
                "python": platform.python_version(),
                **keras_versions.versions(),
                "numpy": np.__version__,
            },
            "commit": _commit(),
        }


def prepare(options: TrainingOptions, strategy: tf.distribute.Strategy, data: manifest.Manifest) -> Preparation:
    """Builds what trains, from the data that `load_data` gave.

    Raises:
        InputError: The model or a layer's name cannot be used, or there is no run to go on with.
    """
    steps = pipeline.steps_in_epoch(data.splits[shard_plan.TRAIN], options.batch_size)
    steps = min(steps, options.steps_per_epoch or steps)
    begun = run_folder.unfinished(options, data.digest()) if options.resume else None
    if begun:
        _require_same_keras(begun)
    policy, reason = _precision(options, begun)
    keras.mixed_precision.set_global_policy(policy)
    # For random weights.
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        model, source = _initial_model(options, data, begun)
        first_open = architecture.find_layer(architecture.backbone_of(model), options.unfreeze_from)
        architecture.open_layers(model, first_open)
    trainer = Trainer(model, strategy, options, steps * options.epochs, data.splits[shard_plan.TRAIN].counts)
    trunk = trunk_cache.plan(options, data, strategy, model, first_open, steps)
    engine = _engine(options, policy, strategy, trunk, begun)
    return Preparation(
        *(options, strategy, data, steps, begun, policy, reason, source, first_open, trainer, trunk, engine)
    )


def description_of(options: TrainingOptions, data: manifest.Manifest) -> model_files.Description:
    """What a run's model is made for."""
    return model_files.Description(data.classes, data.image_size, data.resize, options.backbone)


def load_data(options: TrainingOptions, strategy: tf.distribute.Strategy, fold: int = 0) -> manifest.Manifest:
    """The data set's manifest, within --limit, checked against what this trainer can use.

    Args:
        options: The options.
        strategy: The devices.
        fold: The fold of --folds to validate on, from 1; 0: the validation split.

    Raises:
        InputError: It cannot be used.
    """
    given = dataclasses.asdict(options)
    data = data_set.load_fold(given, fold) if fold else data_set.load(given)
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
    if not data.splits[shard_plan.VALIDATION].pictures:
        raise InputError(f"{options.tfrecords} has no validation pictures; make it with --validation above 0")
    if options.data_service:
        if workers.are_several(strategy):
            raise InputError(f"--data_service={options.data_service}: is for one process, not several; leave it out")
        data_service.require_servable(options.data_service, data)
        dispatcher.require_answer(options.data_service, "data_service")
    if options.limit:
        data = data.limited(options.limit)
    training = data.splits[shard_plan.TRAIN]
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


def _require_same_keras(begun: run_folder.Unfinished) -> None:
    """Raises InputError for a run whose state is in the order of the other Keras."""
    versions = begun.config["versions"]
    # Runs from before there was a choice do not say.
    before = versions.get("keras", "2.15.0")
    if not keras_versions.opens(before):
        now = keras_versions.versions()["keras"]
        raise InputError(
            f"--resume: {begun.path} began with Keras {before}, whose state Keras {now} does not read; go on with "
            f"TensorFlow {versions['tensorflow']}, or start a new run with --init_from={begun.path}"
        )


def _precision(options: TrainingOptions, begun: run_folder.Unfinished | None) -> tuple[str, str]:
    """The policy, and why; a run goes on with the one that it began with, on whatever machine."""
    policy, reason = devices.choose_precision(options.precision)
    if begun and begun.config["precision"] != policy:
        return begun.config["precision"], "the run began with it"
    return policy, reason


def _engine(
    options: TrainingOptions,
    policy: str,
    strategy: tf.distribute.Strategy,
    trunk: TrunkCache | None,
    begun: run_folder.Unfinished | None,
) -> str:
    """What features are computed through; a run goes on with what it began with, since they differ by rounding."""
    engine = devices.choose_engine(options.engine, policy, strategy)
    if options.engine != "auto":
        return engine
    if begun:
        return "tensorflow" if begun.config.get("features_engine", "").startswith("TensorFlow") else engine
    # From the trunk's output they take a fraction of a whole pass.
    return "tensorflow" if trunk and trunk.where != "none" else engine


def _initial_model(
    options: TrainingOptions, data: manifest.Manifest, begun: run_folder.Unfinished | None
) -> tuple[keras.Model, str]:
    """The model to start from, and where it is from, for a person; of a run that goes on, what it began with."""
    if not options.init_from:
        model = architecture.build_model(options.backbone, data.image_size, len(data.classes))
        return model, weights.load(architecture.backbone_of(model), options.backbone, options.weights)
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


def _commit() -> str | None:
    """The commit of the checkout that this program runs from, if it does."""
    checkout = Path(__file__).parents[2]
    # Installed, it may lie in a checkout of something else.
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def _counts(data: manifest.Manifest) -> str:
    return ", ".join(f"{part.pictures} for {name}" for name, part in data.splits.items())


def _what_trains(model: keras.Model, first_open: int, options: TrainingOptions) -> str:
    backbone = architecture.backbone_of(model)
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
    return f"epochs: {options.epochs} at most, {steps} {'step' if steps == 1 else 'steps'} of {options.batch_size} each"


def _memory(model: keras.Model, first_open: int, options: TrainingOptions, strategy: tf.distribute.Strategy) -> str:
    """What a device needs at least: weights, and what a step keeps for its gradients."""
    # Of a trained weight there are its gradient and, at most, two moments more.
    held = 4 * (model.count_params() + 3 * sum(int(np.prod(variable.shape)) for variable in model.trainable_weights))
    value_bytes = 4 if keras.mixed_precision.global_policy().compute_dtype == "float32" else 2
    batch = options.batch_size // strategy.num_replicas_in_sync
    outputs = [int(np.prod(layer.output.shape[1:])) for layer in architecture.backbone_of(model).layers[1:]]
    kept = value_bytes * batch * max(sum(outputs[max(first_open - 1, 0) :]), max(outputs, default=0))
    return (
        f"at least {held / 2**20:,.0f} MiB for weights and {kept / 2**20:,.0f} MiB for what a step of {batch} "
        "pictures keeps, on each device"
    )
