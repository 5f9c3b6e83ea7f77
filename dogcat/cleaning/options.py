"""Options of the survey and of cleaning."""

from __future__ import annotations

import dataclasses
from typing import Any

from dogcat.core.bounds import Bounds
from dogcat.core.cluster import cluster_option
from dogcat.core.options import Options, option, output_folder_option, refuse_unused, seed_option, workers_option
from dogcat.dataset.options import validation_option
from dogcat.models.backbones import BACKBONES
from dogcat.models.options import backbone_option
from dogcat.pictures.options import exclude_option, images_option, labels_option, max_pixels_option


@dataclasses.dataclass(frozen=True)
class SurveyOptions(Options):
    """Options of `tools.survey_images`."""

    images: str = images_option("Folder of pictures: a folder per class, or names like cat.0.jpg, or no classes.")
    output: str = output_folder_option("survey", "Folder for survey.html, survey.csv and the plots.")
    labels: str = labels_option()
    exclude: str = exclude_option("plots show the sizes with and without these pictures")
    max_pixels: int = max_pixels_option()
    workers: int = workers_option("Number of threads.")
    cluster: str = cluster_option("256 pictures each")

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> SurveyOptions:
        """Refuses what a cluster has no use for."""
        if given.get("cluster"):
            refuse_unused(given, ("workers",), "--cluster tells where; leave it out")
        return cls(**given)


@dataclasses.dataclass(frozen=True)
class CleaningOptions(Options):
    """Options of `tools.clean_images`."""

    images: str = images_option()
    output: str = output_folder_option("cleaning", "Folder for suspects.csv, review.html and exclude.txt.")
    method: str = option(
        "features",
        "How pictures are judged: features, by the features of the frozen backbone; imagenet, by a classifier of "
        "ImageNet's 1000 classes, to which a picture shows a cat or a dog only if one is among its --top_n best "
        "classes; all, by both.",
        choices=("features", "imagenet", "all"),
    )
    labels: str = labels_option()
    exclude: str = exclude_option("these pictures are left out, and stay in the new exclude.txt")
    auto: int = option(
        0,
        "How many suspects exclude.txt names, counted from the first one.",
        bounds=Bounds(at_least=1, zero="for only those that are certain"),
    )
    most: int = option(500, "Largest number of suspects to list.", bounds=Bounds(at_least=1))
    validation: float = validation_option(
        "Share of each class that goes to the validation split, as given to make_tfrecords: copies of a picture that "
        "would be in both splits are pointed out.",
    )
    seed: int = seed_option("Seed of that split, and of the folds on which the features are judged.")
    max_pixels: int = max_pixels_option()
    workers: int = workers_option("Number of threads that decode.")
    cluster: str = cluster_option("256 pictures each, and 16 batches for networks")
    classifier: str = option(
        "",
        "A .keras file with 1000 ImageNet outputs that takes pixels of 0 to 255. Empty: Xception with Keras' weights.",
        path=True,
        heading="How pictures are judged",
    )
    top_n: int = option(
        30,
        "Number of best classes among which the classifier must have a cat or a dog.",
        bounds=Bounds(at_least=1, at_most=999),
    )
    wild_cats: bool = option(False, "Count the classifier's lions, tigers and the like as cats too.")
    backbone: str = backbone_option("Network that computes the features.")
    weights: str = option(
        "imagenet",
        "Its weights: imagenet; none, for random weights; or a file without the top in Keras' HDF5 layout.",
        path=True,
    )
    image_size: int = option(
        0, "Side of the square pictures that it is given, in pixels; 0: the side that it was trained on."
    )

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> CleaningOptions:
        """Refuses the flags of a method that is not asked for, and what a cluster has no use for."""
        options = cls(**given)
        if options.cluster:
            refuse_unused(given, ("workers",), "--cluster tells where; leave it out")
        if options.method == "features":
            refuse_unused(given, ("classifier", "top_n", "wild_cats"), "goes with --method=imagenet or all")
        if options.method == "imagenet":
            refuse_unused(given, ("backbone", "weights", "image_size"), "goes with --method=features or all")
        return options

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used."""
        super().__post_init__()
        # Keras draws them from numbers that other threads of a worker take part in.
        are_the_same = not self.cluster or self.weights != "none"
        self.require("weights", are_the_same, "is drawn anew by each worker; give imagenet or a file with --cluster")
        smallest = BACKBONES[self.backbone].smallest_image
        size_fits = self.image_size == 0 or smallest <= self.image_size <= 4096
        self.require("image_size", size_fits, f"use {smallest} to 4096 pixels for {self.backbone}, or 0 for its own")
