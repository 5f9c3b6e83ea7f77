"""Metrics against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from dogcat import evaluation

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
