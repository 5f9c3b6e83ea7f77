"""Features of the frozen backbone, and the head fitted on them: seconds instead of epochs."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

# Inverse of the weight of the L2 penalty, as scikit-learn counts it: what is best for a thousand pictures and more.
HEAD_C = 0.3
# Fewer pictures want a larger one, about inversely: with the smaller they leave the head unsure of what it has right.
# Below a hundred there is little to gain, and much to lose where classes are hard to tell apart.
_PICTURES_TIMES_C, _LARGEST_C = 300, 3.0
_MOST_ITERATIONS = 2000


def head_c(pictures: int) -> float:
    """The inverse penalty that is best for so many training pictures, 1 or more (docs/decisions/recipe.md)."""
    return min(max(HEAD_C, _PICTURES_TIMES_C / pictures), _LARGEST_C)


def fit_head(
    features: np.ndarray, labels: np.ndarray, c: float = HEAD_C, balanced: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a logistic regression to convergence.

    Args:
        features: Float [n, channels]; of float64 no copy is made.
        labels: Indices of the classes, [n]; every class occurs.
        c: Inverse of the weight of the L2 penalty, above 0.
        balanced: Whether pictures are weighted so that all classes count alike.

    Returns:
        Kernel float32 [channels, 1 or classes] and bias float32 [1 or classes] of a dense layer that gives the logit
        of class 1 of two classes, or of each of more.
    """
    regression = LogisticRegression(C=c, max_iter=_MOST_ITERATIONS, class_weight="balanced" if balanced else None)
    regression.fit(np.asarray(features, np.float64), labels)
    return regression.coef_.T.astype(np.float32), regression.intercept_.astype(np.float32)


def apply_head(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Logits, float32 [n, 1 or classes]."""
    return features @ kernel + bias
