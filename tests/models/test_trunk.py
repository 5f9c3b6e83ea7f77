from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from dogcat.models import architecture, trunk


def model_of(name, first_open, size=96):
    keras.utils.set_random_seed(0)
    model = architecture.build_model(name, size, 2)
    architecture.open_layers(model, first_open)
    return model


def require_same_logits(model, split):
    """Both parts give what the whole model gives, to the last bit, and the model that is saved is the same."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, *model.input.shape[1:]), np.uint8)
    whole = architecture.logits_model(model)

    @tf.function(autograph=False)
    def both(pictures, training):
        return whole(pictures, training=training), split.logits(split.trunk(pictures), training)

    for training in (False, True):
        expected, found = both(pictures, training)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("first_open", "share"), [(4, 0.725), (7, 0.785), (10, 1.0)])
def test_both_parts_together_are_the_model(policy, first_open, share):
    keras.mixed_precision.set_global_policy(policy)
    model = model_of("tiny", first_open)
    before = model.to_json()
    split = trunk.split(model, first_open)
    assert (split.layers, split.share) == (first_open, pytest.approx(share, abs=0.0005))
    # Features are in float32 under any policy.
    assert split.shape[-1] == (2 if policy == "mixed_bfloat16" and share < 1 else 4)
    assert split.trunk(np.zeros((3, 96, 96, 3), np.uint8)).shape == (3, *split.shape)
    require_same_logits(model, split)
    assert model.to_json() == before


def test_a_border_inside_a_block_moves_down_to_its_beginning():
    model = model_of("xception", 105, 71)
    splits = {first_open: trunk.split(model, first_open) for first_open in (96, 97, 105, 106, 116, 120)}
    assert [split.layers for split in splits.values()] == [96, 96, 96, 106, 116, 116]
    assert [round(split.share, 2) for split in splits.values()] == [0.71, 0.71, 0.71, 0.78, 0.85, 0.85]
    require_same_logits(model, splits[105])


def test_where_all_trains_there_is_no_trunk():
    model = model_of("tiny", 0, 32)
    assert trunk.split(model, 0) is None
    # Nothing computes in the input.
    assert trunk.split(model, 1) is None
