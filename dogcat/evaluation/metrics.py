"""How good predictions are, in NumPy: log loss, accuracy, ROC AUC and their companions, over many resamples at once.

Logits are those of the model's head: of class 1, [n, 1], for two classes; of each class, [n, classes], for more. From
`log_probabilities` on every class has its column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Bins of the calibration error, of equal width from 0 to 1; the number of Guo et al. (2017).
CALIBRATION_BINS = 15


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


def averaged_log_probabilities(logits: np.ndarray, temperatures: list[float], average: str) -> np.ndarray:
    """What the models of an ensemble say together, as logarithm of each class's probability, float64 [n, classes].

    Args:
        logits: [n, models, 1 or classes].
        temperatures: What each model's logits are divided by, above 0.
        average: `logits`, or `probabilities`: the mean of which it is.
    """
    calibrated = np.asarray(logits, np.float64) / np.array(temperatures)[:, np.newaxis]
    if average == "logits":
        return log_probabilities(calibrated.mean(axis=1))
    of_models = [log_probabilities(calibrated[:, number]) for number in range(len(temperatures))]
    return np.logaddexp.reduce(of_models) - np.log(len(temperatures))


def log_odds(log_probabilities: np.ndarray) -> np.ndarray:
    """Logarithm of each class's odds against the rest, of the same shape, [n, classes]."""
    classes = range(log_probabilities.shape[1])
    others = [np.logaddexp.reduce(np.delete(log_probabilities, label, axis=1), axis=1) for label in classes]
    return log_probabilities - np.stack(others, axis=1)


def clip_probabilities(probabilities: np.ndarray, clip: float) -> np.ndarray:
    """Keeps probabilities away from 0 and 1.

    Args:
        probabilities: [pictures, classes], each row's sum 1.
        clip: Least probability of each of two classes. That of one of `n` classes is `2 * clip / n`, so that the
            most probable one is left about as much whatever their number.

    Returns:
        Of the same shape; each row's sum is 1.
    """
    classes = probabilities.shape[1]
    least = 2 * clip / classes
    clipped = np.clip(probabilities, least, 1 - least * (classes - 1))
    return clipped / clipped.sum(axis=1, keepdims=True)


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
    once = np.ones((1, len(labels)))
    return float(np.mean([ranking.measure(once)[0] for ranking in _rankings(labels, log_probabilities(logits))]))


class Metrics(NamedTuple):
    """Metrics of some resamples.

    Attributes:
        overall: By name, float64 [resamples]; nan where a metric needs a class that does not occur.
        by_class: By name, float64 [resamples, classes]; nan likewise.
    """

    overall: dict[str, np.ndarray]
    by_class: dict[str, np.ndarray]


