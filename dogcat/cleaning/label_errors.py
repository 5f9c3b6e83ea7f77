"""Which labels a model that never saw the picture, and the most alike pictures, contradict. No TensorFlow."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedKFold

from dogcat.evaluation import metrics
from dogcat.models import linear_head

FOLDS = 5
# Neighbours whose labels count.
NEIGHBOURS = 20


def held_out_probabilities(components: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities of each class, each picture's from a head that was fitted on other pictures.

    In two rounds: pictures whose own label is less likely than not teach nothing in the second, so that wrong labels do
    not vouch for each other (Northcutt et al. 2021, "Confident learning").

    Args:
        components: Float [n, channels].
        labels: int [n], of each class `FOLDS` pictures or more.
        seed: Seed of the folds.

    Returns:
        float64 [n, classes].
    """
    trusted = np.ones(len(labels), bool)
    first = _cross_validate(components, labels, trusted, seed)
    trusted = first[np.arange(len(labels)), labels] >= 0.5
    for label in np.unique(labels):
        # A class that nearly all contradict still has to be taught.
        if trusted[labels == label].sum() < FOLDS:
            trusted |= labels == label
    return _cross_validate(components, labels, trusted, seed)


def scores(held_out: np.ndarray, labels: np.ndarray, similar: np.ndarray) -> np.ndarray:
    """How sure it is that another class is right, float64 [n], 0 to 1.

    The probability of the most likely other class, times its share of the most alike pictures.

    Args:
        held_out: Float [n, classes].
        labels: int [n].
        similar: int [n, k], places of the most alike pictures.
    """
    places = np.arange(len(labels))
    others = held_out.copy()
    others[places, labels] = -1
    other = others.argmax(axis=1)
    return held_out[places, other] * (labels[similar] == other[:, np.newaxis]).mean(axis=1)


def _cross_validate(components: np.ndarray, labels: np.ndarray, trusted: np.ndarray, seed: int) -> np.ndarray:
    probabilities = np.empty((len(labels), labels.max() + 1))
    for fit_on, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(components, labels):
        teaches = trusted[fit_on]
        for label in np.unique(labels):
            # The trusted pictures of a class may all be among those held out.
            if not teaches[labels[fit_on] == label].any():
                teaches |= labels[fit_on] == label
        fit_on = fit_on[teaches]
        head = linear_head.fit_head(components[fit_on], labels[fit_on])
        logits = linear_head.apply_head(components[held_out], *head)
        log_probabilities = metrics.averaged_log_probabilities(logits[:, np.newaxis], [1.0], "logits")
        probabilities[held_out] = np.exp(log_probabilities)
    return probabilities
