"""Temperature and clip on predictions whose right ones are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from dogcat.evaluation import calibration, metrics


def draw(pictures, classes=2, seed=0):
    """Labels, and logits [pictures, classes] that are calibrated."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (pictures, classes))
    sums = special.softmax(logits, axis=1).cumsum(axis=1)
    return (generator.uniform(size=(pictures, 1)) > sums).sum(axis=1), logits


@pytest.mark.parametrize("classes", [2, 5])
def test_the_temperature_is_found_and_helps(classes):
    labels, logits = draw(6000, classes)
    fitted = calibration.fit_temperature(labels, metrics.log_probabilities(logits * 2.5), 200, 0)
    assert fitted.value == pytest.approx(2.5, rel=0.1)
    assert fitted.helped and fitted.gain.value == pytest.approx(fitted.before - fitted.after)
    assert (fitted.fitted_on, fitted.scored_on) == (3000, 3000)


def test_a_calibrated_model_is_left_alone():
    labels, logits = draw(6000)
    fitted = calibration.fit_temperature(labels, metrics.log_probabilities(logits), 200, 0)
    assert fitted.value == pytest.approx(1, rel=0.1)
    assert not fitted.helped


def test_it_is_scored_on_other_pictures_than_it_is_fitted_on():
    labels, logits = draw(400)
    log_probabilities = metrics.log_probabilities(logits * 2.5)
    first = calibration.fit_temperature(labels, log_probabilities, 200, 0)
    fitted, scored = np.array_split(np.random.default_rng(0).permutation(400), 2)
    changed = labels.copy()
    changed[scored] = 1 - changed[scored]
    second = calibration.fit_temperature(changed, log_probabilities, 200, 0)
    assert second.value == first.value and second.before != first.before
    changed = labels.copy()
    changed[fitted] = 1 - changed[fitted]
    third = calibration.fit_temperature(changed, log_probabilities, 200, 0)
    assert third.before == first.before and third.value != first.value


def test_a_model_without_an_error_does_not_become_infinitely_sure():
    labels = np.arange(200) % 2
    log_probabilities = metrics.log_probabilities((2.0 * labels - 1)[:, np.newaxis] * 3)
    fitted = calibration.fit_temperature(labels, log_probabilities, 200, 0)
    probabilities = np.exp(calibration.with_temperature(log_probabilities, fitted.value))
    # As sure as one error among the next pictures would make it.
    assert probabilities.max() == pytest.approx(1 - 1 / 52, abs=0.005)


def test_a_temperature_divides_the_logits():
    logits = np.random.default_rng(0).normal(0, 3, (50, 1))
    changed = calibration.with_temperature(metrics.log_probabilities(logits), 2.5)
    np.testing.assert_allclose(changed, metrics.log_probabilities(logits / 2.5), atol=1e-12)


def test_rounding_is_no_help():
    # No probability is near 0, so that every clip of the list leaves all as they are, but for their last digits.
    random = np.random.default_rng(0)
    log_probabilities = np.log(random.dirichlet(np.full(3, 50.0), size=54))
    labels = random.integers(0, 3, 54)
    for fit in (calibration.fit_clip, calibration.fit_temperature):
        assert not fit(labels, log_probabilities, 200, 0).helped


def test_a_clip_helps_a_model_that_is_sure_of_its_errors():
    labels, logits = draw(4000)
    sure = logits.copy()
    sure[:200] = np.where(labels[:200, np.newaxis] == [0, 1], -20, 20)
    log_probabilities = metrics.log_probabilities(sure)
    fitted = calibration.fit_clip(labels, log_probabilities, 200, 0)
    assert 0.02 < fitted.value < 0.2
    assert fitted.helped
    untouched = calibration.fit_clip(labels, metrics.log_probabilities(logits), 200, 0)
    assert untouched.value < 0.01 and not untouched.helped


def test_a_temperature_of_few_pictures_that_makes_it_worse_is_said_to():
    # The half that it is fitted on has the error, the other none.
    labels = np.arange(12) % 2
    fitted_on, _ = np.array_split(np.random.default_rng(0).permutation(12), 2)
    logits = 4.0 * (2 * labels - 1)
    logits[fitted_on[0]] *= -1
    fitted = calibration.fit_temperature(labels, metrics.log_probabilities(logits[:, np.newaxis]), 200, 0)
    assert fitted.after > fitted.before and not fitted.helped
    assert fitted.effect == "makes it worse"
