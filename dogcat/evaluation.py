"""Probabilities of logits, their log loss and accuracy, in NumPy.

Logits are those of the model's head: of class 1, [n, 1], for two classes; of each class, [n, classes], for more.
"""

from __future__ import annotations

import math

import numpy as np
import sklearn.metrics


def log_probabilities(logits: np.ndarray) -> np.ndarray:
    """Logarithm of each class's probability, float64 [n, classes]; finite also where the probability rounds to 0.

    Args:
        logits: [n, 1 or classes].
    """
    logits = np.asarray(logits, np.float64)
    if logits.shape[1] == 1:
        # The sigmoid of a logit is the softmax of 0 and the logit.
        logits = np.hstack([np.zeros_like(logits), logits])
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def log_loss_of_logits(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean log loss.

    Args:
        labels: Indices of the classes, [n].
        logits: [n, 1 or classes].
    """
    return float(-np.mean(log_probabilities(logits)[np.arange(len(labels)), labels]))


def accuracy(labels: np.ndarray, logits: np.ndarray) -> float:
    """Share of pictures whose most probable class is the right one; arguments as for `log_loss_of_logits`."""
    return float(np.mean(log_probabilities(logits).argmax(axis=1) == labels))


def auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """Area under the ROC curve; of more than two classes the mean over the classes, each against the rest.

    Args:
        labels: Indices of the classes, [n].
        logits: [n, 1 or classes].

    Returns:
        0 to 1; nan where a class does not occur.
    """
    logits = np.asarray(logits)
    probabilities = np.exp(log_probabilities(logits))
    if len(np.unique(labels)) < probabilities.shape[1]:
        return math.nan
    # The logit ranks where probabilities near 1 are equal.
    scores = logits[:, 0] if logits.shape[1] == 1 else probabilities
    return float(sklearn.metrics.roc_auc_score(labels, scores, multi_class="ovr"))
