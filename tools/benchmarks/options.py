"""Options of `tools.benchmark`."""

from __future__ import annotations

import dataclasses

from dogcat.core.options import MOST_WORKERS, Options, option


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
