from __future__ import annotations

import dataclasses
import io
import math

import drawn_axes
import numpy as np
import pytest
from PIL import Image

from dogcat.core import plot_style
from dogcat.training import plots
from dogcat.training.augmentations import AugmentationRanges
from dogcat.training.epoch_records import EpochRecord

from matplotlib import colors

EPOCHS = [
    EpochRecord(0, math.nan, math.nan, 0.5, 0.8, 0.9, math.nan, 9.0, 10.0, math.nan),
    EpochRecord(1, 0.4, 0.8, 0.3, 0.9, 0.95, 1e-4, 9.0, 10.0, 0.0),
]


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def pixels_of_colour(png, number):
    colour = [round(255 * part) for part in colors.to_rgb(plot_style.COLOURS[number])]
    return int((np.abs(pixels(png) - colour).max(-1) < 10).sum())


def test_training_has_a_curve_from_epoch_1_on():
    many = EPOCHS[:1] + [dataclasses.replace(EPOCHS[1], epoch=number, loss=0.4 / number) for number in range(1, 30)]
    one, all_ = (plots.draw_curves(history, False) for history in (EPOCHS[:1], many))
    assert pixels_of_colour(all_, 0) > pixels_of_colour(one, 0) + 500
    one, all_ = (plots.draw_curve(history, "loss", "", False) for history in (EPOCHS[:1], many))
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
    closed, opened = (pixels(plots.draw_curve(EPOCHS, "loss", layer, False)) for layer in ("", "block11"))
    assert closed.shape == opened.shape and (closed != opened).any()


def test_each_of_many_runs_has_a_curve_of_its_own():
    drawn = [pixels(plots.draw_overlay({f"_{i}": EPOCHS for i in range(count)}, "loss", False)) for count in (1, 8)]
    assert drawn[0].shape == drawn[1].shape and (drawn[0] != drawn[1]).any()


def test_runs_far_apart_are_drawn_on_a_logarithmic_scale():
    far = [dataclasses.replace(record, val_loss=record.val_loss / 1000) for record in EPOCHS]
    drawn = pixels(plots.draw_overlay({"one": far, "other": EPOCHS}, "loss", False))
    # Both curves fall on a logarithmic scale; on the other the lower one would be a flat line.
    orange, blue = (
        np.argwhere(np.abs(drawn - colour).max(-1) < 10)[:, 0] for colour in ((0xE0, 0x7B, 0x1A), (0x3B, 0x8B, 0xC9))
    )
    assert np.ptp(blue[blue < 420]) > 15 and np.ptp(orange[orange < 420]) > 15


@pytest.fixture
def finished(monkeypatch):
    return drawn_axes.of_finished_plots(monkeypatch)


def epochs_of(losses, accuracies):
    return [
        dataclasses.replace(EPOCHS[1], epoch=number, loss=loss, val_loss=loss, accuracy=accuracy, val_accuracy=accuracy)
        for number, (loss, accuracy) in enumerate(zip(losses, accuracies))
    ]


def test_an_axis_says_its_values_without_an_offset(finished):
    # A model that does not learn.
    plots.draw_curves(epochs_of(math.log(2) + np.array([0, 1e-9, 3e-9]), [0.5] * 3), False)
    for axes in finished:
        assert axes.yaxis.get_offset_text().get_text() == ""
        ticks = [text.get_text() for text in axes.get_yticklabels()]
        assert len(set(ticks)) == len(ticks) >= 2 and max(map(len, ticks)) <= 6


@pytest.mark.parametrize(
    ("losses", "accuracies"),
    [([0.4, 0.0, 0.0], [0.5, 1.0, 1.0]), ([0.0] * 3, [1.0] * 3), ([40.0, 3.0, 0.001], [0.0, 0.2, 1.0])],
)
def test_curves_keep_off_the_frame(finished, losses, accuracies):
    plots.draw_curves(epochs_of(losses, accuracies), False)
    for axes, values in zip(finished, (losses, accuracies)):
        low, high = axes.get_ylim()
        room = 0.03 * (high - low)
        assert low + room < min(values) and max(values) < high - room
        # There is room beyond them, and no value.
        assert min(axes.get_yticks()) >= 0 and (values is losses or max(axes.get_yticks()) <= 1)
