"""The options of a training run, and how presets and files fill them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from dogcat.core.bounds import Bounds
from dogcat.core.options import Options, in_words, is_utf8, local_path, option, refuse_unused, seed_option
from dogcat.dataset.options import first_label_option, image_key_option, label_key_option, records_option
from dogcat.loading.dispatcher import WANTED, dispatcher_option, is_dispatcher
from dogcat.models.options import backbone_option, batch_size_option, engine_option, precision_option
from dogcat.training import stored_options, trackers
from dogcat.training.augmentations import AUGMENTATIONS, AugmentationRanges
from dogcat.training.presets import PRESETS

# Options that tell how TFRecords of another program are read.
OF_FOREIGN_FILES = ("image_key", "label_key", "classes", "first_label", "image_size")
# Options that do not belong to what a run computes.
_OF_THE_CALL = {
    *("resume", "dry_run", "config", "runs", "save_minutes", "keep", "cache", "cache_gib", "report", "strategy"),
    *("track", "find_lr", "data_service", "data_service_wait"),
    # The epochs are the same with it.
    "cache_trunk",
    # Where the data set lies; what it holds is compared.
    *("tfrecords", "validation_tfrecords", *OF_FOREIGN_FILES),
}
# Options that runs of earlier versions do not have, each with what they did.
_LATER = {"class_weights": "none", "folds": 0}
# Options that a preset sets, the backbone aside, which one may exchange.
_OF_PRESETS = sorted({name for values in PRESETS.values() for name in values} - {"backbone"})
# Options that make a recipe of its own: where one of them is given, no preset is taken that was not asked for.
RECIPE_OPTIONS = ("init_from", "head", "unfreeze_from", "batch_norm", "optimizer", "learning_rate", "schedule")


def _source_range(name: str) -> Any:
    """Declares a range of augmentation as a field of its own, its default that of the set `source`."""
    [field] = [field for field in dataclasses.fields(AugmentationRanges) if field.name == name]
    return dataclasses.field(default=getattr(AUGMENTATIONS["source"], name), metadata=field.metadata)


@dataclasses.dataclass(frozen=True)
class TrainingOptions(Options):
    """Options of `dogcat.train`.

    Made by `from_given`, a value is looked for in this order: what the user gave; a preset that the user gave; the file
    of --config; another preset; the default here.
    """

    tfrecords: str = records_option()
    runs: str = option("runs", "Folder in which the run gets a folder of its own.", path=True)
    preset: str = option(
        "none",
        "A named recipe; other flags override it. If it is not given, it is that of --config, or none where one of "
        + ", ".join(f"--{name}" for name in RECIPE_OPTIONS)
        + " is given.",
        choices=tuple(PRESETS),
    )
    backbone: str = backbone_option("Network below the head.")
    epochs: int = option(
        10,
        "Largest number of passes over the training split.",
        bounds=Bounds(at_least=1, zero="to stop once the head is fitted"),
    )
    batch_size: int = batch_size_option(128, "Global batch: pictures per step, over all replicas together.")
    seed: int = seed_option("Seed of the order, of augmentation and of random weights.", at_most=2**31 - 1)
    resume: bool = option(False, "Go on with the last unfinished run in --runs; needs the options it began with.")
    dry_run: bool = option(False, "Print what would be done, and stop.")
    config: str = option(
        "", "Take the options from this file, the config.json of a run; flags override them. Empty: none.", path=True
    )
    init_from: str = option(
        "",
        "Start from this model: a run's folder, a .keras file, or a preset's name for the last run of that "
        "preset in --runs. Empty: --weights, and a new head.",
        path=True,
        heading="Recipe",
    )
    weights: str = option(
        "imagenet",
        "What the backbone starts with: imagenet; none, for random weights; or a file without the top in Keras' HDF5 "
        "layout.",
        if_empty="use imagenet, none or the name of a file",
        path=True,
    )
    head: str = option(
        "fit",
        "How a new head begins: fit, fitted to the frozen backbone's features until it converges; random, with "
        "random weights.",
        choices=("fit", "random"),
    )
    feature_views: int = option(
        1,
        "Passes over the training pictures that the head is fitted on: in the first they are as they are, in the "
        "second mirrored, in further ones augmented as by --augment.",
        bounds=Bounds(at_least=1, at_most=100),
    )
    start_c: float = option(
        0.0,
        "Inverse weight of the L2 penalty of the fitted head that the epochs start from; a smaller one leaves them "
        "more to learn. 0: that of epoch 0, which is 300 by the number of training pictures, but 0.3 to 3.",
        bounds=Bounds(above=0, example=0.01, zero="for that of epoch 0"),
    )
    unfreeze_from: str = option(
        "",
        "First layer of the backbone that trains: an index or a layer's name, like 96 or block13_sepconv1_act; auto: "
        "about the last quarter, 96 of Xception. Empty: the head alone trains.",
    )
    batch_norm: str = option(
        "training",
        "Statistics that unfrozen BatchNorm layers use: training, those of the batch (over all replicas); inference, "
        "those stored with the weights.",
        choices=("training", "inference"),
    )
    optimizer: str = option("adam", "Optimizer.", choices=("adam", "adamw", "sgd", "rmsprop", "lamb"))
    learning_rate: float = option(1e-4, "Highest learning rate.", bounds=Bounds(above=0, below=10, example=0.0001))
    momentum: float = option(0.9, "Momentum of sgd.", bounds=Bounds(at_least=0, below=1))
    weight_decay: float = option(0.004, "Weight decay of adamw and lamb.", bounds=Bounds(at_least=0, below=1))
    schedule: str = option(
        "constant", "Learning rate after the warm-up: constant, or cosine down to 0.", choices=("constant", "cosine")
    )
    warmup_steps: int = option(
        0, "Steps over which the learning rate rises from 0.", bounds=Bounds(at_least=1, zero="for no warm-up")
    )
    label_smoothing: float = option(
        0.0, "Share of each label that is spread over all classes.", bounds=Bounds(at_least=0, below=1)
    )
    class_weights: str = option(
        "none",
        "Weights of pictures in the loss, for classes of unequal size: none; balanced, inverse to the number of the "
        "class's training pictures, so that all classes count alike. All figures are without weights.",
        choices=("none", "balanced"),
    )
    patience: int = option(3, "Stop after this many epochs without a lower validation loss.", bounds=Bounds(at_least=1))
    augment: str = option(
        "source",
        "Augmentation of training pictures, a set of values for the flags below; source is shear 0.2, zoom 0.2 and "
        "flip 0.5.",
        choices=tuple(AUGMENTATIONS),
        heading="Augmentation",
    )
    shear: float = _source_range("shear")
    zoom: float = _source_range("zoom")
    flip: float = _source_range("flip")
    rotate: float = _source_range("rotate")
    shift: float = _source_range("shift")
    brightness: float = _source_range("brightness")
    folds: int = option(
        0,
        "Cross-validation: train so many models, each validated on another part of training and validation pictures.",
        bounds=Bounds(at_least=2, at_most=100, zero="for one model, on the splits as they are"),
        heading="Trials",
    )
    limit: int = option(
        0, "For trials: use at most this many pictures of each split.", bounds=Bounds(at_least=1, zero="for all")
    )
    steps_per_epoch: int = option(
        0, "For trials: take at most this many steps in each epoch.", bounds=Bounds(at_least=1, zero="for all")
    )
    find_lr: bool = option(
        False,
        "Train no run, but up to 100 steps, each at a higher learning rate; draw their losses in learning_rates.png in "
        "--runs, and suggest a rate.",
    )
    report: bool = option(
        True,
        "Make report.html at the end: how good the best model is, and where it is wrong; takes some seconds.",
        heading="Files of the run",
    )
    keep: int = option(
        5,
        "How many of the newest checkpoints to keep; the best and the last model are kept anyway.",
        bounds=Bounds(at_least=1, zero="for all"),
    )
    save_minutes: float = option(
        10.0,
        "Minutes between saves within an epoch; after a kill, --resume goes on from the last one.",
        bounds=Bounds(above=0),
    )
    track: str = trackers.track_option()
    cache: str = option(
        "none",
        "Where decoded pictures are kept for all epochs: memory; disk (8 times the bytes of JPEG shards), where later "
        "runs find them; auto, the first of these with enough room. Pays off where decoding is the bottleneck.",
        choices=("none", "auto", "memory", "disk"),
        heading="Reading",
    )
    cache_trunk: str = option(
        "auto",
        "Where the output of the frozen layers is kept, so that steps compute the others alone: memory; disk, where "
        "later runs find it; on, the first of these with enough room; auto, likewise where it saves time; off. For "
        "pictures that are mirrored at most: --augment=none, with --flip or without.",
        choices=("auto", "on", "off", "memory", "disk"),
    )
    cache_gib: float = option(
        8.0,
        "Largest size of each of these caches: of all its files on disk, or of what a run has in memory.",
        bounds=Bounds(above=0, unit="GiB"),
    )
    shuffle_block: int = option(
        0,
        "Shuffle blocks of this many neighbouring pictures, 64 blocks mixed at a time, and read each block in one go; "
        "1: single pictures; 0: those of a MiB, and single raw pictures. For raw pixels on a disk that seeks, use 16.",
        bounds=Bounds(at_least=0),
    )
    data_service: str = dispatcher_option(
        "Let the workers of a data service read and decode the pictures to train on: its dispatcher's address, like "
        "grpc://host:5050 (dogcat serve-data). A run then goes on from whole epochs. Empty: this machine does it.",
    )
    data_service_wait: float = option(
        180.0,
        "Seconds without a batch from --data_service after which training ends, with exit code 75.",
        bounds=Bounds(above=0),
    )
    precision: str = precision_option()
    engine: str = engine_option()
    strategy: str = option(
        "auto",
        "Devices to run on: multi_worker, those of all workers that TF_CONFIG or Slurm's variables name; auto, "
        "multi_worker if TF_CONFIG names workers, else mirrored if there are several GPUs.",
        choices=("auto", "one_device", "mirrored", "multi_worker"),
    )
    jit_compile: str = option(
        "auto", "Compile the model with XLA; auto: on GPUs, where it pays off.", choices=("auto", "on", "off")
    )
    validation_tfrecords: str = option(
        "",
        "For TFRecords of another program: those to validate on, a pattern, too. A data set's folder has its own.",
        path=True,
        heading="TFRecords of other programs",
    )
    image_key: str = image_key_option()
    label_key: str = label_key_option()
    classes: str = option(
        "",
        "For TFRecords of another program: names of the classes, like cat,dog, in the order of their numbers or, where "
        "labels are texts, all of these. Empty: what the labels are.",
    )
    first_label: str = first_label_option()
    image_size: int = option(
        0,
        "For TFRecords of another program: side of the square that their pictures are stretched to.",
        bounds=Bounds(at_least=16, at_most=4096, unit="pixels", zero="for what the backbone's weights were trained on"),
    )

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> TrainingOptions:
        """Adds the values of --config and of the preset to what the user gave.

        Raises:
            InputError: The file of --config cannot be used, or a value is out of range.
        """
        config = local_path(given.get("config", ""), f"--config={given.get('config')}")
        stored = stored_options.read(Path(config), cls) if config else {}
        preset = given.get("preset", "none" if given.keys() & set(RECIPE_OPTIONS) else "best")
        of_preset = {"preset": preset, **PRESETS.get(preset, {})}
        layers: list[dict[str, Any]] = [of_preset, stored, given]
        if "preset" in given:
            # Else it would be another recipe under the preset's name.
            defaults = {field.name: field.default for field in dataclasses.fields(cls)}
            layers = [stored, {name: defaults[name] for name in _OF_PRESETS}, of_preset, given]
        values: dict[str, Any] = {}
        for layer in layers:
            if layer.get("augment") in AUGMENTATIONS:
                values |= dataclasses.asdict(AUGMENTATIONS[layer["augment"]])
            values |= layer
        if values.get("init_from"):
            refuse_unused(given, ("weights", "head", "start_c", "feature_views"), "goes without --init_from")
        if values.get("head") == "random":
            refuse_unused(given, ("start_c", "feature_views"), "goes with --head=fit")
        optimizer = values.get("optimizer", cls.optimizer)
        # A script that tries several optimizers may give the defaults to all.
        chosen = {name: value for name, value in given.items() if value != getattr(cls, name)}
        if not values.get("data_service"):
            refuse_unused(chosen, ("data_service_wait",), "goes with --data_service")
        if optimizer != "sgd":
            refuse_unused(chosen, ("momentum",), f"goes with --optimizer=sgd, not {optimizer}")
        if optimizer not in ("adamw", "lamb"):
            refuse_unused(chosen, ("weight_decay",), f"goes with --optimizer=adamw or lamb, not {optimizer}")
        return cls(**values)

    @classmethod
    def said_default(cls, name: str) -> str:
        """The value of a user who gives nothing, whose preset is best, and what it is without this preset."""
        own, of_best = in_words(getattr(cls(), name)), super().said_default(name)
        if name == "preset" or own == of_best:
            return of_best
        return f"{of_best} (--preset=none: {own})"

    def difference(self, stored: dict[str, Any]) -> str:
        """The first option in which a run with these stored ones computes something else; empty: it does not."""
        for name, without in stored_options.FORMER.items():
            if stored.get(name, without) != without:
                return name
        of_computation = (name for name in dataclasses.asdict(self) if name not in _OF_THE_CALL)
        return next((name for name in of_computation if stored.get(name, _LATER.get(name)) != getattr(self, name)), "")

    @property
    def fits_head(self) -> bool:
        """Whether a new head is fitted to the frozen backbone's features."""
        return not self.init_from and self.head == "fit"

    @property
    def augmentation(self) -> AugmentationRanges:
        """The ranges that the flags of augmentation give."""
        return AugmentationRanges(
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(AugmentationRanges)}
        )

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used."""
        super().__post_init__()
        self.require("runs", is_utf8(self.runs), "TensorFlow writes under names in UTF-8 alone; give such a name")
        trackers.chosen(self.track)
        self.require("find_lr", not self.find_lr or self.epochs > 0, "tries rates of epochs; use --epochs of 1 or more")
        self.require("find_lr", not (self.find_lr and self.resume), "trains no run; leave out --resume")
        alone = not (self.limit or self.find_lr)
        self.require("folds", not self.folds or alone, "goes without --limit and --find_lr; leave one out")
        saw = "may have seen the pictures that --folds validates on; leave one out"
        self.require("init_from", not (self.folds and self.init_from), saw)
        keeps = self.cache_trunk not in ("auto", "off")
        self.require("cache_trunk", not (self.find_lr and keeps), "--find_lr keeps nothing; leave it out")
        if self.data_service:
            self.require("data_service", is_dispatcher(self.data_service), WANTED)
            self.require("cache", self.cache == "none", "with --data_service nothing is decoded here; leave it out")
            self.require(
                "cache_trunk", not keeps, "steps would read that, and not --data_service; leave one of them out"
            )
            self.require("find_lr", not self.find_lr, "its steps are few; leave out --data_service")
            self.require("epochs", self.epochs > 0, "has no steps that would read from --data_service; leave it out")
