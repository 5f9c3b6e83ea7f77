"""Options of `tools.benchmark`."""

from __future__ import annotations

import dataclasses

from dogcat.core.bounds import Bounds
from dogcat.core.options import Options, option, workers_option
from dogcat.pictures.options import images_option


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions(Options):
    """Options of `tools.benchmark`."""

    subject: str = option(
        "shards",
        "What to measure.",
        choices=(
            "shards",
            "load",
            "disk",
            "bucket",
            "augment",
            "train",
            "trunk",
            "predict",
            "settings",
            "scaling",
            "device",
            "cluster",
            "memory",
            "all",
        ),
        positional=True,
    )
    images: str = images_option("Folder of pictures to measure on.", positional=False)
    pictures: int = option(
        2000,
        "Number of pictures to take, spread over the folder; with few, start-up weighs more.",
        bounds=Bounds(at_least=1, zero="for all"),
    )
    rounds: int = option(
        5,
        "How often each contestant runs, in turn with the others; one round would show no spread.",
        bounds=Bounds(at_least=2),
    )
    workers: int = workers_option("Number of worker processes of each contestant.")
    json: str = option("", "File for all figures, including those of each round. Empty: none.", path=True)
    chart: str = option("", "File to draw the chart in, .png, .svg or .pdf. Empty: none.", path=True)
    tfrecords: str = option(
        "",
        "Folder of a data set of two classes to measure train on. Empty: made from --images.",
        path=True,
        heading="Of single subjects",
    )
    steps: int = option(10, "Training steps of each run of train and trunk.", bounds=Bounds(at_least=1))
    seconds: float = option(
        4.0, "Seconds of each run of load, bucket, augment, scaling and device.", bounds=Bounds(above=0)
    )
    latency: float = option(
        20.0, "How long each answer of bucket takes at least.", bounds=Bounds(at_least=0, unit="milliseconds")
    )
    other_python: str = option(
        "",
        "The Python of another environment with dogcat, for settings: what its TensorFlow does beside this one. Empty: "
        "none.",
        path=True,
    )
    sizes: str = option(
        "2000,25000,250000",
        "Numbers of pictures for memory, each 300 or more, in rising order; the pictures are links to those of "
        "--images.",
    )
    peers: bool = option(
        False,
        "Measure peers too: OpenCV, FFCV and WebDataset; for load also DALI, PyTorch and MosaicML streaming; for "
        "augment DALI. `make peers` installs them.",
        heading="Peers",
    )
    peers_python: str = option(".venv-peers/bin/python", "The Python that has the peers.", path=True)

    @property
    def numbers(self) -> list[int]:
        """The numbers of --sizes."""
        return [int(word) for word in self.sizes.split(",")]

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used."""
        super().__post_init__()
        are_numbers = all(word.isdecimal() and len(word) < 16 and int(word) >= 300 for word in self.sizes.split(","))
        self.require("sizes", are_numbers, "use whole numbers of 300 or more with commas between them")
        self.require("sizes", self.numbers == sorted(set(self.numbers)), "let the numbers rise")
        self.require(
            "chart",
            not self.chart or self.subject not in ("scaling", "device", "memory"),
            f"{self.subject} has a table alone",
        )
        drawable = not self.chart or self.chart.lower().endswith((".png", ".svg", ".pdf"))
        self.require("chart", drawable, "give a name that ends in .png, .svg or .pdf")
