"""The options of each command: frozen dataclasses that check themselves.

A field holds its default, its type and its help text; `dogcat.flags` turns the fields into flags, so
an option is written down once.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from typing import Any, TypeVar

from dogcat.backbones import BACKBONES
from dogcat.presets import PRESETS

# At the 4 bytes that Pillow needs for a pixel, a worker of the shard tool stays below 400 MiB.
MAX_PIXELS = 80_000_000

# More than any machine has cores; each takes memory.
MOST_WORKERS = 1024

# How a picture becomes square.
RESIZE_MODES = ("stretch", "crop", "pad")

# The views of a picture that a prediction is averaged over.
TTA = ("none", "flip", "zoom")

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
    path: bool = False,
) -> Any:
    """Declares a field of an options class; `help` names the unit, the default is added to it.

    The value of a `positional` field, at most one in a class, may also stand on the command line as a bare word. The
    flag of a field for `several` words may be given more than once, which is the same as commas between the words. A
    `path` is one of this machine, `~` at its beginning a home folder.
    """
    metadata = {"help": help, "choices": choices, "positional": positional, "several": several, "path": path}
    return dataclasses.field(default=default, metadata=metadata)


# How an address of a bucket or a server begins.
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")


def words(value: str) -> list[str]:
    """The words of a flag's value, with commas between them; none of an empty one."""
    return value.split(",") if value else []


def local_path(place: str, said: str) -> str:
    """A path with the home folder in the place of `~` or `~user` at its beginning, as a shell puts it.

    Args:
        place: The path; empty: none.
        said: What gave it, for errors.

    Raises:
        InputError: There is no such home folder, or it is an address or text that is no path.
    """
    try:
        is_name = b"\0" not in os.fsencode(place)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise InputError(f"{said}: has characters in it that no file's name can have")
    if _SCHEME.match(place):
        raise InputError(f"{said}: addresses are not supported; give a path of this machine: mount it there or copy it")
    if place.startswith("./~"):
        # Else it would be a home folder to whoever leaves `./` out, like pathlib.
        return os.path.abspath(place)
    if not place.startswith("~"):
        return place
    user = place[1:].partition("/")[0]
    expanded = os.path.expanduser(place)
    # An empty HOME would lead to the root folder.
    if expanded.startswith("~") or not (user or os.environ.get("HOME", "unset")):
        why = f"there is no user {user}" if user else "the home folder is unknown, since HOME is not set"
        raise InputError(f"{said}: {why}; give the whole path, or ./{place} for what is called so here")
    return expanded


def is_utf8(text: str) -> bool:
    """Whether a text, like the name of a file, is UTF-8 and no other bytes: TensorFlow writes no other names."""
    return text == text.encode("utf-8", "replace").decode()


def refuse_unused(given: dict[str, Any], names: tuple[str, ...], why: str) -> None:
    """Raises InputError for the first of the flags `names` that the user gave, since it would do nothing."""
    for name in names:
        if name in given:
            raise InputError(f"--{name}={given[name]}: {why}")


AnyOptions = TypeVar("AnyOptions", bound="Options")


