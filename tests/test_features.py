from __future__ import annotations

import numpy as np
from scipy import optimize

from dogcat import features


def test_the_head_is_fitted_to_convergence():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(200, 20)).astype(np.float32)
    labels = (inputs[:, 0] + rng.normal(size=200) > 0).astype(int)
    kernel, bias = features.fit_head(inputs, labels)
    assert kernel.shape == (20, 1) and bias.shape == (1,)

    def objective(weights):
        """Scikit-learn's: the penalty counts the kernel alone."""
        signed = np.where(labels == 1, -1, 1) * (inputs @ weights[:-1] + weights[-1])
        return np.logaddexp(0, signed).sum() + (weights[:-1] ** 2).sum() / (2 * features.HEAD_C)

    best = optimize.minimize(objective, np.zeros(21), method="BFGS").x
    np.testing.assert_allclose(np.append(kernel, bias), best, atol=2e-3)
    expected = inputs @ kernel[:, 0] + bias[0]
    np.testing.assert_allclose(features.apply_head(inputs, kernel, bias), expected, rtol=1e-5)
