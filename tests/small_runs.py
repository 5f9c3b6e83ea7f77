"""Small models and runs of training, with the tiny backbone and random weights."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_backbone  # noqa: F401, before the options that name the backbones

from dogcat.training.options import TrainingOptions


def save_model(
    path: Path,
    seed: int = 0,
    backbone: str = "tiny",
    image_size: int = 32,
    classes: Sequence[str] = ("cat", "dog"),
    temperature: float = 1.0,
    resize: str = "stretch",
    spread: float = 1.0,
) -> Path:
    """Saves a model with random weights, whose logits deviate by about `spread`; returns its path."""
    from tensorflow import keras

    from dogcat.models import architecture, model_files

    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(seed)
    model = architecture.build_model(backbone, image_size, len(classes))
    # With random weights features are tiny, and hardly differ.
    pictures = generator.integers(0, 256, (32, 1, 1, 3)) + generator.integers(-50, 50, (32, image_size, image_size, 3))
    features = architecture.features_model(model)(pictures.clip(0, 255).astype(np.uint8)).numpy()
    head = architecture.head_of(model)
    kernel = generator.normal(0, spread, head.kernel.shape) / np.linalg.norm(features.std(axis=0))
    head.set_weights([kernel, -(features @ kernel).mean(axis=0)])
    model_files.save(model, path, model_files.Description(list(classes), image_size, resize, backbone, temperature))
    return path


def small_run(tfrecords: Path, runs: Path, **changes: Any) -> TrainingOptions:
    """Options of a run of the tiny backbone with random weights, in float32 on one device: the head alone."""
    options = {
        "tfrecords": str(tfrecords),
        "runs": str(runs),
        "backbone": "tiny",
        "weights": "none",
        "batch_size": 8,
        "epochs": 0,
        "precision": "float32",
        "strategy": "one_device",
    }
    return TrainingOptions(**{**options, **changes})


def one_epoch(tfrecords: Path, runs: Path, **changes: Any) -> TrainingOptions:
    """Options of a run of one epoch of the tiny backbone's end."""
    wanted = {"unfreeze_from": "conv2", "optimizer": "sgd", "epochs": 1, "report": False}
    return small_run(tfrecords, runs, **{**wanted, **changes})


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Has training draw nothing, which takes longer than an epoch."""
    from dogcat.training import plots

    for name in ("draw_curves", "draw_augmented"):
        patch.setattr(plots, name, lambda *arguments, **others: b"")


def flags_of(wanted: TrainingOptions) -> list[str]:
    """All options as flags."""
    return [f"--{name}={value}" for name, value in dataclasses.asdict(wanted).items()]


def history_of(run: Path) -> list[dict[str, float]]:
    """The figures of each epoch of a run."""
    with open(run / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