class Options:
    """Base of all options classes: checks every field that has a list of choices, and expands paths."""

    def __post_init__(self) -> None:
        """Puts home folders in the place of `~`.

        Raises:
            InputError: A value is none of its field's choices, a path is not one of this machine, or a number is beyond
                all that can be computed with.
        """
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            choices = field.metadata["choices"]
            value = getattr(self, field.name)
            if choices and value not in choices:
                raise InputError(f"--{field.name}={value}: use one of {', '.join(choices)}")
            if field.metadata["path"]:
                said = f"--{field.name}={value}"
                places = value.split(",") if field.metadata["several"] else [value]
                object.__setattr__(self, field.name, ",".join(local_path(place, said) for place in places))
            if isinstance(value, int):
                self.require(field.name, abs(value) < 2**63, "use a number of fewer digits")

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

    output: str = option("data", "Folder in which train/ and test/ are drawn.", path=True)
    train: int = option(200, "Number of flawless training pictures, cats and dogs together.")
    test: int = option(40, "Number of flawless test pictures.")
    faults: int = option(
        0, "Number of training pictures of neither, with a wrong label, and that are copies: so many of each; 0: none."
    )
    seed: int = option(0, "Seed of the drawing; the same seed draws the same bytes.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("train", self.train >= 2, "draw at least 2 pictures")
        self.require("test", self.test >= 1, "draw at least 1 picture")
        self.require("faults", self.faults >= 0, "use 1 or more, or 0 for none")
        self.require("seed", self.seed >= 0, "use 0 or more")


@dataclasses.dataclass(frozen=True)
class WeightsOptions(Options):
    """Options of `tools.fetch_weights`."""

    backbone: str = option("xception", "Network to fetch the weights of.", choices=tuple(BACKBONES))
    file: str = option("", "A weights file fetched by hand: Keras' HDF5 layout. Empty: look for a source.", path=True)


@dataclasses.dataclass(frozen=True)
class ShardOptions(Options):
    """Options of `tools.make_tfrecords`."""

    images: str = option("data/train", "Folder of pictures: a folder per class, or names like cat.0.jpg.", path=True)
    output: str = option("data/tfrecords", "Folder of the data set to make.", path=True)
    unlabeled: bool = option(False, "The pictures have no labels; all go to the split `test` with label -1.")
    labels: str = option(
        "", "CSV with the columns path,label; it wins over folder and file name. Empty: none.", path=True
    )
    exclude: str = option(
        "",
        "Text file with a path a line; these pictures are left out. A line in double quotes is read as a JSON string, "
        "for names with line breaks. Empty: none.",
        path=True,
    )
    classes: str = option("", "Names of the classes in the order of their labels, like cat,dog. Empty: sorted by name.")
    image_size: int = option(299, "Side of the square pictures in the shards, in pixels.")
    resize: str = option(
        "stretch",
        "How a picture becomes square: stretch changes its proportions, crop takes the middle, pad adds black.",
        choices=RESIZE_MODES,
    )
    encoding: str = option(
        "jpeg",
        "Encoding of the pictures in the shards; png is lossless; raw is pixels, 8 times the bytes of jpeg, for when "
        "decoding them is the limit.",
        choices=("jpeg", "png", "raw"),
    )
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

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> ShardOptions:
        """Refuses what pictures without labels have no use for."""
        if given.get("unlabeled"):
            refuse_unused(given, ("validation",), "with --unlabeled all pictures go to the split `test`; leave it out")
        encoding = given.get("encoding", cls.encoding)
        if encoding != "jpeg":
            refuse_unused(given, ("quality", "chroma"), f"goes with --encoding=jpeg, not {encoding}")
        return cls(**given)

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
        self.require("workers", 0 <= self.workers <= MOST_WORKERS, f"use 1 to {MOST_WORKERS}, or 0 for one a core")


@dataclasses.dataclass(frozen=True)
class SurveyOptions(Options):
    """Options of `tools.survey_images`."""

    images: str = option(
        "data/train",
        "Folder of pictures: a folder per class, or names like cat.0.jpg, or no classes.",
        path=True,
    )
    output: str = option("survey", "Folder for survey.html, survey.csv and the plots.", path=True)
    labels: str = option("", "CSV with the columns path,label, as make_tfrecords takes it. Empty: none.", path=True)
    exclude: str = option(
        "",
        "Text file with a path a line, as make_tfrecords takes it; plots show before and after. Empty: none.",
        path=True,
    )
    max_pixels: int = option(MAX_PIXELS, "Pictures of more pixels than this are unusable, since too large.")
    workers: int = option(0, "Number of threads; 0: one for each processor core.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("output", bool(self.output), "give a folder")
        self.require("max_pixels", self.max_pixels >= 1, "use 1 or more")
        self.require("workers", 0 <= self.workers <= MOST_WORKERS, f"use 1 to {MOST_WORKERS}, or 0 for one a core")


@dataclasses.dataclass(frozen=True)
class CleaningOptions(Options):
    """Options of `tools.clean_images`."""

    images: str = option("data/train", "Folder of pictures: a folder per class, or names like cat.0.jpg.", path=True)
    output: str = option("cleaning", "Folder for suspects.csv, review.html and exclude.txt.", path=True)
    method: str = option(
        "features",
        "What looks at the pictures: features, those of the frozen backbone; imagenet, a classifier of ImageNet's 1000 "
        "classes, a picture of no cat and no dog being one whose --top_n best classes have none; all, both.",
        choices=("features", "imagenet", "all"),
    )
    backbone: str = option("xception", "Network that gives the features.", choices=tuple(BACKBONES))
    weights: str = option(
        "imagenet",
        "Its weights: imagenet, none for random ones, or an HDF5 file of it without its top.",
        path=True,
    )
    image_size: int = option(0, "Side of the square pictures that it gets, in pixels; 0: what it was trained on.")
    classifier: str = option(
        "",
        "A .keras file with 1000 ImageNet outputs that takes pixels of 0 to 255. Empty: Xception with Keras' weights.",
        path=True,
    )
    top_n: int = option(30, "Number of best classes among which the classifier must have a cat or a dog.")
    wild_cats: bool = option(False, "To the classifier, lions, tigers and the like are cats too.")
    labels: str = option("", "CSV with the columns path,label, as make_tfrecords takes it. Empty: none.", path=True)
    exclude: str = option(
        "",
        "Text file with a path a line, as make_tfrecords takes it; these pictures are left out, and stay in "
        "the new exclude.txt. Empty: none.",
        path=True,
    )
    most: int = option(500, "Suspects to list, at most.")
    auto: int = option(
        0, "Number of suspects, the first ones, that exclude.txt names. 0: those alone that are certain."
    )
    max_pixels: int = option(MAX_PIXELS, "Pictures of more pixels than this are unreadable, since too large.")
    validation: float = option(
        0.1, "Share of each class in the validation split, as make_tfrecords gets it: copies on both sides are told."
    )
    seed: int = option(0, "Seed of that split, and of the folds on which the features are judged.")
    workers: int = option(0, "Number of threads that decode; 0: one for each processor core.")

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> CleaningOptions:
        """Refuses the flags of a method that is not asked for."""
        options = cls(**given)
        if options.method == "features":
            refuse_unused(given, ("classifier", "top_n", "wild_cats"), "goes with --method=imagenet or all")
        if options.method == "imagenet":
            refuse_unused(given, ("backbone", "weights", "image_size"), "goes with --method=features or all")
        return options

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("output", bool(self.output), "give a folder")
        smallest = BACKBONES[self.backbone].smallest_image
        size_fits = self.image_size == 0 or smallest <= self.image_size <= 4096
        self.require("image_size", size_fits, f"use {smallest} to 4096 pixels for {self.backbone}, or 0 for its own")
        self.require("top_n", 1 <= self.top_n < 1000, "use 1 to 999")
        self.require("most", self.most >= 1, "use 1 or more")
        self.require("auto", self.auto >= 0, "use 1 or more, or 0 for what is certain")
        self.require("max_pixels", self.max_pixels >= 1, "use 1 or more")
        self.require("validation", 0 <= self.validation < 1, "use 0 to less than 1, like 0.1")
        self.require("seed", self.seed >= 0, "use 0 or more")
        self.require("workers", 0 <= self.workers <= MOST_WORKERS, f"use 1 to {MOST_WORKERS}, or 0 for one a core")


@dataclasses.dataclass(frozen=True)
class InspectOptions(Options):
    """Options of `tools.inspect_tfrecords`."""

    folder: str = option(
        "data/tfrecords", "Folder of the data set, as make_tfrecords wrote it.", positional=True, path=True
    )
    verify: bool = option(False, "Read everything: checksums, hashes, labels, counts, names, pictures.")
    preview: str = option(
        "", "Picture file to write, like sheet.png: some pictures of each class. Empty: none.", path=True
    )
    preview_pictures: int = option(8, "Number of pictures of each class and split in the preview.")
    show: str = option("", "Key of a picture (image/filename) to write into a file of its own. Empty: none.")
    output: str = option(
        "",
        "The file that --show writes. Empty: the key's last part, in the current folder, ending as its format.",
        path=True,
    )
    json: bool = option(False, "Print the summary, the problems and the files written as JSON.")
    workers: int = option(0, "Number of threads that decode for --verify; 0: one for each processor core.")

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> InspectOptions:
        """Refuses what goes with another flag that is not given."""
        if not given.get("preview"):
            refuse_unused(given, ("preview_pictures",), "goes with --preview=FILE")
        return cls(**given)

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        is_picture = self.preview.lower().endswith((".png", ".jpg", ".jpeg"))
        self.require("preview", not self.preview or is_picture, "use a name that ends in .png or .jpg")
        self.require("preview_pictures", 1 <= self.preview_pictures <= 100, "use 1 to 100")
        self.require("output", not self.output or self.show != "", "say with --show=KEY which picture to write")
        self.require("workers", 0 <= self.workers <= MOST_WORKERS, f"use 1 to {MOST_WORKERS}, or 0 for one a core")


def precision_option() -> Any:
    """Declares the arithmetic of a model."""
    return option(
        "auto",
        "Arithmetic; auto takes what this machine does fast.",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    )


def engine_option() -> Any:
    """Declares what passes without training go through."""
    return option(
        "auto",
        "What passes without training go through; auto takes OpenVINO on a processor without GPUs if it is installed.",
        choices=("auto", "tensorflow", "openvino"),
    )


def strategy_option() -> Any:
    """Declares the devices of a command that runs in one process."""
    return option(
        "auto", "Devices; auto is mirrored where there are several GPUs.", choices=("auto", "one_device", "mirrored")
    )


@dataclasses.dataclass(frozen=True)
class PredictionOptions(Options):
    """Options of `dogcat.predict`."""

    model: str = option(
        "runs/latest",
        "A run's folder or a .keras file. Several, with commas between them, as a pattern like 'runs/*-best', or in "
        "several flags, are an ensemble.",
        several=True,
        path=True,
    )
    images: str = option(
        "data/test",
        "Folder of pictures, one picture, a text file with the path of a picture a line (a line in double quotes is "
        "read as a JSON string), or - for such lines on standard input; or give --tfrecords.",
        path=True,
    )
    tfrecords: str = option(
        "", "Folder of a data set to predict, as make_tfrecords wrote it. Empty: --images.", path=True
    )
    split: str = option("", "Split of the data set. Empty: the only one that it has.")
    output: str = option(
        "submission.csv",
        "File to write, .csv or .jsonl (an object a line): id,label; with more than two classes, id and one column "
        "each.",
        path=True,
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
        "zoom",
        "Test-time augmentation. flip averages the logits of each picture and its mirror image; zoom, of its middle, "
        "magnified 1.25 times, and the mirror image of that; none takes the picture alone, in half the time.",
        choices=TTA,
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
    precision: str = precision_option()
    engine: str = engine_option()
    strategy: str = strategy_option()

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> PredictionOptions:
        """Takes --tfrecords in place of the default of --images."""
        defaults = {"images": ""} if given.get("tfrecords") else {}
        return cls(**{**defaults, **given})

    @property
    def column_names(self) -> list[str]:
        """The words of --columns."""
        return words(self.columns)

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
        self.require("clip", 0 <= self.clip < 0.5, "use 0 to less than 0.5, like 0.001")


@dataclasses.dataclass(frozen=True)
class EvaluationOptions(Options):
    """Options of `dogcat.evaluate`."""

    model: str = option("runs/latest", "A run's folder or a .keras file.", path=True)
    against: str = option(
        "",
        "A second model, or with --predictions a second CSV, to compare with on the same pictures. Empty: none.",
        path=True,
    )
    tfrecords: str = option("data/tfrecords", "Folder of the data set, as make_tfrecords wrote it.", path=True)
    split: str = option("validation", "Split of the data set.")
    images: str = option(
        "",
        "Take a folder of pictures instead of a data set: a folder per class, or names like cat.0.jpg. Empty: none.",
        path=True,
    )
    predictions: str = option(
        "", "Run no model: take its predictions from this CSV of dogcat.predict. Empty: none.", path=True
    )
    labels: str = option("", "CSV with the columns id,label, the label a class's name; for --predictions.", path=True)
    classes: str = option(
        "",
        "The two classes, like cat,dog, of --predictions with a column label, which is the probability of the second. "
        "Empty: sorted by name.",
    )
    output: str = option("evaluation", "Folder for metrics.json and predictions.csv.", path=True)
    tta: str = option("zoom", "Test-time augmentation, as of dogcat.predict.", choices=TTA)
    batch_size: int = option(32, "Pictures a step.")
    clip: float = option(0.001, "Clip of the clipped log loss, as of dogcat.predict.")
    resamples: int = option(1000, "Bootstrap resamples that the intervals come from.")
    seed: int = option(
        0, "Seed of the resamples, and of the halves that temperature and clip are fitted and scored on."
    )
    save_temperature: bool = option(
        False, "Store the fitted temperature with --model if it lowers the log loss by more than chance explains."
    )
    precision: str = precision_option()
    engine: str = engine_option()
    strategy: str = strategy_option()

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> EvaluationOptions:
        """Refuses what other pictures, or none, would be described by."""
        if given.get("predictions"):
            of_models = ("model", "tfrecords", "split", "tta", "batch_size", "precision", "engine", "strategy")
            refuse_unused(given, of_models, "goes with a model; --predictions runs none")
        elif given.get("images"):
            refuse_unused(given, ("tfrecords", "split"), "give it or --images, not both")
        return cls(**given)

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range, or for options that exclude each other."""
        super().__post_init__()
        self.require("images", not (self.images and self.predictions), "give it or --predictions, not both")
        self.require("labels", bool(self.labels) == bool(self.predictions), "give --predictions and --labels together")
        self.require("classes", not self.classes or self.predictions != "", "goes with --predictions")
        self.require(
            "save_temperature", not (self.save_temperature and self.predictions), "goes with --model; a CSV holds none"
        )
        self.require("output", bool(self.output), "give a folder")
        self.require("batch_size", self.batch_size >= 1, "use 1 or more")
        self.require("clip", 0 < self.clip < 0.5, "use above 0 and below 0.5, like 0.001")
        self.require("resamples", self.resamples >= 100, "use 100 or more")
        self.require("seed", self.seed >= 0, "use 0 or more")


@dataclasses.dataclass(frozen=True)
class ExportOptions(Options):
    """Options of `tools.export_model`."""

    model: str = option("runs/latest", "A run's folder or a .keras file.", path=True)
    format: str = option("savedmodel", "What to write.", choices=("savedmodel", "tflite"))
    output: str = option("exported", "Folder to write; it must not exist yet.", path=True)

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("output", bool(self.output), "give a folder")
        self.require("output", is_utf8(self.output), "TensorFlow writes under names in UTF-8 alone; give such a name")


@dataclasses.dataclass(frozen=True)
class ReportOptions(Options):
    """Options of `tools.make_report`."""

    runs: str = option(
        "runs/latest",
        "Folder of a finished run, or of several to compare.",
        positional=True,
        several=True,
        path=True,
    )
    tfrecords: str = option(
        "", "Folder of the data set that they were trained on. Empty: where each run had it.", path=True
    )
    output: str = option("", "Page that compares several runs. Empty: comparison.html beside the first one.", path=True)


@dataclasses.dataclass(frozen=True)
class ReproductionOptions(Options):
    """Options of `tools.reproduce`."""

    tfrecords: str = option("data/tfrecords", "Folder of the data set, as make_tfrecords wrote it.", path=True)
    test_images: str = option("data/test", "Folder of the test pictures.", path=True)
    runs: str = option("runs", "Folder of the runs.", path=True)
    output: str = option("reproduction", "Folder for the predictions, the table and the plot.", path=True)
    epochs: int = option(0, "For small machines: epochs of each run at most. 0: as the source, 30 and 50.")
    limit: int = option(0, "For small machines: pictures of each split at most. 0: all.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("epochs", self.epochs >= 0, "use 1 or more, or 0 for the source's")
        batch = PRESETS["top"]["batch_size"]
        self.require("limit", self.limit == 0 or self.limit >= batch, f"use {batch}, a batch of the source, or more")


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Options of `tools.benchmark`."""

    subject: str = option(
        "shards",
        "What to measure.",
        choices=("shards", "load", "disk", "augment", "train", "predict", "memory", "all"),
        positional=True,
    )
    images: str = option("data/train", "Folder of pictures to measure on.", path=True)
    tfrecords: str = option(
        "", "Folder of a data set of two classes to measure train on. Empty: made from --images.", path=True
    )
    steps: int = option(10, "Training steps of each run of train.")
    seconds: float = option(4.0, "Seconds of each run of load and augment.")
    sizes: str = option("2000,25000,250000", "Numbers of pictures for memory, rising, links to those of --images.")
    pictures: int = option(2000, "Pictures to take, spread over the folder; 0: all. Few make start-up weigh more.")
    rounds: int = option(5, "Times that each contestant runs, in turn with the others; at least 2.")
    workers: int = option(0, "Number of worker processes of each contestant; 0: one for each processor core.")
    peers: bool = option(
        False,
        "Measure OpenCV, FFCV, WebDataset, for load also DALI, PyTorch and MosaicML streaming, for augment DALI; "
        "`make peers` installs them.",
    )
    peers_python: str = option(".venv-peers/bin/python", "The Python that has the peers.", path=True)
    json: str = option("", "File for all figures, those of each round too. Empty: none.", path=True)
    chart: str = option("", "Picture to draw the chart in, .png, .svg or .pdf. Empty: none.", path=True)

    @property
    def numbers(self) -> list[int]:
        """The numbers of --sizes."""
        return [int(word) for word in self.sizes.split(",")]

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("pictures", self.pictures >= 0, "use 1 or more, or 0 for all")
        self.require("steps", self.steps >= 1, "use 1 or more")
        self.require("seconds", self.seconds > 0, "use above 0")
        self.require("rounds", self.rounds >= 2, "use 2 or more: one round shows no spread")
        self.require("workers", 0 <= self.workers <= MOST_WORKERS, f"use 1 to {MOST_WORKERS}, or 0 for one a core")
        are_numbers = all(word.isdecimal() and len(word) < 16 and int(word) >= 300 for word in self.sizes.split(","))
        self.require("sizes", are_numbers, "use whole numbers of 300 or more with commas between them")
        self.require("sizes", self.numbers == sorted(set(self.numbers)), "let the numbers rise")
        self.require("chart", not self.chart or self.subject != "memory", "memory has a table alone")
        drawable = not self.chart or self.chart.lower().endswith((".png", ".svg", ".pdf"))
        self.require("chart", drawable, "give a name that ends in .png, .svg or .pdf")
