"""The options of each command: frozen dataclasses that check themselves.

A field holds its default, its type and its help text; `dogcat.flags` turns the fields into flags, so
an option is written down once.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import typing
from pathlib import Path
from typing import Any, TypeVar

from dogcat.backbones import BACKBONES
from dogcat.presets import PRESETS

# At the 4 bytes that Pillow needs for a pixel, a worker of the shard tool stays below 400 MiB.
MAX_PIXELS = 80_000_000

# How a picture becomes square.
RESIZE_MODES = ("stretch", "crop", "pad")

# What a prediction tells of a picture besides its id and the probability.
PREDICTION_COLUMNS = ("path", "class", "logit", "probabilities")


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one line that names the file or option, the value, and what would be right.
    Commands print it and end with exit code 2.
    """


def option(
    default: Any,
    help: str,
    choices: tuple[str, ...] | None = None,
    positional: bool = False,
    several: bool = False,
) -> Any:
    """Declares a field of an options class; `help` names the unit, the default is added to it.

    The value of a `positional` field, at most one in a class, may also stand on the command line as a bare word. The
    flag of a field for `several` words may be given more than once, which is the same as commas between the words.
    """
    metadata = {"help": help, "choices": choices, "positional": positional, "several": several}
    return dataclasses.field(default=default, metadata=metadata)


AnyOptions = TypeVar("AnyOptions", bound="Options")


