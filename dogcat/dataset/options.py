"""Options of the shard tool, and those that commands on its data sets share."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from dogcat.core.bounds import Bounds
from dogcat.core.cluster import cluster_option
from dogcat.core.options import Options, option, output_folder_option, refuse_unused, seed_option, workers_option
from dogcat.pictures.geometry import RESIZE_MODES
from dogcat.pictures.options import exclude_option, images_option, labels_option, max_pixels_option

_DATA_SET = "Folder of the data set, as make_tfrecords wrote it"
_DATA_SET_ANYWHERE = "Folder of the data set, as make_tfrecords wrote it, or its address, like gs://bucket/set"


def data_set_option(positional: bool = True) -> Any:
    """Declares the folder of a finished data set."""
    return option("data/tfrecords", f"{_DATA_SET}.", positional=positional, path=True)


def records_option(positional: bool = True) -> Any:
    """Declares the folder of a finished data set, or TFRecords of another program."""
    others = "or TFRecords of another program, gzip or not: a file, or a pattern in quotes, like 'other/train-*'."
    return option("data/tfrecords", f"{_DATA_SET_ANYWHERE}; {others}", positional=positional, path=True, remote=True)


def image_key_option(heading: str = "") -> Any:
    """Declares which feature of another program's records is the picture."""
    return option(
        "",
        "For TFRecords of another program: the feature that holds the picture. Empty: found in the first record.",
        heading=heading,
    )


def label_key_option() -> Any:
    """Declares which feature of another program's records is the label."""
    return option(
        "",
        "For TFRecords of another program: the feature that holds the label, a number or a text. Empty: found in the "
        "first record, where it has a usual name.",
    )


def first_label_option() -> Any:
    """Declares where numbers of classes begin in another program's records."""
    return option(
        "auto",
        "For TFRecords of another program whose labels are numbers: that of the first class; auto: 1 if none is 0.",
        choices=("auto", "0", "1"),
    )


def validation_option(help: str) -> Any:
    """Declares the share of the pictures that a run does not train on."""
    return option(0.1, help, bounds=Bounds(at_least=0, below=1, example=0.1))


@dataclasses.dataclass(frozen=True)
class ShardOptions(Options):
    """Options of `tools.make_tfrecords`."""

    images: str = images_option(remote=True)
    output: str = output_folder_option(
        "data/tfrecords", "Folder of the data set to make, or an address, like s3://bucket/tfrecords.", remote=True
    )
    labels: str = labels_option()
    classes: str = option("", "Names of the classes in the order of their labels, like cat,dog. Empty: sorted by name.")
    exclude: str = exclude_option("these pictures are left out")
    unlabeled: bool = option(False, "The pictures have no labels; all go to the split `test` with label -1.")
    image_size: int = option(
        299, "Side of the square pictures in the shards.", bounds=Bounds(at_least=16, at_most=4096, unit="pixels")
    )
    validation: float = validation_option("Share of each class that goes to the validation split.")
    seed: int = seed_option("Seed of the split and of the order.")
    overwrite: bool = option(False, "Replace a data set that is already at --output.")
    resize: str = option(
        "stretch",
        "How a picture becomes square: stretch changes its proportions, crop takes the middle, pad adds black.",
        choices=RESIZE_MODES,
        heading="Pictures in the shards",
    )
    encoding: str = option(
        "jpeg",
        "Encoding of the pictures in the shards; png is lossless; raw is pixels, 8 times the bytes of jpeg, for when "
        "decoding is the bottleneck.",
        choices=("jpeg", "png", "raw"),
    )
    quality: int = option(95, "JPEG quality of the pictures in the shards.", bounds=Bounds(at_least=1, at_most=100))
    chroma: str = option("420", "JPEG chroma subsampling; 444 keeps all colour.", choices=("420", "444"))
    max_pixels: int = max_pixels_option()
    shards: int = option(
        0,
        "Number of shards of the training (or test) split.",
        bounds=Bounds(at_least=1, at_most=99_999, zero="for shards of --shard_mib"),
        heading="Shards and processes",
    )
    shard_mib: int = option(
        128, "Target size of a shard, used where --shards is 0.", bounds=Bounds(at_least=1, unit="MiB")
    )
    workers: int = workers_option("Number of processes.")
    cluster: str = cluster_option("a shard each")
    only: str = option(
        "",
        "One step alone, for engines that run a command by number: plan; then 0/n to (n-1)/n, each an n-th of the "
        "shards, on whatever machines, in any order; then commit, which makes the data set appear. All steps but plan "
        "take --output alone, and --workers. Empty: everything.",
    )

    @property
    def part(self) -> tuple[int, int] | None:
        """Which part of the shards --only names, and of how many; None where it names none."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.only)
        return (int(match[1]), int(match[2])) if match else None

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used."""
        super().__post_init__()
        part, parts = self.part or (0, 1)
        is_step = self.only in ("", "plan", "commit") or self.part is not None
        self.require("only", is_step and part < parts, "use plan, commit, or a part like 0/8, of which 7/8 is the last")

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> ShardOptions:
        """Refuses what a step, a cluster, or pictures without labels have no use for."""
        step = given.get("only", "")
        if step not in ("", "plan"):
            names = tuple(name for name in given if name not in ("only", "output", "workers"))
            refuse_unused(given, names, f"the plan has it; leave it out with --only={step}")
        if step in ("plan", "commit"):
            refuse_unused(given, ("workers",), f"--only={step} works in one process; leave it out")
        if step:
            refuse_unused(given, ("cluster",), "runs all steps; leave out --only")
        if given.get("cluster"):
            refuse_unused(given, ("workers",), "--cluster tells where; leave it out")
        if given.get("unlabeled"):
            refuse_unused(given, ("validation",), "with --unlabeled all pictures go to the split `test`; leave it out")
        encoding = given.get("encoding", cls.encoding)
        if encoding != "jpeg":
            refuse_unused(given, ("quality", "chroma"), f"goes with --encoding=jpeg, not {encoding}")
        return cls(**given)
