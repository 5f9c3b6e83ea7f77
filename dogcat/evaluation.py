"""Log loss and accuracy of predictions, in NumPy."""

from __future__ import annotations

import math

import numpy as np
import sklearn.metrics


def log_loss_of_logits(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean log loss, exact also where the probability would round to 0 or 1.

    Args:
        labels: 0 or 1, [n].
        logits: Of class 1, [n].
    """
    sign = np.where(np.asarray(labels) == 1, -1.0, 1.0)
    return float(np.mean(np.logaddexp(0, sign * np.asarray(logits, np.float64))))


def accuracy(labels: np.ndarray, logits: np.ndarray) -> float:
    """Share of pictures whose logit has the right sign."""
    return float(np.mean((np.asarray(logits) > 0) == (np.asarray(labels) == 1)))


def auc(labels: np.ndarray, logits: np.ndarray) -> float:
    """Area under the ROC curve; nan where the labels have one class alone."""
    if len(np.unique(labels)) < 2:
        return math.nan
    return float(sklearn.metrics.roc_auc_score(labels, logits))