class Options:
    """Base of all options classes: checks every field that has a list of choices."""

    def __post_init__(self) -> None:
        """Raises InputError for a value that is none of its field's choices."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            choices = field.metadata["choices"]
            value = getattr(self, field.name)
            if choices and value not in choices:
                raise InputError(f"--{field.name}={value}: use one of {', '.join(choices)}")

    @classmethod
    def from_given(cls: type[AnyOptions], given: dict[str, Any]) -> AnyOptions:
        """The options of a user who gave these fields and no others."""
        return cls(**given)

    def require(self, name: str, right: bool, wanted: str) -> None:
        """Raises InputError, quoting the value of field `name`, unless `right`."""
        if not right:
            raise InputError(f"--{name}={getattr(self, name)}: {wanted}")


@dataclasses.dataclass(frozen=True)
class SampleOptions(Options):
    """Options of `tools.make_sample_images`."""

    output: str = option("data", "Folder in which train/ and test/ are drawn.")
    train: int = option(200, "Number of flawless training pictures, cats and dogs together.")
    test: int = option(40, "Number of flawless test pictures.")
    seed: int = option(0, "Seed of the drawing; the same seed draws the same bytes.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("train", self.train >= 2, "draw at least 2 pictures")
        self.require("test", self.test >= 1, "draw at least 1 picture")
        self.require("seed", self.seed >= 0, "use 0 or more")


@dataclasses.dataclass(frozen=True)
class WeightsOptions(Options):
    """Options of `tools.fetch_weights`."""

    backbone: str = option("xception", "Network to fetch the weights of.", choices=tuple(BACKBONES))
    file: str = option("", "A weights file fetched by hand: Keras' HDF5 layout. Empty: look for a source.")


@dataclasses.dataclass(frozen=True)
class ShardOptions(Options):
    """Options of `tools.make_tfrecords`."""

    images: str = option("data/train", "Folder of pictures: a folder per class, or names like cat.0.jpg.")
    output: str = option("data/tfrecords", "Folder of the data set to make.")
    unlabeled: bool = option(False, "The pictures have no labels; all go to the split `test` with label -1.")
    labels: str = option("", "CSV with the columns path,label; it wins over folder and file name. Empty: none.")
    exclude: str = option(
        "",
        "Text file with a path a line; these pictures are left out. A line in double quotes is read as a JSON string, "
        "for names with line breaks. Empty: none.",
    )
    classes: str = option("", "Names of the classes in the order of their labels, like cat,dog. Empty: sorted by name.")
    image_size: int = option(299, "Side of the square pictures in the shards, in pixels.")
    resize: str = option(
        "stretch",
        "How a picture becomes square: stretch changes its proportions, crop takes the middle, pad adds black.",
        choices=RESIZE_MODES,
    )
    encoding: str = option("jpeg", "Encoding of the pictures in the shards; png is lossless.", choices=("jpeg", "png"))
    quality: int = option(95, "JPEG quality of the pictures in the shards, 1 to 100.")
    chroma: str = option("420", "JPEG chroma subsampling; 444 keeps all colour.", choices=("420", "444"))
    max_pixels: int = option(
        MAX_PIXELS,
        "Pictures of more pixels than this are rejected as too large. A WebP counts 4 times, a progressive JPEG up to "
        "2 times, since decoding takes as much more memory.",
    )
    validation: float = option(0.1, "Share of each class that goes to the validation split, 0 to less than 1.")
    seed: int = option(0, "Seed of the split and of the order.")
    shard_mib: int = option(128, "Wanted size of a shard, in MiB; used where --shards is 0.")
    shards: int = option(0, "Number of shards of the training (or test) split; 0: by --shard_mib.")
    workers: int = option(0, "Number of processes; 0: one for each processor core.")
    overwrite: bool = option(False, "Replace a data set that is already at --output.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("output", bool(self.output), "give a folder")
        self.require("image_size", 16 <= self.image_size <= 4096, "use 16 to 4096 pixels")
        self.require("quality", 1 <= self.quality <= 100, "use 1 to 100")
        self.require("max_pixels", self.max_pixels >= 1, "use 1 or more")
        self.require("validation", 0 <= self.validation < 1, "use 0 to less than 1, like 0.1")
        self.require("seed", self.seed >= 0, "use 0 or more")
        self.require("shard_mib", self.shard_mib >= 1, "use 1 or more")
        self.require("shards", 0 <= self.shards < 100_000, "use 1 to 99999, or 0 for --shard_mib")
        self.require("workers", self.workers >= 0, "use 1 or more, or 0 for one a core")


@dataclasses.dataclass(frozen=True)
class SurveyOptions(Options):
    """Options of `tools.survey_images`."""

    images: str = option(
        "data/train", "Folder of pictures: a folder per class, or names like cat.0.jpg, or no classes."
    )
    output: str = option("survey", "Folder for survey.html, survey.csv and the plots.")
    labels: str = option("", "CSV with the columns path,label, as make_tfrecords takes it. Empty: none.")
    exclude: str = option(
        "", "Text file with a path a line, as make_tfrecords takes it; plots show before and after. Empty: none."
    )
    max_pixels: int = option(MAX_PIXELS, "Pictures of more pixels than this are unusable, since too large.")
    workers: int = option(0, "Number of threads; 0: one for each processor core.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("output", bool(self.output), "give a folder")
        self.require("max_pixels", self.max_pixels >= 1, "use 1 or more")
        self.require("workers", self.workers >= 0, "use 1 or more, or 0 for one a core")


@dataclasses.dataclass(frozen=True)
class InspectOptions(Options):
    """Options of `tools.inspect_tfrecords`."""

    folder: str = option("data/tfrecords", "Folder of the data set, as make_tfrecords wrote it.", positional=True)
    verify: bool = option(False, "Read everything: checksums, hashes, labels, counts, names, pictures.")
    preview: str = option("", "Picture file to write, like sheet.png: some pictures of each class. Empty: none.")
    preview_pictures: int = option(8, "Number of pictures of each class and split in the preview.")
    show: str = option("", "Key of a picture (image/filename) to write into a file of its own. Empty: none.")
    output: str = option("", "The file that --show writes. Empty: the key's last part, in the current folder.")
    json: bool = option(False, "Print the summary, the problems and the files written as JSON.")
    workers: int = option(0, "Number of threads that decode for --verify; 0: one for each processor core.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        is_picture = self.preview.lower().endswith((".png", ".jpg", ".jpeg"))
        self.require("preview", not self.preview or is_picture, "use a name that ends in .png or .jpg")
        self.require("preview_pictures", 1 <= self.preview_pictures <= 100, "use 1 to 100")
        self.require("output", not self.output or self.show != "", "say with --show=KEY which picture to write")
        self.require("workers", self.workers >= 0, "use 1 or more, or 0 for one a core")


@dataclasses.dataclass(frozen=True)
class AugmentationRanges(Options):
    """How far each parameter of augmentation may go; 0 leaves a picture as it is.

    A parameter is uniform over its range, drawn for each picture anew.
    """

    shear: float = option(0.0, "Shear, up to this many degrees either way.")
    zoom: float = option(0.0, "Zoom of each axis: a factor between 1 minus and 1 plus this.")
    flip: float = option(0.0, "Probability that a picture is mirrored left to right, 0 to 1.")
    rotate: float = option(0.0, "Rotation, up to this many degrees either way.")
    shift: float = option(0.0, "Shift along each axis, up to this share of the side either way.")
    brightness: float = option(0.0, "Brightness: a factor between 1 minus and 1 plus this.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("shear", 0 <= self.shear < 90, "use 0 to less than 90 degrees")
        self.require("zoom", 0 <= self.zoom < 1, "use 0 to less than 1, like 0.2")
        self.require("flip", 0 <= self.flip <= 1, "use 0 to 1, like 0.5")
        self.require("rotate", 0 <= self.rotate <= 180, "use 0 to 180 degrees")
        self.require("shift", 0 <= self.shift < 1, "use 0 to less than 1, like 0.1")
        self.require("brightness", 0 <= self.brightness <= 1, "use 0 to 1, like 0.3")


# `source` is that of the recipe which this project follows. `strong` adds what photos of pets differ in anyway: the
# camera is held some degrees askew, the animal is off the middle, the room is dim or bright. It stays below what would
# cut off the animal or turn its fur plain white, since a picture must still show its label.
AUGMENTATIONS = {
    "source": AugmentationRanges(shear=0.2, zoom=0.2, flip=0.5),
    "none": AugmentationRanges(),
    "strong": AugmentationRanges(shear=5.0, zoom=0.2, flip=0.5, rotate=15.0, shift=0.1, brightness=0.3),
}


# Options that make a recipe of its own: where one of them is given, no preset is taken that was not asked for.
RECIPE_OPTIONS = ("init_from", "head", "unfreeze_from", "batch_norm", "optimizer", "learning_rate", "schedule")


def _precision() -> Any:
    """Declares the arithmetic of a model."""
    return option(
        "auto",
        "Arithmetic; auto takes what this machine does fast.",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    )


def _source_range(name: str) -> Any:
    """Declares a range of augmentation as a field of its own, its default that of the set `source`."""
    [field] = [field for field in dataclasses.fields(AugmentationRanges) if field.name == name]
    return option(getattr(AUGMENTATIONS["source"], name), field.metadata["help"])


@dataclasses.dataclass(frozen=True)
class TrainingOptions(Options):
    """Options of `dogcat.train`.

    Made by `from_given`, a value is looked for in this order: what the user gave; the file of --config; the preset;
    the default here.
    """

    tfrecords: str = option("data/tfrecords", "Folder of the data set, as make_tfrecords wrote it.")
    runs: str = option("runs", "Folder in which the run gets a folder of its own.")
    preset: str = option(
        "none",
        "A named recipe; flags given beside it win. Where neither it nor --config nor one of "
        + ", ".join(f"--{name}" for name in RECIPE_OPTIONS)
        + " is given: best.",
        choices=tuple(PRESETS),
    )
    config: str = option("", "Take the options from this file, the config.json of a run; flags win. Empty: none.")
    resume: bool = option(False, "Go on with the last unfinished run in --runs; needs the options it began with.")
    dry_run: bool = option(False, "Print what would be done, and stop.")
    backbone: str = option("xception", "Network below the head.", choices=tuple(BACKBONES))
    weights: str = option(
        "imagenet",
        "What the backbone starts with: imagenet; none, for random weights; or a file without the top in Keras' HDF5 "
        "layout.",
    )
    init_from: str = option(
        "",
        "Start from this model: a run's folder, a .keras file, or a preset's name for the last run of that "
        "preset in --runs. Empty: --weights, and a new head.",
    )
    head: str = option(
        "fit",
        "A new head: fit solves it on the frozen backbone's features, to convergence; random leaves it to the epochs.",
        choices=("fit", "random"),
    )
    feature_views: int = option(
        1,
        "Passes over the training pictures to fit the head on: 1 as they are, 2 and mirrored, more with --augment.",
    )
    start_c: float = option(
        0.3,
        "Inverse weight of the L2 penalty of the fitted head that the epochs start from, above 0; a smaller one leaves "
        "them more to learn. The head of epoch 0 has 0.3.",
    )
    unfreeze_from: str = option(
        "",
        "First layer of the backbone that trains: an index or a layer's name, like 96 or block13_sepconv1_act; auto: "
        "about the last quarter, 96 of Xception. Empty: the head alone trains.",
    )
    batch_norm: str = option(
        "training",
        "Statistics that open BatchNorm layers use: training, those of the batch (over all replicas); inference, those "
        "that they came with.",
        choices=("training", "inference"),
    )
    optimizer: str = option("adam", "Optimizer.", choices=("adam", "adamw", "sgd", "rmsprop", "lamb"))
    learning_rate: float = option(1e-4, "Highest learning rate, above 0.")
    momentum: float = option(0.9, "Momentum of sgd, 0 to less than 1.")
    weight_decay: float = option(0.004, "Weight decay of adamw and lamb, 0 or more.")
    schedule: str = option(
        "constant", "Learning rate after the warm-up: constant, or cosine down to 0.", choices=("constant", "cosine")
    )
    warmup_steps: int = option(0, "Steps in which the learning rate rises from 0.")
    label_smoothing: float = option(0.0, "Share of each label that is spread over all classes, 0 to less than 1.")
    batch_size: int = option(128, "Global batch: pictures a step over all replicas together.")
    epochs: int = option(10, "Passes over the training split, at most. 0: stop after the head is fitted.")
    patience: int = option(3, "Stop after this many epochs without a lower validation loss.")
    limit: int = option(0, "For trials: use this many pictures of each split at most. 0: all.")
    steps_per_epoch: int = option(0, "For trials: steps of an epoch at most. 0: all.")
    keep: int = option(5, "Checkpoints to keep, the newest ones; the best and the last model are kept anyway. 0: all.")
    save_minutes: float = option(
        10.0, "Minutes between states saved within an epoch, from which --resume goes on after a kill."
    )
    augment: str = option(
        "source",
        "Augmentation of training pictures, a set of the flags below; source is shear 0.2, zoom 0.2 and flip.",
        choices=tuple(AUGMENTATIONS),
    )
    shear: float = _source_range("shear")
    zoom: float = _source_range("zoom")
    flip: float = _source_range("flip")
    rotate: float = _source_range("rotate")
    shift: float = _source_range("shift")
    brightness: float = _source_range("brightness")
    seed: int = option(0, "Seed of the order, of augmentation and of random weights.")
    precision: str = _precision()
    strategy: str = option(
        "auto",
        "Devices; auto is multi_worker where TF_CONFIG names workers, mirrored where there are several GPUs.",
        choices=("auto", "one_device", "mirrored", "multi_worker"),
    )
    jit_compile: str = option(
        "auto", "Compile the model with XLA; auto: on GPUs, where it pays.", choices=("auto", "on", "off")
    )

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> TrainingOptions:
        """Adds the values of --config and of the preset to what the user gave.

        Raises:
            InputError: The file of --config cannot be used, or a value is out of range.
        """
        stored = read_options(Path(given["config"]), cls) if given.get("config") else {}
        layers: list[dict[str, Any]] = [stored, given]
        if "preset" not in stored or "preset" in given:
            preset = given.get("preset", "none" if given.keys() & set(RECIPE_OPTIONS) else "best")
            layers.insert(0, {"preset": preset, **PRESETS.get(preset, {})})
        values: dict[str, Any] = {}
        for layer in layers:
            if layer.get("augment") in AUGMENTATIONS:
                values |= dataclasses.asdict(AUGMENTATIONS[layer["augment"]])
            values |= layer
        return cls(**values)

    @property
    def augmentation(self) -> AugmentationRanges:
        """The ranges that the flags of augmentation give."""
        return AugmentationRanges(
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(AugmentationRanges)}
        )

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("feature_views", 1 <= self.feature_views <= 100, "use 1 to 100")
        self.require("weights", bool(self.weights), "use imagenet, none or the name of a file")
        self.require("start_c", self.start_c > 0, "use above 0, like 0.01")
        self.require("learning_rate", 0 < self.learning_rate < 10, "use above 0, like 0.0001")
        self.require("momentum", 0 <= self.momentum < 1, "use 0 to less than 1")
        self.require("weight_decay", 0 <= self.weight_decay < 1, "use 0 to less than 1")
        self.require("warmup_steps", self.warmup_steps >= 0, "use 0 or more")
        self.require("label_smoothing", 0 <= self.label_smoothing < 1, "use 0 to less than 1")
        self.require("batch_size", self.batch_size >= 1, "use 1 or more")
        self.require("epochs", self.epochs >= 0, "use 0 or more")
        self.require("patience", self.patience >= 1, "use 1 or more")
        self.require("limit", self.limit >= 0, "use 1 or more, or 0 for all")
        self.require("steps_per_epoch", self.steps_per_epoch >= 0, "use 1 or more, or 0 for all")
        self.require("keep", self.keep >= 0, "use 1 or more, or 0 for all")
        self.require("save_minutes", self.save_minutes > 0, "use above 0")
        _ = self.augmentation  # The ranges check themselves.
        self.require("seed", 0 <= self.seed < 2**31, "use 0 to 2147483647")


@dataclasses.dataclass(frozen=True)
class PredictionOptions(Options):
    """Options of `dogcat.predict`."""

    model: str = option(
        "runs/latest",
        "A run's folder or a .keras file. Several, with commas between them, as a pattern like 'runs/*-best', or in "
        "several flags, are an ensemble.",
        several=True,
    )
    images: str = option(
        "data/test",
        "Folder of pictures, one picture, a text file with the path of a picture a line (a line in double quotes is "
        "read as a JSON string), or - for such lines on standard input; or give --tfrecords.",
    )
    tfrecords: str = option("", "Folder of a data set to predict, as make_tfrecords wrote it. Empty: --images.")
    split: str = option("", "Split of the data set. Empty: the only one that it has.")
    output: str = option(
        "submission.csv",
        "File to write, .csv or .jsonl (an object a line): id,label; with more than two classes, id and one column "
        "each.",
    )
    columns: str = option(
        "",
        f"More columns, with commas between them, of {', '.join(PREDICTION_COLUMNS)}. path: below --images; class: the "
        "most probable one; logit: the logarithm of the odds, unclipped; probabilities: p_<class> for each class.",
    )
    average: str = option(
        "logits",
        "What is averaged over the models of an ensemble, each with its own temperature.",
        choices=("logits", "probabilities"),
    )
    temperature: float = option(0.0, "What logits are divided by, above 0. 0: what is stored with each model.")
    tta: str = option(
        "flip",
        "Test-time augmentation: flip averages the logits of each picture and its mirror image, in twice the time.",
        choices=("none", "flip"),
    )
    batch_size: int = option(32, "Pictures a step.")
    clip: float = option(
        0.001,
        "Keep each probability at least this far from 0 and from 1, so that one confident error "
        "does not cost all (more than two classes share twice this); 0: leave them as they are.",
    )
    on_error: str = option(
        "prior",
        "What becomes of a picture that cannot be read: prior, a row with the same probability for each class; skip, "
        "no row; fail, the command ends.",
        choices=("prior", "skip", "fail"),
    )
    strict: bool = option(False, "End with exit code 3 if a picture could not be read.")
    resume: bool = option(
        False, "Go on where a prediction with this --output was stopped; begins one where none was stopped."
    )
    precision: str = _precision()
    strategy: str = option(
        "auto", "Devices; auto is mirrored where there are several GPUs.", choices=("auto", "one_device", "mirrored")
    )

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> PredictionOptions:
        """Takes --tfrecords in place of the default of --images."""
        defaults = {"images": ""} if given.get("tfrecords") else {}
        return cls(**{**defaults, **given})

    @property
    def column_names(self) -> list[str]:
        """The words of --columns."""
        return self.columns.split(",") if self.columns else []

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range, or for options that exclude each other."""
        super().__post_init__()
        self.require("images", bool(self.images) != bool(self.tfrecords), "give either it or --tfrecords")
        self.require("split", not self.split or self.tfrecords != "", "goes with --tfrecords")
        self.require("output", self.output.endswith((".csv", ".jsonl")), "use a name that ends in .csv or .jsonl")
        known = set(self.column_names) <= set(PREDICTION_COLUMNS)
        self.require("columns", known, f"use some of {','.join(PREDICTION_COLUMNS)}")
        self.require("temperature", 0 <= self.temperature < math.inf, "use above 0, or 0 for what is stored")
        self.require("batch_size", self.batch_size >= 1, "use 1 or more")
        self.require("clip", 0 <= self.clip < 0.5, "use 0 to less than 0.5, like 0.005")


