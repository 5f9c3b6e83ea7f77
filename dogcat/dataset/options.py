"""Options of the shard tool."""

from __future__ import annotations

import dataclasses
from typing import Any

from dogcat.core.options import MOST_WORKERS, Options, option, refuse_unused
from dogcat.pictures.geometry import MAX_PIXELS, RESIZE_MODES


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
