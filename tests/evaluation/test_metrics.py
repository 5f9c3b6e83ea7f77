"""Metrics against scikit-learn's."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import special
from sklearn import calibration, metrics

from dogcat.evaluation import bootstrap
from dogcat.evaluation import metrics as evaluation

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 500)
LOGITS = RNG.normal(0, 3, (500, 1))
PROBABILITIES = special.expit(LOGITS[:, 0])
LABELS_OF_FOUR = RNG.integers(0, 4, 500)
LOGITS_OF_FOUR = RNG.normal(0, 3, (500, 4))
PROBABILITIES_OF_FOUR = special.softmax(LOGITS_OF_FOUR, axis=1)


def test_probabilities():
    two = np.exp(evaluation.log_probabilities(LOGITS))
    np.testing.assert_allclose(two, np.stack([1 - PROBABILITIES, PROBABILITIES], axis=1), atol=1e-12)
    four = np.exp(evaluation.log_probabilities(LOGITS_OF_FOUR))
    np.testing.assert_allclose(four, PROBABILITIES_OF_FOUR, atol=1e-12)


def test_an_ensemble_of_known_logits():
    """Two models, the second with a temperature of 2: logits 1 and 3 (6 / 2), and of three classes likewise."""
    averaged = evaluation.averaged_log_probabilities
    logits = np.array([[[1.0], [6.0]]])
    of_logits, of_probabilities = (
        np.exp(averaged(logits, [1.0, 2.0], average)[0, 1]) for average in ("logits", "probabilities")
    )
    assert of_logits == pytest.approx(special.expit(2.0), abs=1e-12)
    assert of_probabilities == pytest.approx((special.expit(1.0) + special.expit(3.0)) / 2, abs=1e-12)
    logits = np.array([[[1.0, 0.0, 2.0], [6.0, 2.0, 0.0]]])
    of_logits, of_probabilities = (
        np.exp(averaged(logits, [1.0, 2.0], average)[0]) for average in ("logits", "probabilities")
    )
    np.testing.assert_allclose(of_logits, special.softmax([2.0, 0.5, 1.0]), atol=1e-12)
    mean = (special.softmax([1.0, 0.0, 2.0]) + special.softmax([3.0, 1.0, 0.0])) / 2
    np.testing.assert_allclose(of_probabilities, mean, atol=1e-12)
    # However sure one model is, nothing overflows.
    sure = averaged(np.array([[[2000.0], [0.0]]]), [1.0, 1.0], "probabilities")
    np.testing.assert_allclose(np.exp(sure), [[0.25, 0.75]], atol=1e-12)


def test_log_odds():
    two = evaluation.log_odds(evaluation.log_probabilities(LOGITS))
    np.testing.assert_allclose(two, np.hstack([-LOGITS, LOGITS]), atol=1e-9)
    four = evaluation.log_odds(evaluation.log_probabilities(LOGITS_OF_FOUR))
    np.testing.assert_allclose(four, special.logit(PROBABILITIES_OF_FOUR), atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "logits", "probabilities"),
    [(LABELS, LOGITS, PROBABILITIES), (LABELS_OF_FOUR, LOGITS_OF_FOUR, PROBABILITIES_OF_FOUR)],
    ids=["two classes", "four classes"],
)
def test_log_loss(labels, logits, probabilities):
    expected = metrics.log_loss(labels, probabilities)
    assert evaluation.log_loss_of_logits(labels, logits) == pytest.approx(expected, abs=1e-9)


def test_log_loss_of_logits_whose_probabilities_round_to_one():
    assert evaluation.log_loss_of_logits(np.array([0, 1]), np.array([[800.0], [800.0]])) == 400.0
    assert evaluation.log_loss_of_logits(np.array([0, 1]), np.array([[0.0, 800.0, 0.0], [0.0, 800.0, 0.0]])) == 400.0


def test_accuracy():
    assert evaluation.accuracy(LABELS, LOGITS) == metrics.accuracy_score(LABELS, PROBABILITIES > 0.5)
    expected = metrics.accuracy_score(LABELS_OF_FOUR, PROBABILITIES_OF_FOUR.argmax(axis=1))
    assert evaluation.accuracy(LABELS_OF_FOUR, LOGITS_OF_FOUR) == expected


def test_auc():
    assert evaluation.auc(LABELS, LOGITS) == pytest.approx(metrics.roc_auc_score(LABELS, LOGITS[:, 0]), abs=1e-9)
    expected = metrics.roc_auc_score(LABELS_OF_FOUR, PROBABILITIES_OF_FOUR, multi_class="ovr")
    assert evaluation.auc(LABELS_OF_FOUR, LOGITS_OF_FOUR) == pytest.approx(expected, abs=1e-9)
    assert np.isnan(evaluation.auc(np.ones(5, int), LOGITS[:5]))
    # Probabilities near 1 are equal where the logits still rank.
    assert evaluation.auc(np.array([0, 1]), np.array([[50.0], [51.0]])) == 1.0


def measure(labels, probabilities, weights=None, clip=0.01):
    """Metrics of one resample, [classes] or a number each."""
    weights = np.ones(len(labels)) if weights is None else weights
    evaluator = evaluation.Evaluator(labels, np.log(np.maximum(probabilities, np.finfo(np.float64).eps)), clip)
    overall, by_class = evaluator.measure(weights[np.newaxis].astype(np.float64))
    return {name: values[0] for name, values in overall.items()}, {name: v[0] for name, v in by_class.items()}


def both(positive):
    return np.stack([1 - positive, positive], axis=1)


def calibration_error(labels, probabilities, weights):
    """From scikit-learn's curve; weights are whole numbers, so that pictures can be repeated."""
    predicted = probabilities.argmax(axis=1)
    hits = np.repeat(predicted == labels, weights)
    confidence = np.repeat(probabilities.max(axis=1), weights)
    bins = evaluation.CALIBRATION_BINS
    share, mean = calibration.calibration_curve(hits, confidence, n_bins=bins)
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence), minlength=bins)
    return np.sum(np.abs(share - mean) * counts[counts > 0]) / len(hits)


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        (LABELS, both(PROBABILITIES)),
        (LABELS, both(PROBABILITIES.round(1))),
        (LABELS, both((PROBABILITIES > 0.3) * 1.0)),
        (LABELS_OF_FOUR, PROBABILITIES_OF_FOUR),
    ],
    ids=["two classes", "ties, 0 and 1", "only 0 and 1", "four classes"],
)
@pytest.mark.parametrize("resampled", [False, True])
def test_every_metric_equals_scikit_learn(labels, probabilities, resampled):
    n, classes = probabilities.shape
    weights = RNG.multinomial(n, np.full(n, 1 / n)) if resampled else np.ones(n, np.int64)
    overall, by_class = measure(labels, probabilities, weights)
    weighted = {"sample_weight": weights}
    predicted = probabilities.argmax(axis=1)
    clipped = evaluation.clip_probabilities(probabilities, 0.01)
    of_classes = range(classes)
    squares = [metrics.brier_score_loss(labels == c, probabilities[:, c], **weighted) for c in of_classes]
    aucs = [metrics.roc_auc_score(labels == c, probabilities[:, c], **weighted) for c in of_classes]
    precisions = [metrics.average_precision_score(labels == c, probabilities[:, c], **weighted) for c in of_classes]
    expected = {
        "log_loss": metrics.log_loss(labels, probabilities, **weighted),
        "log_loss_clipped": metrics.log_loss(labels, clipped, **weighted),
        "accuracy": metrics.accuracy_score(labels, predicted, **weighted),
        "roc_auc": np.mean(aucs),
        "average_precision": precisions[1] if classes == 2 else np.mean(precisions),
        "brier_score": squares[1] if classes == 2 else sum(squares),
        "expected_calibration_error": calibration_error(labels, probabilities, weights),
    }
    assert overall == pytest.approx(expected, abs=1e-9)
    expected_by_class = {
        "log_loss": [
            metrics.log_loss(
                labels[labels == c],
                probabilities[labels == c],
                sample_weight=weights[labels == c],
                labels=list(of_classes),
            )
            for c in of_classes
        ],
        "recall": metrics.recall_score(labels, predicted, average=None, **weighted),
        "precision": metrics.precision_score(labels, predicted, average=None, **weighted),
        "roc_auc": aucs,
        "average_precision": precisions,
    }
    assert by_class.keys() == expected_by_class.keys()
    for name, values in expected_by_class.items():
        np.testing.assert_allclose(by_class[name], values, rtol=0, atol=1e-9, err_msg=name)


