"""The most alike pictures of each picture, by their features: blocked matrix products, in NumPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Similarities that are in memory at a time, 128 MiB.
_VALUES_AT_ONCE = 2**25


class Neighbours(NamedTuple):
    """The pictures that are most alike to each of n pictures, the most alike first, itself left out.

    Attributes:
        places: int32 [n, k], their places.
        similarities: float32 [n, k], cosines of the features, -1 to 1.
    """

    places: np.ndarray
    similarities: np.ndarray


def normalised(features: np.ndarray) -> np.ndarray:
    """Features as float32 of length 1, [n, channels]; a row of zeros stays one."""
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def nearest(directions: np.ndarray, k: int) -> Neighbours:
    """The k most alike pictures of each, equal ones in the order of their places.

    Args:
        directions: float32 [n, channels], as `normalised` gives them.
        k: Number of neighbours; of few pictures there are n - 1.
    """
    n = len(directions)
    k = min(k, n - 1)
    places = np.empty((n, k), np.int32)
    similarities = np.empty((n, k), np.float32)
    at_once = max(1, _VALUES_AT_ONCE // n)
    for first in range(0, n, at_once):
        rows = slice(first, min(first + at_once, n))
        block = directions[rows] @ directions.T
        own = np.arange(rows.stop - first)
        block[own, first + own] = -np.inf
        found = np.sort(np.argpartition(block, n - k, axis=1)[:, n - k :], axis=1)
        values = np.take_along_axis(block, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        places[rows] = np.take_along_axis(found, order, axis=1)
        similarities[rows] = np.take_along_axis(values, order, axis=1)
    return Neighbours(places, similarities)
