"""Options of the survey and of cleaning."""

from __future__ import annotations

import dataclasses
from typing import Any

from dogcat.core.options import MOST_WORKERS, Options, option, refuse_unused
from dogcat.models.backbones import BACKBONES
from dogcat.pictures.geometry import MAX_PIXELS


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