def test_the_confusion_matrix_equals_scikit_learn():
    found = evaluation.confusion_matrix(LABELS_OF_FOUR, evaluation.log_probabilities(LOGITS_OF_FOUR))
    expected = metrics.confusion_matrix(LABELS_OF_FOUR, PROBABILITIES_OF_FOUR.argmax(axis=1))
    np.testing.assert_array_equal(found, expected)


def test_what_one_class_alone_leaves_undefined():
    overall, by_class = measure(np.ones(4, int), both(np.array([0.9, 0.8, 0.7, 0.4])))
    assert overall["accuracy"] == 0.75 and overall["average_precision"] == 1
    assert np.isnan(overall["roc_auc"])
    assert np.isnan(by_class["recall"][0]) and by_class["recall"][1] == 0.75
    assert by_class["precision"].tolist() == [0, 1]


def test_clipped_rows_are_probabilities():
    clipped = evaluation.clip_probabilities(np.array([[0.9, 0.1 - 1e-9, 1e-9], [0.5, 0.5, 0.0]]), 0.015)
    np.testing.assert_allclose(clipped.sum(axis=1), 1, atol=1e-12)
    assert clipped.min() >= 0.0098


def test_resamples_are_measured_quickly():
    labels = RNG.integers(0, 2, 2500)
    evaluator = evaluation.Evaluator(labels, evaluation.log_probabilities(RNG.normal(0, 3, (2500, 1))), 0.01)
    began = time.process_time()
    for weights in bootstrap.draw_weights(2500, 1000, 0):
        evaluator.measure(weights)
    assert time.process_time() - began < 10
