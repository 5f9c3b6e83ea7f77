"""Copies of the same picture among many: equal pixel for pixel, or nearly. No TensorFlow."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Callable

import numpy as np

from dogcat.cleaning.fingerprints import Fingerprint

# Of the 144 gradients of a picture, those that may differ in a copy. Among 2,023 pictures two different ones never
# differed in less than 24.
_MOST_DIFFERENT = 12
# Cosine of the features of a copy, at least.
_LEAST_ALIKE = 0.85
# Values of a block of products, 128 MiB.
_VALUES_AT_ONCE = 2**25


@dataclasses.dataclass(frozen=True)
class Copies:
    """Pictures that are one and the same.

    Attributes:
        places: Their places, two or more, ascending.
        equal: Of those whose pixels are equal, a list for each picture, of two places or more.
    """

    places: list[int]
    equal: list[list[int]]


def find(
    prints: Sequence[Fingerprint],
    directions: np.ndarray | None,
    least_contrast: float,
    digest: Callable[[str], bytes | None],
) -> list[Copies]:
    """The groups of copies, by their first place.

    Args:
        prints: Fingerprints of all pictures.
        directions: Their features, float32 [n, channels], of length 1, which must be alike too; None: not known.
        least_contrast: Pictures of less contrast are left out, since in these there is nothing to compare.
        digest: Gives the hash of all pixels of the picture of a key.
    """
    with_content = np.flatnonzero([one.contrast >= least_contrast for one in prints])
    groups: dict[int, list[int]] = {}
    first_of: dict[int, int] = {}
    for place, earlier in _nearest_earlier(prints, with_content):
        if directions is not None and directions[place] @ directions[earlier] < _LEAST_ALIKE:
            continue
        first = first_of.get(earlier, earlier)
        first_of[place] = first
        groups.setdefault(first, [first]).append(place)
    return [Copies(places, _equal(places, prints, digest)) for _, places in sorted(groups.items())]


def _nearest_earlier(prints: Sequence[Fingerprint], places: np.ndarray) -> list[tuple[int, int]]:
    """(place, that of the most alike picture before it) where these differ in few gradients, ascending."""
    if len(places) < 2:
        return []
    # A product is the number of equal gradients less that of different ones.
    signs = np.where(np.stack([prints[place].gradients for place in places]), np.float32(1), np.float32(-1))
    least = signs.shape[1] - 2 * _MOST_DIFFERENT
    at_once = max(1, _VALUES_AT_ONCE // len(places))
    found = []
    for start in range(0, len(places), at_once):
        rows = np.arange(start, min(start + at_once, len(places)))
        products = signs[rows] @ signs[: rows[-1] + 1].T
        products[rows[:, np.newaxis] <= np.arange(products.shape[1])] = -np.inf
        nearest = products.argmax(axis=1)
        for row, earlier in zip(rows, nearest):
            if products[row - start, earlier] >= least:
                found.append((int(places[row]), int(places[earlier])))
    return found


def _equal(places: list[int], prints: Sequence[Fingerprint], digest: Callable[[str], bytes | None]) -> list[list[int]]:
    """See `Copies.equal`."""
    of_digest: dict[bytes, list[int]] = collections.defaultdict(list)
    sizes = collections.Counter((prints[place].width, prints[place].height) for place in places)
    for place in places:
        one = prints[place]
        hashed = digest(one.key) if sizes[one.width, one.height] > 1 else None
        if hashed is not None:
            of_digest[hashed].append(place)
    return [equal for equal in of_digest.values() if len(equal) > 1]
