"""Options of prediction and evaluation."""

from __future__ import annotations

import dataclasses
from typing import Any

from dogcat.core.bounds import Bounds
from dogcat.core.cluster import cluster_option
from dogcat.core.options import Options, option, output_folder_option, refuse_unused, seed_option, words
from dogcat.core.text import did_you_mean
from dogcat.dataset.options import first_label_option, image_key_option, label_key_option, records_option
from dogcat.evaluation.assess import Scoring
from dogcat.models.options import (
    batch_size_option,
    engine_option,
    model_option,
    precision_option,
    strategy_option,
    tta_option,
)
from dogcat.pictures.options import TEST_FOLDER

# What a prediction tells of a picture besides its id and the probability.
PREDICTION_COLUMNS = ("path", "class", "logit", "probabilities")


# Options that tell how TFRecords of another program are read.
OF_FOREIGN_FILES = ("image_key", "label_key", "first_label")


@dataclasses.dataclass(frozen=True)
class PredictionOptions(Options):
    """Options of `dogcat.predict`."""

    model: str = model_option(
        " Several make an ensemble: with commas between them, as a pattern like 'runs/*-best', or in several flags.",
        several=True,
    )
    images: str = option(
        TEST_FOLDER,
        "Folder of pictures, one picture, a text file of paths, one per line (a line in double quotes is read as a "
        "JSON string), or - for such lines on standard input. The other way to give pictures is --tfrecords.",
        positional=True,
        path=True,
    )
    tfrecords: str = option(
        "",
        "Folder of a data set to predict, as make_tfrecords wrote it, or its address, like gs://bucket/set. Empty: "
        "--images.",
        path=True,
        remote=True,
    )
    split: str = option("", "Split of the data set. Empty: the only one there is.")
    output: str = option(
        "submission.csv",
        "File to write, .csv or .jsonl (one object per line): id,label; with more than two classes, id and a column "
        "for each class.",
        path=True,
    )
    tta: str = tta_option(
        "Test-time augmentation. flip averages the logits of each picture and its mirror image, in twice the time; "
        "none takes the picture alone."
    )
    resume: bool = option(False, "Go on where a prediction with this --output was stopped; if none was, begin one.")
    columns: str = option(
        "",
        f"Further columns, any of {', '.join(PREDICTION_COLUMNS)} with commas between them. path: relative to "
        "--images; class: the most probable one; logit: the logarithm of the odds, unclipped; probabilities: p_<class> "
        "for each class.",
        heading="What is written",
    )
    average: str = option(
        "logits",
        "What is averaged over the models of an ensemble, each with its own temperature.",
        choices=("logits", "probabilities"),
    )
    temperature: float = option(
        0.0, "What logits are divided by.", bounds=Bounds(above=0, zero="for what is stored with each model")
    )
    clip: float = option(
        0.001,
        "Keep each probability at least this far from 0 and from 1, so that one confident error does not spoil the log "
        "loss (more than two classes share twice this).",
        bounds=Bounds(above=0, below=0.5, example=0.001, zero="to leave them as they are"),
    )
    on_error: str = option(
        "prior",
        "What becomes of a picture that cannot be read: prior, a row with the same probability for each class; skip, "
        "no row; fail, the command ends.",
        choices=("prior", "skip", "fail"),
    )
    strict: bool = option(False, "End with exit code 3 if a picture could not be read.")
    batch_size: int = batch_size_option(32, "Pictures per step.")
    precision: str = precision_option()
    engine: str = engine_option()
    strategy: str = strategy_option()
    cluster: str = cluster_option("some batches each; the workers also see the models")

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
        """Raises InputError for a value that cannot be used, or for options that exclude each other."""
        super().__post_init__()
        self.require("images", bool(self.images) != bool(self.tfrecords), "give either it or --tfrecords")
        self.require("split", not self.split or self.tfrecords != "", "goes with --tfrecords")
        self.require("output", self.output.endswith((".csv", ".jsonl")), "use a name that ends in .csv or .jsonl")
        unknown = next((name for name in self.column_names if name not in PREDICTION_COLUMNS), "")
        wanted = f"use some of {','.join(PREDICTION_COLUMNS)}{did_you_mean(unknown, PREDICTION_COLUMNS)}"
        self.require("columns", set(self.column_names) <= set(PREDICTION_COLUMNS), wanted)


@dataclasses.dataclass(frozen=True)
class EvaluationOptions(Options):
    """Options of `dogcat.evaluate`."""

    model: str = model_option(positional=True)
    tfrecords: str = records_option(positional=False)
    split: str = option("validation", "Split of the data set; TFRecords of another program are one.")
    images: str = option(
        "",
        "Take a folder of pictures instead of a data set: a folder per class, or names like cat.0.jpg. Empty: none.",
        path=True,
    )
    against: str = option(
        "",
        "A second model, or with --predictions a second CSV, to compare with on the same pictures. Empty: none.",
        path=True,
    )
    output: str = output_folder_option("evaluation", "Folder for metrics.json and predictions.csv.")
    tta: str = tta_option("Test-time augmentation, as in dogcat.predict.")
    predictions: str = option(
        "",
        "Run no model: take its predictions from this CSV of dogcat.predict. Empty: none.",
        path=True,
        heading="Predictions of a file",
    )
    labels: str = option(
        "", "CSV with the columns id,label for --predictions; a label is the name of a class.", path=True
    )
    classes: str = option(
        "",
        "The two classes, like cat,dog, if --predictions has a column label, the probability of the second one. Empty: "
        "sorted by name.",
    )
    clip: float = option(
        0.001,
        "Clip of the clipped log loss, as in dogcat.predict.",
        bounds=Bounds(above=0, below=0.5, example=0.001),
        heading="Figures",
    )
    resamples: int = option(
        1000, "Number of bootstrap resamples that the intervals come from.", bounds=Bounds(at_least=100)
    )
    seed: int = seed_option(
        "Seed of the resamples, and of the halves that temperature and clip are fitted and scored on."
    )
    save_temperature: bool = option(
        False, "Store the fitted temperature with --model if it lowers the log loss by more than chance explains."
    )
    batch_size: int = batch_size_option(32, "Pictures per step.")
    precision: str = precision_option()
    engine: str = engine_option()
    strategy: str = strategy_option()
    cluster: str = cluster_option("some batches each; the workers also see the models")
    image_key: str = image_key_option(heading="TFRecords of other programs")
    label_key: str = label_key_option()
    first_label: str = first_label_option()

    @property
    def scoring(self) -> Scoring:
        """With what figures are measured."""
        return Scoring(self.clip, self.resamples, self.seed)

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> EvaluationOptions:
        """Refuses what other pictures, or none, would be described by."""
        if given.get("predictions"):
            of_models = (
                *(
                    "model",
                    "tfrecords",
                    "split",
                    *OF_FOREIGN_FILES,
                    "tta",
                    "batch_size",
                    "precision",
                    "engine",
                    "strategy",
                    "cluster",
                ),
            )
            refuse_unused(given, of_models, "goes with a model; --predictions runs none")
        elif given.get("images"):
            refuse_unused(given, ("tfrecords", "split", *OF_FOREIGN_FILES), "give it or --images, not both")
        return cls(**given)

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used, or for options that exclude each other."""
        super().__post_init__()
        self.require("images", not (self.images and self.predictions), "give it or --predictions, not both")
        self.require("labels", bool(self.labels) == bool(self.predictions), "give --predictions and --labels together")
        self.require("classes", not self.classes or self.predictions != "", "goes with --predictions")
        self.require(
            "save_temperature", not (self.save_temperature and self.predictions), "goes with --model; a CSV holds none"
        )
