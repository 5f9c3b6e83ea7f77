"""The options of each command: frozen dataclasses that check themselves.

A field holds its default, its type and its help text; `dogcat.flags` turns the fields into flags, so
an option is written down once.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

# At the 4 bytes that Pillow needs for a pixel, a worker of the shard tool stays below 400 MiB.
MAX_PIXELS = 80_000_000

# How a picture becomes square.
RESIZE_MODES = ("stretch", "crop", "pad")


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one line that names the file or option, the value, and what would be right.
    Commands print it and end with exit code 2.
    """


def option(default: Any, help: str, choices: tuple[str, ...] | None = None, positional: bool = False) -> Any:
    """Declares a field of an options class; `help` names the unit, the default is added to it.

    The value of a `positional` field, at most one in a class, may also stand on the command line as a bare word.
    """
    metadata = {"help": help, "choices": choices, "positional": positional}
    return dataclasses.field(default=default, metadata=metadata)


class Options:
    """Base of all options classes: checks every field that has a list of choices."""

    def __post_init__(self) -> None:
        """Raises InputError for a value that is none of its field's choices."""
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            choices = field.metadata["choices"]
            value = getattr(self, field.name)
            if choices and value not in choices:
                raise InputError(f"--{field.name}={value}: use one of {', '.join(choices)}")

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
class TrainingOptions(Options):
    """Options of `dogcat.train`."""

    tfrecords: str = option("data/tfrecords", "Folder of the data set, as make_tfrecords wrote it.")
    runs: str = option("runs", "Folder in which the run gets a folder of its own.")
    unfreeze_from: str = option(
        "",
        "First layer of the backbone that trains: an index or a layer's name, like 96 or "
        "block13_sepconv1_act. Empty: the head alone trains.",
    )
    init_from: str = option(
        "",
        "Start from this model: an earlier run's folder or a .keras file. Empty: ImageNet weights "
        "and a head fitted on the frozen backbone's features.",
    )
    optimizer: str = option("adam", "Optimizer.", choices=("adam", "sgd"))
    learning_rate: float = option(1e-4, "Learning rate of the optimizer, above 0.")
    momentum: float = option(0.9, "Momentum of sgd, 0 to less than 1; adam does not use it.")
    batch_size: int = option(128, "Global batch: pictures a step over all replicas together.")
    epochs: int = option(10, "Passes over the training split, at most. 0: stop after the head is fitted.")
    patience: int = option(3, "Stop after this many epochs without a lower validation loss.")
    seed: int = option(0, "Seed of the order and of augmentation.")
    precision: str = option(
        "auto",
        "Arithmetic; auto takes what this machine does fast.",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    )
    strategy: str = option(
        "auto",
        "Devices; auto is mirrored where there are several GPUs.",
        choices=("auto", "one_device", "mirrored"),
    )

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("learning_rate", 0 < self.learning_rate < 10, "use above 0, like 0.0001")
        self.require("momentum", 0 <= self.momentum < 1, "use 0 to less than 1")
        self.require("batch_size", self.batch_size >= 1, "use 1 or more")
        self.require("epochs", self.epochs >= 0, "use 0 or more")
        self.require("patience", self.patience >= 1, "use 1 or more")
        self.require("seed", 0 <= self.seed < 2**31, "use 0 to 2147483647")


@dataclasses.dataclass(frozen=True)
class PredictionOptions(Options):
    """Options of `dogcat.predict`."""

    model: str = option("runs/latest", "A run's folder or a .keras file.")
    images: str = option("data/test", "Folder of the pictures.")
    output: str = option("submission.csv", "The CSV to write: id,label.")
    batch_size: int = option(32, "Pictures a step.")
    clip: float = option(
        0.005,
        "Keep each probability at least this far from 0 and from 1, so that one confident error "
        "does not cost all; 0: leave them as they are.",
    )

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("batch_size", self.batch_size >= 1, "use 1 or more")
        self.require("clip", 0 <= self.clip < 0.5, "use 0 to less than 0.5, like 0.005")


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Options of `tools.benchmark`."""

    subject: str = option("shards", "What to measure.", choices=("shards",), positional=True)
    images: str = option("data/train", "Folder of pictures to measure on.")
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
        self.require("rounds", self.rounds >= 2, "use 2 or more: one round shows no spread")
        self.require("workers", self.workers >= 0, "use 1 or more, or 0 for one a core")
        drawable = not self.chart or self.chart.lower().endswith((".png", ".svg", ".pdf"))
        self.require("chart", drawable, "give a name that ends in .png, .svg or .pdf")


def available_cores() -> int:
    """Number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
