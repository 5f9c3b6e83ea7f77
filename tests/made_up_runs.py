"""Runs that never took place, and predictions of pictures that do not exist, for tests of what pages say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from dogcat.evaluation.assess import LabelledPredictions, Scoring
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.finished_runs import FinishedRun

FEW = Scoring(resamples=100)


def run_of(name="20260101-000000-best", digest="abc", **options):
    config = {
        **{"device": "Some Processor", "replicas": 1, "precision": "float32", "data_digest": digest, "commit": None},
        "versions": {"dogcat": "1"},
        "options": {"backbone": "vgg16", "preset": "best", "tfrecords": "data", **options},
    }
    history = [
        EpochRecord(0, math.nan, math.nan, 0.5, 0.8, 0.9, math.nan, 9.0, 10.0, math.nan),
        EpochRecord(1, 0.4, 0.8, 0.3, 0.9, 0.95, 1e-4, 9.0, 10.0, 0.25),
    ]
    summary = {"best": {"epoch": 1}, "epochs": 1, "seconds": {"training": 9.0, "saving": 1.0}, "input_wait": 0.25}
    return FinishedRun(Path(name), config, summary, history)


def predictions_of(classes, pictures, margin, wrong=0):
    """Pictures of each class in turn, the right class ahead by more and more; the last `wrong` ones behind."""
    labels = np.arange(pictures) % classes
    ahead = margin * (1 + np.arange(pictures) / pictures)
    ahead[pictures - wrong :] *= -1
    logits = ahead[:, None] * np.eye(classes)[labels]
    names = ["cat", "dog"] if classes == 2 else [f"class {number}" for number in range(classes)]
    keys = [f"{number}.jpg" for number in range(pictures)]
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return LabelledPredictions("data", keys, labels, names, ["a"], [log_probabilities], {})
