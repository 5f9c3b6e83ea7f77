from __future__ import annotations

import numpy as np
import pytest

from dogcat.cleaning import neighbours, outliers


@pytest.mark.parametrize("channels", [40, 400])
def test_components_keep_all_distances(channels):
    # Of 120 pictures with more channels than that the other product is taken.
    features = np.random.default_rng(0).normal(3, 1, (120, channels)).astype(np.float32)
    components = outliers.principal_components(features)
    assert components.shape == (120, min(channels, 119)) and components.dtype == np.float32

    def distances(rows):
        return np.linalg.norm(rows[:, np.newaxis] - rows, axis=2)

    np.testing.assert_allclose(distances(components), distances(features), atol=0.01)
    assert np.all(np.diff(components.var(axis=0)) <= 1e-3)


def test_what_is_like_nothing_comes_first_even_in_a_group():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(4, 64)) * 3
    features = np.concatenate([centre + generator.normal(size=(150, 64)) for centre in centres])
    # Five strangers, two of them alike.
    strangers = generator.normal(size=(5, 64)) * 3
    strangers[1] = strangers[0] + 0.1
    features = np.concatenate([features, strangers]).astype(np.float32)
    directions = neighbours.normalised(outliers.principal_components(features))
    near = neighbours.nearest(directions, outliers.neighbours_that_count(len(features)))
    evidence = outliers.evidence_of_neighbours(near)
    assert set(np.argsort(-evidence)[:5]) == set(range(600, 605))
    assert outliers.probability(evidence[600:]).min() > 0.5 > np.median(outliers.probability(evidence))


def test_evidence_of_ranks_is_even_at_the_border():
    probabilities = outliers.probability(outliers.evidence_of_ranks(np.array([0, 29, 30, 200]), 30))
    assert probabilities[2] == 0.5 and np.all(np.diff(probabilities) > 0)
    assert probabilities[0] < 0.01


def test_pictures_that_are_all_the_same_are_no_outliers():
    near = neighbours.nearest(neighbours.normalised(np.ones((30, 4))), 20)
    assert outliers.probability(outliers.evidence_of_neighbours(near)).max() < 0.01
