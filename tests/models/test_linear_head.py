from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from dogcat.models import linear_head


def test_the_head_is_fitted_to_convergence():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(200, 20)).astype(np.float32)
    labels = (inputs[:, 0] + rng.normal(size=200) > 0).astype(int)
    kernel, bias = linear_head.fit_head(inputs, labels)
    assert kernel.shape == (20, 1) and bias.shape == (1,)

    def objective(weights):
        """Scikit-learn's: the penalty counts the kernel alone."""
        signed = np.where(labels == 1, -1, 1) * (inputs @ weights[:-1] + weights[-1])
        return np.logaddexp(0, signed).sum() + (weights[:-1] ** 2).sum() / (2 * linear_head.HEAD_C)

    best = optimize.minimize(objective, np.zeros(21), method="BFGS").x
    np.testing.assert_allclose(np.append(kernel, bias), best, atol=2e-3)
    np.testing.assert_array_equal(linear_head.apply_head(inputs, kernel, bias), inputs @ kernel + bias)


def test_the_head_of_three_classes_is_fitted_to_convergence():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(200, 10)).astype(np.float32)
    labels = (inputs[:, :3] + rng.normal(size=(200, 3))).argmax(axis=1)
    kernel, bias = linear_head.fit_head(inputs, labels)
    assert kernel.shape == (10, 3) and bias.shape == (3,)

    def objective(weights):
        """Softmax cross entropy; the penalty counts the kernel alone."""
        logits = inputs @ weights[:30].reshape(10, 3) + weights[30:]
        losses = special.logsumexp(logits, axis=1) - logits[np.arange(200), labels]
        return losses.sum() + (weights[:30] ** 2).sum() / (2 * linear_head.HEAD_C)

    best = optimize.minimize(objective, np.zeros(33), method="BFGS").x
    np.testing.assert_allclose(kernel, best[:30].reshape(10, 3), atol=2e-3)
    # A summand that all classes share is free.
    np.testing.assert_allclose(bias - bias.mean(), best[30:] - best[30:].mean(), atol=2e-3)


def test_balanced_classes_count_as_if_the_rare_one_were_repeated():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [60, 20])
    inputs = rng.normal(size=(80, 5)) + 0.5 * labels[:, None]
    balanced = linear_head.fit_head(inputs, labels, 0.3, balanced=True)
    # The weights are 2/3 and 2: those of repeating, 1 and 3, at a penalty 3/2 times as heavy.
    repeats = np.where(labels == 1, 3, 1)
    repeated = linear_head.fit_head(np.repeat(inputs, repeats, axis=0), np.repeat(labels, repeats), 0.2)
    for ours, theirs in zip(balanced, repeated):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize(("pictures", "c"), [(1, 3), (100, 3), (200, 1.5), (1000, 0.3), (25_000, 0.3)])
def test_fewer_pictures_are_penalised_less(pictures, c):
    assert linear_head.head_c(pictures) == pytest.approx(c)
