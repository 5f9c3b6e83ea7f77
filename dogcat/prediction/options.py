"""Options of prediction and evaluation."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from dogcat.core.options import Options, option, refuse_unused, words
from dogcat.evaluation.assess import Scoring
from dogcat.models.options import TTA, engine_option, precision_option, strategy_option

# What a prediction tells of a picture besides its id and the probability.
PREDICTION_COLUMNS = ("path", "class", "logit", "probabilities")


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

    @property
    def scoring(self) -> Scoring:
        """With what figures are measured."""
        return Scoring(self.clip, self.resamples, self.seed)

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
