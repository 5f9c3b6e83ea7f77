from __future__ import annotations

import dataclasses
import math

import pytest

from dogcat.core import flags, help_text
from dogcat.core.bounds import Bounds
from dogcat.core.options import InputError, Options, option
from dogcat.dataset.options import ShardOptions
from dogcat.prediction.options import EvaluationOptions, PredictionOptions
from dogcat.training import options as training_options
from tools.make_sample_images import SampleOptions


@pytest.mark.parametrize(
    ("options_class", "name", "value"),
    [
        (ShardOptions, "quality", 0),
        (ShardOptions, "validation", 1.0),
        (ShardOptions, "workers", -1),
        (ShardOptions, "image_size", 8),
        (training_options.TrainingOptions, "learning_rate", 0.0),
        (training_options.TrainingOptions, "learning_rate", float("nan")),
        (training_options.TrainingOptions, "momentum", 1.0),
        (training_options.TrainingOptions, "batch_size", 0),
        (training_options.TrainingOptions, "optimizer", "adagrad"),
        (training_options.TrainingOptions, "precision", "float64"),
        (PredictionOptions, "clip", 0.5),
        (EvaluationOptions, "clip", 0.0),
        (EvaluationOptions, "resamples", 99),
        (SampleOptions, "train", 1),
        (training_options.AugmentationRanges, "shear", 90.0),
        (training_options.AugmentationRanges, "zoom", 1.0),
        (training_options.AugmentationRanges, "flip", -0.5),
        (training_options.AugmentationRanges, "rotate", 181.0),
        (training_options.AugmentationRanges, "shift", float("nan")),
        (training_options.AugmentationRanges, "brightness", 1.1),
        (training_options.TrainingOptions, "brightness", 1.1),
        (training_options.TrainingOptions, "save_minutes", math.inf),
        (training_options.TrainingOptions, "seed", 2**31),
        (training_options.TrainingOptions, "weights", ""),
    ],
)
def test_a_bad_value_is_quoted_with_its_option(options_class, name, value):
    with pytest.raises(InputError) as caught:
        options_class(**{name: value})
    assert f"--{name}={value}" in str(caught.value)
    assert ": use " in str(caught.value)


@pytest.mark.parametrize(
    ("bounds", "said", "right", "wrong"),
    [
        (Bounds(at_least=1), "1 or more", (1, 2**62), (0, -1)),
        (Bounds(at_least=1, unit="MiB"), "1 MiB or more", (1,), (0,)),
        (Bounds(at_least=1, zero="for all"), "1 or more, or 0 for all", (0, 1), (-1,)),
        (Bounds(at_least=1, at_most=100), "1 to 100", (1, 100), (0, 101)),
        (Bounds(at_least=0, at_most=180, unit="degrees"), "0 to 180 degrees", (0.0, 180.0), (-0.1, 180.1)),
        (Bounds(at_least=0, below=1, example=0.2), "at least 0 and less than 1, like 0.2", (0.0, 0.99), (-0.1, 1.0)),
        (Bounds(above=0, unit="GiB"), "more than 0 GiB", (1e-9, 1e9), (0.0, -1.0)),
        (
            Bounds(above=0, below=0.5, example=0.1, zero="for none"),
            "more than 0 and less than 0.5, like 0.1, or 0 for none",
            (0.0, 0.1, 0.49),
            (-0.1, 0.5),
        ),
    ],
)
def test_bounds_take_what_they_say(bounds, said, right, wrong):
    assert all(bounds.hold(value) for value in right)
    for value in wrong:
        assert not bounds.hold(value)
        assert bounds.advice(value) == f"use {said}"
    for value in (math.nan, math.inf, -math.inf):
        assert not bounds.hold(value)
        assert bounds.advice(value) == f"use a finite number, {said}"


@dataclasses.dataclass(frozen=True)
class Some(Options):
    share: float = option(0.0, "Share of all.", bounds=Bounds(at_least=0, below=1, example=0.2))
    count: int = option(0, "Number of all.", bounds=Bounds(at_least=2, zero="for each"))
    folder: str = option("here", "Folder of all.", if_empty="give a folder")


def test_bounds_are_declared_once():
    words = " ".join(help_text.help_text(Some, "this", "").split())
    assert "--share Share of all. Range: at least 0 and less than 1. Default: 0.0." in words
    assert "--count Number of all. Range: 2 or more, or 0 for each. Default: 0." in words
    for arguments, said in (
        (["--share=1"], "--share=1.0: use at least 0 and less than 1, like 0.2"),
        (["--share=nan"], "--share=nan: use a finite number, at least 0 and less than 1, like 0.2"),
        (["--count=1"], "--count=1: use 2 or more, or 0 for each"),
        (["--folder="], "--folder=: give a folder"),
    ):
        with pytest.raises(InputError) as caught:
            flags.parse(Some, arguments)
        assert str(caught.value) == said
