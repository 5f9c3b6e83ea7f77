from __future__ import annotations

import numpy as np

from dogcat.cleaning import neighbours


def test_the_same_as_a_sort_of_all_pairs(monkeypatch):
    directions = neighbours.normalised(np.random.default_rng(0).normal(size=(50, 8)))
    similarities = directions @ directions.T
    np.fill_diagonal(similarities, -2)
    wanted = np.argsort(-similarities, axis=1, kind="stable")[:, :7]
    # Seven rows at a time.
    monkeypatch.setattr(neighbours, "_VALUES_AT_ONCE", 7 * 50)
    found = neighbours.nearest(directions, 7)
    np.testing.assert_array_equal(found.places, wanted)
    np.testing.assert_allclose(found.similarities, np.take_along_axis(similarities, wanted, 1), atol=1e-6)


def test_few_pictures_have_few_neighbours():
    found = neighbours.nearest(neighbours.normalised(np.eye(3)), 20)
    assert found.places.shape == (3, 2)
    np.testing.assert_array_equal(neighbours.normalised(np.zeros((1, 4))), np.zeros((1, 4)))
