"""Named sets of training options: the five runs of the source of this project's recipe, and a better one.

A preset is a dictionary from options of `dogcat.core.options.TrainingOptions` to values; what it does not name has the
option's default.
"""

from __future__ import annotations

from typing import Any

# What the source's five runs have in common: a graduation project of 2018 that fine-tuned Xception for Kaggle's
# "Dogs vs. Cats Redux". Keras' BatchNorm of that time took the statistics of the batch.
_SOURCE: dict[str, Any] = {
    "backbone": "xception",
    "batch_norm": "training",
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "batch_size": 128,
    "patience": 5,
    "augment": "source",
}

PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    # Chosen by cross-validation (docs/decisions/recipe.md).
    "best": {
        "feature_views": 2,
        "start_c": 0.01,
        "unfreeze_from": "auto",
        "batch_norm": "inference",
        "optimizer": "adamw",
        "learning_rate": 3e-5,
        "schedule": "cosine",
        "warmup_steps": 20,
        "batch_size": 32,
        "epochs": 3,
        "augment": "none",
        "flip": 0.5,
    },
    "top": {**_SOURCE, "head": "random", "epochs": 30},
    "continue": {**_SOURCE, "init_from": "top", "epochs": 50},
    "open2": {**_SOURCE, "init_from": "continue", "unfreeze_from": "116", "epochs": 50},
    "open4": {**_SOURCE, "init_from": "continue", "unfreeze_from": "96", "epochs": 50},
    "open4-sgd": {
        **_SOURCE,
        "init_from": "continue",
        "unfreeze_from": "96",
        "optimizer": "sgd",
        "momentum": 0.9,
        "epochs": 50,
    },
}