@dataclasses.dataclass(frozen=True)
class EvaluationOptions(Options):
    """Options of `dogcat.evaluate`."""

    model: str = option("runs/latest", "A run's folder or a .keras file.")
    against: str = option(
        "", "A second model, or with --predictions a second CSV, to compare with on the same pictures. Empty: none."
    )
    tfrecords: str = option("data/tfrecords", "Folder of the data set, as make_tfrecords wrote it.")
    split: str = option("validation", "Split of the data set.")
    images: str = option(
        "",
        "Take a folder of pictures instead of a data set: a folder per class, or names like cat.0.jpg. Empty: none.",
    )
    predictions: str = option("", "Run no model: take its predictions from this CSV of dogcat.predict. Empty: none.")
    labels: str = option("", "CSV with the columns id,label, the label a class's name; for --predictions.")
    output: str = option("evaluation", "Folder for metrics.json and predictions.csv.")
    tta: str = option(
        "flip",
        "Test-time augmentation, as of dogcat.predict: flip averages the logits of each picture and its mirror image.",
        choices=("none", "flip"),
    )
    batch_size: int = option(32, "Pictures a step.")
    clip: float = option(0.005, "Clip of the clipped log loss, as of dogcat.predict.")
    resamples: int = option(1000, "Bootstrap resamples that the intervals come from.")
    seed: int = option(
        0, "Seed of the resamples, and of the halves that temperature and clip are fitted and scored on."
    )
    save_temperature: bool = option(
        False, "Store the fitted temperature with --model if it lowers the log loss by more than chance explains."
    )

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range, or for options that exclude each other."""
        super().__post_init__()
        self.require("images", not (self.images and self.predictions), "give it or --predictions, not both")
        self.require("labels", bool(self.labels) == bool(self.predictions), "give --predictions and --labels together")
        self.require(
            "save_temperature", not (self.save_temperature and self.predictions), "goes with --model; a CSV holds none"
        )
        self.require("output", bool(self.output), "give a folder")
        self.require("batch_size", self.batch_size >= 1, "use 1 or more")
        self.require("clip", 0 < self.clip < 0.5, "use above 0 and below 0.5, like 0.005")
        self.require("resamples", self.resamples >= 100, "use 100 or more")
        self.require("seed", self.seed >= 0, "use 0 or more")


@dataclasses.dataclass(frozen=True)
class ReproductionOptions(Options):
    """Options of `tools.reproduce`."""

    tfrecords: str = option("data/tfrecords", "Folder of the data set, as make_tfrecords wrote it.")
    test_images: str = option("data/test", "Folder of the test pictures.")
    runs: str = option("runs", "Folder of the runs.")
    output: str = option("reproduction", "Folder for the predictions, the table and the plot.")
    epochs: int = option(0, "For small machines: epochs of each run at most. 0: as the source, 30 and 50.")
    limit: int = option(0, "For small machines: pictures of each split at most. 0: all.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("epochs", self.epochs >= 0, "use 1 or more, or 0 for the source's")
        self.require("limit", self.limit >= 0, "use 1 or more, or 0 for all")


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Options of `tools.benchmark`."""

    subject: str = option("shards", "What to measure.", choices=("shards", "train"), positional=True)
    images: str = option("data/train", "Folder of pictures to measure shards on.")
    tfrecords: str = option("data/tfrecords", "Folder of the data set to measure train on.")
    steps: int = option(10, "Training steps of each run of train.")
    pictures: int = option(2000, "Pictures to take, spread over the folder; 0: all. Few make start-up weigh more.")
    rounds: int = option(5, "Times that each contestant runs, in turn with the others; at least 2.")
    workers: int = option(0, "Number of worker processes of each contestant; 0: one for each processor core.")
    peers: bool = option(False, "Measure OpenCV, FFCV and WebDataset too; `make peers` installs them.")
    peers_python: str = option(".venv-peers/bin/python", "The Python that has the peers.")
    json: str = option("", "File for all figures, those of each round too. Empty: none.")
    chart: str = option("", "Picture to draw the chart in, .png, .svg or .pdf. Empty: none.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("pictures", self.pictures >= 0, "use 1 or more, or 0 for all")
        self.require("steps", self.steps >= 1, "use 1 or more")
        self.require("rounds", self.rounds >= 2, "use 2 or more: one round shows no spread")
        self.require("workers", self.workers >= 0, "use 1 or more, or 0 for one a core")
        drawable = not self.chart or self.chart.lower().endswith((".png", ".svg", ".pdf"))
        self.require("chart", drawable, "give a name that ends in .png, .svg or .pdf")


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_options(path: Path, options_class: type[Options]) -> dict[str, Any]:
    """Reads the options of a run from its config.json.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    try:
        stored = json.loads(path.read_text("utf-8"))["options"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"--config={path}: is no config.json of a run ({error})") from error
    types = typing.get_type_hints(options_class)
    for name, value in stored.items():
        if name not in types:
            raise InputError(f"--config={path}: {name} is no option")
        # A whole number is a right float.
        if type(value) is not types[name] and not (types[name] is float and type(value) is int):
            raise InputError(f"--config={path}: {name} is {value!r}; it must be of type {types[name].__name__}")
    return stored
