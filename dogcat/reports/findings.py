"""What is found out about a finished run: how its best model does, and which pictures have the highest losses."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from dogcat.evaluation.assess import LabelledPredictions, ModelAssessment
from dogcat.training.finished_runs import FinishedRun

# Pictures of each of the two galleries.
MOST_SHOWN = 24
PICTURES_COLUMNS = ("picture", "class", "taken for", "probability of the class", "log loss")


@dataclasses.dataclass(frozen=True)
class Findings:
    """A run, and how its best model does on the validation split.

    Attributes:
        run: The run.
        predictions: What the best model predicts.
        assessment: How good that is.
        trained_on: Number of training pictures.
        opening: Name of the first layer of the backbone that trained; empty: none did.
    """

    run: FinishedRun
    predictions: LabelledPredictions
    assessment: ModelAssessment
    trained_on: int
    opening: str

    @property
    def losses(self) -> np.ndarray:
        """Log loss of each picture, [pictures]."""
        labels = self.predictions.labels
        return -self.predictions.log_probabilities[0][np.arange(len(labels)), labels]

    @property
    def predicted(self) -> np.ndarray:
        """Index of each picture's most probable class, [pictures]."""
        return self.predictions.log_probabilities[0].argmax(axis=1)

    @property
    def wrong(self) -> int:
        """Number of pictures that are taken for another class."""
        return int((self.predicted != self.predictions.labels).sum())


def worst_mistakes(findings: Findings) -> list[int]:
    """Places of the pictures that are taken for another class, those with the highest log loss first."""
    order = np.argsort(-findings.losses, kind="stable")
    return order[(findings.predicted != findings.predictions.labels)[order]][:MOST_SHOWN].tolist()


def least_certain(findings: Findings, without: Sequence[int]) -> list[int]:
    """Places of the pictures whose most probable class is the least probable, but for those of `without`."""
    order = np.argsort(findings.predictions.log_probabilities[0].max(axis=1), kind="stable")
    return [place for place in order.tolist() if place not in set(without)][:MOST_SHOWN]


def pictures_table(findings: Findings) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """Columns and rows of a table of all pictures, the highest losses first."""
    predictions, losses, predicted = findings.predictions, findings.losses, findings.predicted
    probabilities = np.exp(predictions.log_probabilities[0])
    rows = [
        (
            predictions.keys[place],
            predictions.classes[predictions.labels[place]],
            predictions.classes[predicted[place]],
            *(float(f"{value:.6g}") for value in (probabilities[place, predictions.labels[place]], losses[place])),
        )
        for place in np.argsort(-losses, kind="stable")
    ]
    return PICTURES_COLUMNS, rows
