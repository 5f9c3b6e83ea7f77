"""What quantizing costs: a quantized file beside the model that it is of, on the same labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.evaluation import assess
from dogcat.evaluation.assess import Assessment, LabelledPredictions
from dogcat.library.trained_models import Model
from dogcat.models import tflite

from .judged_pictures import JudgedPictures


class Loss(NamedTuple):
    """What quantizing costs.

    Attributes:
        pictures: Number of pictures that both were judged on.
        source: Where these are from.
        assessment: Of the quantized file and, second, of the model.
    """

    pictures: int
    source: str
    assessment: Assessment

    def __str__(self) -> str:
        """All of it in a line."""
        parts = []
        for name, title, form in (("accuracy", "accuracy", ".2%"), ("log_loss", "log loss", ".4f")):
            quantized, original = (of.overall[name].value for of in self.assessment.models)
            change = self.assessment.differences[name]
            known = f", 95% interval {change.low:+{form}} to {change.high:+{form}}" if change.is_known else ""
            parts.append(f"{title} {quantized:{form}} instead of {original:{form}} ({change.value:+{form}}{known})")
        return f"on {self.pictures} pictures of {self.source}: {'; '.join(parts)}"


def measure(path: Path, file: Path, pictures: JudgedPictures) -> Loss:
    """Runs both on the same pictures.

    Args:
        path: The model.
        file: The quantized one.
        pictures: What both are judged on.
    """
    model = Model(path, precision="float32", engine="auto")
    tiny = np.finfo(np.float32).tiny
    of_both = [tflite.run(file, pictures.pixels), model.predict(pictures.pixels).probabilities]
    predictions = LabelledPredictions(
        source=pictures.source,
        keys=[str(number) for number in range(len(pictures.labels))],
        labels=pictures.labels,
        classes=model.classes,
        predicted_by=["quantized", "model"],
        log_probabilities=[np.log(np.maximum(probabilities.astype(np.float64), tiny)) for probabilities in of_both],
        left_out={},
    )
    return Loss(len(pictures.labels), pictures.source, assess.assess(predictions, assess.Scoring()))
