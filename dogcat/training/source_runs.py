"""The five runs of the system that this project follows, as the report on it gives them.

A graduation project of 2018 (Udacity) that fine-tuned Xception on two GPUs for Kaggle's "Dogs vs. Cats Redux".
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class SourceRun:
    """A run as the source's report gives it.

    Attributes:
        preset: Name of the preset that repeats it.
        starts_from: What it starts from.
        trains: What it trains, and how.
        epochs: Epoch at which it stopped.
        best_epoch: Its best epoch.
        val_loss: Validation log loss of that epoch, measured on augmented pictures.
        seconds: Time on two GPUs.
        test_loss: Kaggle's log loss.
    """

    preset: str
    starts_from: str
    trains: str
    epochs: int
    best_epoch: int
    val_loss: float
    seconds: int
    test_loss: float


CLASSES = ["cat", "dog"]
SOURCE_RUNS = (
    SourceRun("top", "ImageNet", "the head, Adam 1e-4", 26, 21, 0.0853, 5330, 0.09701),
    SourceRun("continue", "top", "the head, Adam 1e-4", 14, 4, 0.0744, 2898, 0.08627),
    SourceRun("open2", "continue", "from layer 116, Adam 1e-4", 16, 6, 0.0165, 3312, 0.03855),
    SourceRun("open4", "continue", "from layer 96, Adam 1e-4", 12, 2, 0.0173, 2544, 0.03889),
    SourceRun("open4-sgd", "continue", "from layer 96, SGD 1e-4", 50, 49, 0.02, 10550, 0.04156),
)
