from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import pytest
from PIL import Image

from dogcat.core import plot_style
from dogcat.training import plots
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.options import AugmentationRanges

from matplotlib import colors

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
    found = plots.reliability(np.array([0, 0, 1, 1, 1]), np.log(np.stack([1 - said + 1e-12, said + 1e-12], axis=1)))
    assert found.counts.tolist() == [3, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    np.testing.assert_allclose(found.said[[0, 5, 9]], [0.04, 0.55, 1.0])
    np.testing.assert_allclose(found.was[[0, 5, 9]], [1 / 3, 1.0, 1.0])
    assert np.isnan(found.said[1])


def test_reliability_of_more_classes_is_that_of_the_guess():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.62, 0.3, 0.08], [0.05, 0.05, 0.9]])
    found = plots.reliability(np.array([0, 1, 2]), np.log(probabilities))
    assert found.counts[[6, 9]].tolist() == [2, 1]
    np.testing.assert_allclose(found.was[[6, 9]], [0.5, 1.0])


@pytest.mark.parametrize("classes", [2, 3, 9])
def test_plots_are_drawn_on_white_and_on_black(classes):
    names = [f"class {number} $x$" for number in range(classes)]
    for draw in (plots.draw_calibration, plots.draw_roc):
        light, dark = (pixels(draw(*predictions(classes), names, on_black)) for on_black in (False, True))
        assert light.shape == dark.shape
        assert light[0, 0].min() == 255 and dark[0, 0].max() < 40


def pixels_of_colour(png, number):
    colour = [round(255 * part) for part in colors.to_rgb(plot_style.COLOURS[number])]
    return int((np.abs(pixels(png) - colour).max(-1) < 10).sum())


def test_a_class_alone_has_no_roc_curve():
    labels, log_probabilities = predictions(2)
    drawn = [plots.draw_roc(these, log_probabilities, ["a", "b"], False) for these in (labels, 0 * labels)]
    assert pixels_of_colour(drawn[0], 0) > 500 and pixels_of_colour(drawn[1], 0) == 0


def test_training_has_a_curve_from_epoch_1_on():
    many = EPOCHS[:1] + [dataclasses.replace(EPOCHS[1], epoch=number, loss=0.4 / number) for number in range(1, 30)]
    one, all_ = (plots.draw_curves(history, "", False) for history in (EPOCHS[:1], many))
    assert pixels_of_colour(all_, 0) > pixels_of_colour(one, 0) + 500


def test_augmented_versions_stand_below_their_pictures():
    colours = np.array([[(255, 0, 0), (0, 0, 255)], [(255, 255, 0), (0, 255, 255)]], np.uint8)
    pictures, version = colours[:, :, None, None].repeat(30, axis=2).repeat(30, axis=3)
    drawn = pixels(plots.draw_augmented(pictures, [version], AugmentationRanges(flip=0.5)))

    def place(colour):
        return np.argwhere((drawn == colour).all(-1)).mean(0)

    (first, second), (below_first, below_second) = [[place(colour) for colour in row] for row in colours]
    assert first[1] == below_first[1] < second[1] == below_second[1]
    assert first[0] == second[0] < below_first[0] == below_second[0]


def test_the_opening_of_layers_shows_in_the_curves():
    closed, opened = (pixels(plots.draw_curves(EPOCHS, layer, False)) for layer in ("", "block11"))
    assert closed.shape == opened.shape and (closed != opened).any()


def test_each_of_many_runs_has_a_curve_of_its_own():
    drawn = [pixels(plots.draw_overlay({f"_{i}": EPOCHS for i in range(count)}, False)) for count in (1, 8)]
    assert drawn[0].shape == drawn[1].shape and (drawn[0] != drawn[1]).any()


def test_runs_far_apart_are_drawn_on_a_logarithmic_scale():
    far = [dataclasses.replace(record, val_loss=record.val_loss / 1000) for record in EPOCHS]
    drawn = pixels(plots.draw_overlay({"one": far, "other": EPOCHS}, False))
    # Both curves fall on a logarithmic scale; on the other the lower one would be a flat line.
    orange, blue = (
        np.argwhere(np.abs(drawn[:, : drawn.shape[1] // 2] - colour).max(-1) < 10)[:, 0]
        for colour in ((0xE0, 0x7B, 0x1A), (0x3B, 0x8B, 0xC9))
    )
    assert np.ptp(blue[blue < 470]) > 15 and np.ptp(orange[orange < 470]) > 15