class Evaluator:
    """Predictions with the right classes, ready to be measured over resamples of their pictures."""

    def __init__(self, labels: np.ndarray, log_probabilities: np.ndarray, clip: float) -> None:
        """Computes what does not depend on the resample.

        Args:
            labels: Indices of the classes, [n].
            log_probabilities: float64 [n, classes], finite.
            clip: For the clipped log loss, as for `clip_probabilities`, above 0.
        """
        pictures = np.arange(len(labels))
        probabilities = np.exp(log_probabilities)
        classes = probabilities.shape[1]
        predicted = log_probabilities.argmax(axis=1)
        self._right = _one_hot(labels, classes)
        self._predicted = _one_hot(predicted, classes)
        # Of two classes Brier's score counts one, as it is usual; their errors are equal.
        squares = np.square(probabilities - self._right).sum(axis=1) / (2 if classes == 2 else 1)
        hits = (predicted == labels).astype(np.float64)
        # Mean over the pictures.
        self._means = {
            "log_loss": -log_probabilities[pictures, labels],
            "log_loss_clipped": -np.log(clip_probabilities(probabilities, clip)[pictures, labels]),
            "accuracy": hits,
            "brier_score": squares,
        }
        self._rankings = _rankings(labels, log_probabilities)
        confidence = probabilities[pictures, predicted]
        inner_edges = np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1]
        bins = _one_hot(np.searchsorted(inner_edges, confidence), CALIBRATION_BINS)
        self._gaps = bins * (hits - confidence)[:, np.newaxis]

    def measure(self, weights: np.ndarray) -> Metrics:
        """Measures resamples.

        `average_precision` is that of the second of two classes, as scikit-learn's, and the mean over more;
        `roc_auc` is the mean over the classes, each against the rest. `expected_calibration_error` compares the
        probability of the most probable class with the share of hits, bin by bin (Guo et al. 2017, "On Calibration of
        Modern Neural Networks"). `by_class` has the log loss of the class's pictures, recall, precision, and ROC AUC
        and average precision against the rest.

        Args:
            weights: How often each picture is in each resample, float64 [resamples, n], whole numbers; all 1: the
                pictures as they are.
        """
        total = weights.sum(axis=1)
        overall = {name: weights @ values / total for name, values in self._means.items()}
        overall["expected_calibration_error"] = np.abs(weights @ self._gaps).sum(axis=1) / total
        ranked = np.stack([ranking.measure(weights) for ranking in self._rankings], axis=-1)
        by_class = {"roc_auc": ranked[0], "average_precision": ranked[1]}
        overall["roc_auc"] = by_class["roc_auc"].mean(axis=1)
        precision = by_class["average_precision"]
        overall["average_precision"] = precision[:, 1] if precision.shape[1] == 2 else precision.mean(axis=1)
        hits = weights @ (self._right * self._predicted)
        pictures = weights @ self._right
        losses = self._right * self._means["log_loss"][:, np.newaxis]
        # A class without a picture, or never predicted, has no such share.
        with np.errstate(invalid="ignore"):
            by_class["log_loss"] = weights @ losses / pictures
            by_class["recall"] = hits / pictures
            by_class["precision"] = hits / (weights @ self._predicted)
        return Metrics(overall, by_class)


def confusion_matrix(labels: np.ndarray, log_probabilities: np.ndarray) -> np.ndarray:
    """Number of pictures by class (rows) and most probable class (columns), int64 [classes, classes]."""
    classes = log_probabilities.shape[1]
    cells = labels * classes + log_probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


class _Ranking:
    """The pictures in the order of a score, which is all that ROC AUC and average precision depend on.

    scikit-learn has both, for one resample at a time; this is the same arithmetic for many.
    """

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        """Takes a score of each picture, [n], the higher the more it looks positive, and which are, bool [n]."""
        self._order = np.argsort(scores)
        ordered = scores[self._order]
        # Pictures of equal score come as one step of the curve.
        self._steps = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._positive = positive[self._order]

    def measure(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ROC AUC and average precision, each float64 [resamples], nan where one kind of picture does not occur.

        Args:
            weights: As for `Evaluator.measure`.
        """
        ordered = weights[:, self._order]
        positives = np.add.reduceat(ordered * self._positive, self._steps, axis=1)
        negatives = np.add.reduceat(ordered, self._steps, axis=1) - positives
        all_positives = positives.sum(axis=1)
        # Pairs of a positive picture and a negative one in the right order; a tie is half a pair.
        pairs = (positives * (np.cumsum(negatives, axis=1) - negatives / 2)).sum(axis=1)
        from_top = positives[:, ::-1]
        found = np.cumsum(from_top, axis=1)
        taken = found + np.cumsum(negatives[:, ::-1], axis=1)
        # Where nothing is taken yet, nothing is positive either, and the term is 0.
        precisions = (from_top * found / np.maximum(taken, 1)).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return pairs / (all_positives * negatives.sum(axis=1)), precisions / all_positives


def _rankings(labels: np.ndarray, log_probabilities: np.ndarray) -> list[_Ranking]:
    """For each class the pictures by its log-odds, which rank also where probabilities near 1 are equal."""
    return [_Ranking(odds, labels == label) for label, odds in enumerate(log_odds(log_probabilities).T)]


def _one_hot(indices: np.ndarray, count: int) -> np.ndarray:
    """float64 [n, count]."""
    return (indices[:, np.newaxis] == np.arange(count)).astype(np.float64)
