"""Which pictures are unlike all others, by their features. No TensorFlow."""

from __future__ import annotations

import numpy as np

from dogcat.cleaning.neighbours import Neighbours

# Components that hold nearly all the variance of a backbone's features: the rest costs time and tells nothing more.
_COMPONENTS = 256
# Of n pictures the neighbour of this number, or of this share of the square root of n, is the one that counts: outliers
# that are like each other must not vouch for each other, and among many pictures there are more of them.
_FEWEST_NEIGHBOURS, _OF_SQUARE_ROOT = 20, 2 / 3
# How many robust standard deviations from the median are as likely an outlier as not, and how sharply that changes.
_HALF, _SLOPE = 3.4, 2.0
# The least similarity that counts as one.
_LEAST_SIMILAR = 1e-3
# Makes the median of distances from the median a standard deviation, if they are normal.
_OF_NORMAL = 1.4826
# The same for the logarithm of a rank over that of the border.
_RANK_SLOPE = 2.0


def principal_components(features: np.ndarray) -> np.ndarray:
    """Features less their mean in the directions in which they vary most, float32 [n, up to 256].

    Args:
        features: float32 [n, channels].
    """
    centred = features - features.mean(axis=0)
    components = min(_COMPONENTS, len(features) - 1, features.shape[1])
    if len(features) < features.shape[1]:
        # The smaller of the two products has the same variances, and gives the components at once.
        variances, places = np.linalg.eigh((centred @ centred.T).astype(np.float64))
        kept = places[:, : -components - 1 : -1] * np.sqrt(np.maximum(variances[: -components - 1 : -1], 0))
        return kept.astype(np.float32)
    _, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    return centred @ directions[:, : -components - 1 : -1].astype(np.float32)


def neighbours_that_count(pictures: int) -> int:
    """Number of neighbours that `evidence_of_neighbours` needs."""
    return max(_FEWEST_NEIGHBOURS, round(_OF_SQUARE_ROOT * pictures**0.5))


def evidence_of_neighbours(near: Neighbours) -> np.ndarray:
    """Logarithm of the odds that a picture shows something else than all others, float64 [n].

    From the distance to its k-th neighbour (Ramaswamy et al. 2000, "Efficient algorithms for mining outliers from large
    data sets"), as the logarithm of the similarity in units of the usual spread.
    """
    distances = -np.log(np.maximum(near.similarities[:, -1].astype(np.float64), _LEAST_SIMILAR))
    from_median = distances - np.median(distances)
    spread = _OF_NORMAL * np.median(np.abs(from_median))
    return _SLOPE * (from_median / max(spread, np.finfo(np.float64).tiny) - _HALF)


def evidence_of_ranks(ranks: np.ndarray, top_n: int) -> np.ndarray:
    """The same from the rank of the best pet class of a classifier, int [n]; 0 at the rank `top_n`."""
    return _RANK_SLOPE * np.log((1 + ranks) / (1 + top_n))


def probability(evidence: np.ndarray) -> np.ndarray:
    """Logarithms of odds as values of 0 to 1."""
    return (1 + np.tanh(evidence / 2)) / 2
