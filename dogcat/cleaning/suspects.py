"""Pictures that a person should look at before training: which, why, and in which order. No TensorFlow."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence

import numpy as np

from dogcat.cleaning.duplicates import Copies
from dogcat.cleaning.fingerprints import Fingerprint
from dogcat.core import tables
from dogcat.dataset.encoding import Rejection

NEITHER, WRONG_LABEL, DUPLICATE, TINY, BLANK, UNREADABLE = KINDS = (
    "neither",
    "wrong label",
    "duplicate",
    "tiny",
    "blank",
    "unreadable",
)
# What may be suggested. The first two are acted upon when a person accepts all suggestions.
DROP, RELABEL, LOOK, FINE = "drop", "relabel", "look", "probably fine"
# Pictures of a smaller side, in pixels, are tiny; those of less contrast, in levels of 255, blank.
SMALLEST_SIDE = 32
LEAST_CONTRAST = 4.0
# Pictures that are less likely than this to be neither, or wrongly labelled, are no suspects.
_LEAST_SCORE = 0.05
# From these scores on a change is suggested. Among 100 to 2,002 pictures without faults no score was as high
# (docs/decisions/cleaning.md). Of neither: by features alone, and where a classifier was asked.
_DROPPED_BY_FEATURES, _DROPPED_BY_CLASSIFIER, _RELABELLED = 0.9, 0.5, 0.998
# Among fewer pictures some that are sound are far from all others, so features alone suggest nothing.
_FEWEST_FOR_FEATURES = 100
# Below it a picture is probably fine.
_WORTH_A_LOOK = 0.5
_FEWEST_SHOWN = 20
# The scores of what does not depend on a measure. A copy with another label is as bad as a wrong label, which one of
# the two has; one on both sides of the border to validation makes that look better than it is; what cannot be read
# never comes into a data set, so nobody need look at it.
_CONTRADICTORY, _NEARLY_CONTRADICTORY = 1.0, 0.95
_BLANK_SCORE, _ACROSS_SPLITS, _SAME_SPLIT, _TINY_SCORE, _UNREADABLE_SCORE = 0.9, 0.3, 0.2, 0.2, 0.1


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A picture to look at.

    Attributes:
        path: Its key.
        kind: What it may be, one of `KINDS`.
        score: How sure that is and how much it matters, 0 to 1; the order of the list.
        reason: Why, for a person.
        suggestion: `DROP`, `LOOK`, `FINE`, or `RELABEL` and the class after a blank.
        is_certain: Whether nobody need look.
        alike: Keys of the pictures that show why: copies of it, or the most alike ones.
        looks_like: The class that a wrong label may have to give way to; empty for other kinds.
    """

    path: str
    kind: str
    score: float
    reason: str
    suggestion: str
    is_certain: bool
    alike: list[str]
    looks_like: str = ""

    @property
    def changes(self) -> bool:
        """Whether the suggestion is to drop or to relabel it."""
        return self.suggestion not in (LOOK, FINE)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is known of n pictures that can be decoded; None where no method looked.

    Attributes:
        prints: Their fingerprints.
        labels: int [n], index into `classes`.
        classes: Names of the classes.
        in_validation: bool [n], whether the shard tool would put them into the validation split.
        copies: Copies among them.
        neither: float [n], how sure it is that none of the classes is shown, 0 to 1, by all methods together.
        far: float [n], the same by the features alone.
        held_out: float [n, classes], the probability of each class from a head that never saw the picture.
        similar: int [n, k], places of the most alike pictures, the most alike first.
        mislabelled: float [n], how sure it is that another class is right if one of them is shown, 0 to 1.
        pet_ranks: int [n], rank of the best pet class of a classifier of ImageNet.
        top_n: The rank from which on a picture is an outlier to that classifier.
    """

    prints: Sequence[Fingerprint]
    labels: np.ndarray
    classes: Sequence[str]
    in_validation: np.ndarray
    copies: Sequence[Copies]
    neither: np.ndarray
    far: np.ndarray | None = None
    held_out: np.ndarray | None = None
    similar: np.ndarray | None = None
    mislabelled: np.ndarray | None = None
    pet_ranks: np.ndarray | None = None
    top_n: int = 0


def find(evidence: Evidence, rejections: Sequence[Rejection]) -> list[Suspect]:
    """All suspects, what a person should see first before the others; each picture once, for its strongest reason."""
    found = [*_copies(evidence), *_without_content(evidence)]
    found += [
        Suspect(one.key, UNREADABLE, _UNREADABLE_SCORE, f"{one.reason}: {one.detail}", DROP, True, [])
        for one in rejections
    ]
    found += _neither(evidence)
    if evidence.mislabelled is not None:
        # Where no class is shown, no label is right.
        found += _mislabelled(evidence, evidence.mislabelled * (1 - evidence.neither))
    found.sort(key=lambda one: (-one.score, KINDS.index(one.kind), os.fsencode(one.path)))
    strongest: dict[str, Suspect] = {}
    for one in found:
        first = strongest.setdefault(one.path, one)
        if one is not first:
            strongest[one.path] = dataclasses.replace(
                first,
                reason=f"{first.reason}; also {one.kind}: {one.reason}",
                # That a picture is worth a look, or fine, in one respect is no answer to what is wrong in another.
                suggestion=min(first.suggestion, one.suggestion, key=_caution),
                looks_like=first.looks_like or one.looks_like,
                is_certain=first.is_certain or one.is_certain,
            )
    return list(strongest.values())


def _caution(suggestion: str) -> int:
    return (LOOK, FINE).index(suggestion) + 1 if suggestion in (LOOK, FINE) else 0


def _suggested(change: str, score: float, enough: float) -> str:
    """The suggestion for a score of 0 to 1: the change from `enough` on."""
    return change if score >= enough else LOOK if score >= _WORTH_A_LOOK else FINE


def as_csv(suspects: Sequence[Suspect]) -> bytes:
    """A line for each suspect, in order; ranks begin with 1."""
    rows = [
        (one.path, one.kind, f"{one.score:.6f}", rank, one.reason, one.suggestion)
        for rank, one in enumerate(suspects, 1)
    ]
    return tables.as_csv(("path", "kind", "score", "rank", "reason", "suggestion"), rows)


def _copies(evidence: Evidence) -> list[Suspect]:
    found = []
    for copies in evidence.copies:
        contradictory = len({int(evidence.labels[place]) for place in copies.places}) > 1
        crosses = len({bool(evidence.in_validation[place]) for place in copies.places}) > 1
        # Of copies with one label the largest stays.
        best = max(copies.places, key=lambda place: evidence.prints[place].width * evidence.prints[place].height)
        for place in copies.places:
            if place == best and not contradictory:
                continue
            others = [evidence.prints[other].key for other in copies.places if other != place]
            equal = next((equal for equal in copies.equal if place in equal), [place])
            # Whether one of two equal pictures must be labelled wrongly; a near copy may show something else.
            certain = len({int(evidence.labels[other]) for other in equal}) > 1
            exact = certain if contradictory else len(equal) > 1
            named = [evidence.prints[other].key for other in equal if other != place] if exact else others
            reason = f"{'equal pixel for pixel to' if exact else 'nearly equal to'} {named[0]}"
            if len(named) > 1:
                reason += f" and {len(named) - 1} more"
            if contradictory:
                score = _CONTRADICTORY if certain else _NEARLY_CONTRADICTORY
                reason += ", with different labels"
            else:
                score = _ACROSS_SPLITS if crosses else _SAME_SPLIT
            if crosses:
                reason += ", on both sides of the border to validation"
            key = evidence.prints[place].key
            found.append(Suspect(key, DUPLICATE, score, reason, DROP, certain, others))
    return found


def _without_content(evidence: Evidence) -> list[Suspect]:
    found = []
    for one in evidence.prints:
        if one.contrast < LEAST_CONTRAST:
            reason = f"nearly one colour, contrast {one.contrast:.1f} of 255"
            found.append(Suspect(one.key, BLANK, _BLANK_SCORE, reason, DROP, False, []))
        if min(one.width, one.height) < SMALLEST_SIDE:
            found.append(Suspect(one.key, TINY, _TINY_SCORE, f"{one.width}x{one.height} pixels", DROP, False, []))
    return found


def _neither(evidence: Evidence) -> list[Suspect]:
    found = []
    scores = evidence.neither
    listed = int((scores >= _LEAST_SCORE).sum())
    if evidence.similar is not None:
        # Among few pictures no one is far from all others.
        listed = max(listed, min(_FEWEST_SHOWN, len(scores) // 8))
    enough = _DROPPED_BY_CLASSIFIER if evidence.pet_ranks is not None else _DROPPED_BY_FEATURES
    if evidence.pet_ranks is None and len(scores) < _FEWEST_FOR_FEATURES:
        enough = math.inf
    for place in np.argsort(-scores, kind="stable")[:listed]:
        reasons, agreeing = [], 0
        if evidence.far is not None and evidence.held_out is not None:
            most = evidence.held_out[place].max()
            name = evidence.classes[int(evidence.held_out[place].argmax())]
            is_far = evidence.far[place] >= _WORTH_A_LOOK
            how_far = "far from all other pictures" if is_far else "farther from the others than most pictures"
            reasons.append(f"{how_far}; held-out probability of {name} {most:.3f}")
            agreeing += is_far
        if evidence.pet_ranks is not None:
            rank = int(evidence.pet_ranks[place])
            agreeing += rank >= evidence.top_n
            reasons.append(f"best cat or dog is number {rank + 1} of ImageNet's classes")
        key, score = evidence.prints[place].key, float(scores[place])
        certain = bool(agreeing == 2)
        suggestion = DROP if certain else _suggested(DROP, score, enough)
        alike = _alike(evidence, place)
        found.append(Suspect(key, NEITHER, score, ", ".join(reasons), suggestion, certain, alike))
    return found


def _mislabelled(evidence: Evidence, scores: np.ndarray) -> list[Suspect]:
    assert evidence.held_out is not None and evidence.similar is not None
    found = []
    for place in np.flatnonzero(scores >= _LEAST_SCORE).tolist():
        probabilities = evidence.held_out[place]
        other = int(np.where(np.arange(len(probabilities)) == evidence.labels[place], -1, probabilities).argmax())
        name = evidence.classes[other]
        agreeing = int((evidence.labels[evidence.similar[place]] == other).sum())
        reason = (
            f"held-out probability of {name} {probabilities[other]:.3f}, and {agreeing} of the "
            f"{len(evidence.similar[place])} most alike pictures are {name}"
        )
        key = evidence.prints[place].key
        score = float(scores[place])
        suggestion = _suggested(f"{RELABEL} {name}", score, _RELABELLED)
        found.append(Suspect(key, WRONG_LABEL, score, reason, suggestion, False, _alike(evidence, place), name))
    return found


def _alike(evidence: Evidence, place: int) -> list[str]:
    return [] if evidence.similar is None else [evidence.prints[other].key for other in evidence.similar[place]]
