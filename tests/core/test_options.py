from __future__ import annotations

import pytest

from dogcat.core.options import InputError
from dogcat.dataset.options import ShardOptions
from dogcat.prediction.options import EvaluationOptions, PredictionOptions
from dogcat.training import options as training_options
from tools.samples.options import SampleOptions


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
    ],
)
def test_a_bad_value_is_quoted_with_its_option(options_class, name, value):
    with pytest.raises(InputError) as caught:
        options_class(**{name: value})
    assert f"--{name}={value}" in str(caught.value)
    assert ": use " in str(caught.value) or ": draw " in str(caught.value)
