"""Metrics against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from dogcat import evaluation

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, 500)
LOGITS = RNG.normal(0, 3, 500)
PROBABILITIES = 1 / (1 + np.exp(-LOGITS))


def test_log_loss():
    expected = metrics.log_loss(LABELS, PROBABILITIES)
    assert evaluation.log_loss_of_logits(LABELS, LOGITS) == pytest.approx(expected, abs=1e-9)


def test_log_loss_of_a_logit_whose_probability_rounds_to_one():
    assert evaluation.log_loss_of_logits(np.array([0, 1]), np.array([800.0, 800.0])) == 400.0


def test_accuracy():
    expected = metrics.accuracy_score(LABELS, PROBABILITIES > 0.5)
    assert evaluation.accuracy(LABELS, LOGITS) == expected
