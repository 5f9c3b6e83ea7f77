from __future__ import annotations

import pytest

from dogcat import config
from dogcat.config import InputError


@pytest.mark.parametrize(
    ("options_class", "name", "value"),
    [
        (config.ShardOptions, "quality", 0),
        (config.ShardOptions, "validation", 1.0),
        (config.ShardOptions, "workers", -1),
        (config.ShardOptions, "image_size", 8),
        (config.TrainingOptions, "learning_rate", 0.0),
        (config.TrainingOptions, "learning_rate", float("nan")),
        (config.TrainingOptions, "momentum", 1.0),
        (config.TrainingOptions, "batch_size", 0),
        (config.TrainingOptions, "optimizer", "adagrad"),
        (config.TrainingOptions, "precision", "float64"),
        (config.PredictionOptions, "clip", 0.5),
        (config.SampleOptions, "train", 1),
        (config.AugmentationRanges, "shear", 90.0),
        (config.AugmentationRanges, "zoom", 1.0),
        (config.AugmentationRanges, "flip", -0.5),
        (config.AugmentationRanges, "rotate", 181.0),
        (config.AugmentationRanges, "shift", float("nan")),
        (config.AugmentationRanges, "brightness", 1.1),
    ],
)
def test_a_bad_value_is_quoted_with_its_option(options_class, name, value):
    with pytest.raises(InputError) as caught:
        options_class(**{name: value})
    assert f"--{name}={value}" in str(caught.value)
    assert ": use " in str(caught.value) or ": draw " in str(caught.value)
