from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import pytest
from PIL import Image

from dogcat import run_plots
from dogcat.history import EpochRecord

EPOCHS = [
    EpochRecord(0, math.nan, math.nan, 0.5, 0.8, 0.9, math.nan, 9.0, 10.0, math.nan),
    EpochRecord(1, 0.4, 0.8, 0.3, 0.9, 0.95, 1e-4, 9.0, 10.0, 0.0),
]


def predictions(classes, count=60):
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, count)
    logits = random.normal(size=(count, classes)) + 2 * np.eye(classes)[labels]
    return labels, logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_reliability_of_two_classes_is_that_of_the_second():
    said = np.array([0.0, 0.05, 0.07, 0.55, 1.0])
    found = run_plots.reliability(np.array([0, 0, 1, 1, 1]), np.log(np.stack([1 - said + 1e-12, said + 1e-12], axis=1)))
    assert found.counts.tolist() == [3, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(found.said[[0, 5, 9]], [0.04, 0.55, 1.0])
    np.testing.assert_allclose(found.was[[0, 5, 9]], [1 / 3, 1.0, 1.0])
    assert np.isnan(found.said[1])


def test_reliability_of_more_classes_is_that_of_the_guess():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.62, 0.3, 0.08], [0.05, 0.05, 0.9]])
    found = run_plots.reliability(np.array([0, 1, 2]), np.log(probabilities))
    assert found.counts[[6, 9]].tolist() == [2, 1]
    np.testing.assert_allclose(found.was[[6, 9]], [0.5, 1.0])


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_plots_are_drawn_on_white_and_on_black(classes):
    names = [f"class {number} $x$" for number in range(classes)]
    for draw in (run_plots.draw_calibration, run_plots.draw_roc):
        light, dark = (pixels(draw(*predictions(classes), names, on_black)) for on_black in (False, True))
        assert light.shape == dark.shape
        assert light[0, 0].min() == 255 and dark[0, 0].max() < 40


def test_a_class_alone_has_no_roc_curve_and_no_fault():
    labels, log_probabilities = predictions(2)
    run_plots.draw_roc(np.zeros_like(labels), log_probabilities, ["a", "b"], False)


def test_the_opening_of_layers_shows_in_the_curves():
    closed, opened = (pixels(run_plots.draw_curves(EPOCHS, layer, False)) for layer in ("", "block11"))
    assert closed.shape == opened.shape and (closed != opened).any()
    run_plots.draw_curves(EPOCHS[:1], "", False)


def test_each_of_many_runs_has_a_curve_of_its_own():
    drawn = [pixels(run_plots.draw_overlay({f"_{i}": EPOCHS for i in range(count)}, False)) for count in (1, 8)]
    assert drawn[0].shape == drawn[1].shape and (drawn[0] != drawn[1]).any()


def test_runs_far_apart_are_drawn_on_a_logarithmic_scale():
    far = [dataclasses.replace(record, val_loss=record.val_loss / 1000) for record in EPOCHS]
    drawn = pixels(run_plots.draw_overlay({"one": far, "other": EPOCHS}, False))
    # Both curves fall on a logarithmic scale; on the other the lower one would be a flat line.
    orange, blue = (
        np.argwhere(np.abs(drawn[:, : drawn.shape[1] // 2] - colour).max(-1) < 10)[:, 0]
        for colour in ((0xE0, 0x7B, 0x1A), (0x3B, 0x8B, 0xC9))
    )
    assert np.ptp(blue[blue < 470]) > 15 and np.ptp(orange[orange < 470]) > 15
