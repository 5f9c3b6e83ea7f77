from __future__ import annotations

import math

import numpy as np
from PIL import Image

from dogcat import report
from dogcat.history import EpochRecord
from dogcat.training_options import AugmentationRanges


def test_curves_are_drawn_for_one_epoch_and_for_many(tmp_path):
    history = [EpochRecord(0, math.nan, math.nan, 0.05, 1.0, 1.0, math.nan, 9.0, 10.0, math.nan)]
    report.draw_curves(history, tmp_path / "curves.png")
    one = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    history += [EpochRecord(i, 0.3 / i, 1 - 0.1 / i, 0.04, 0.99, 1.0, 1e-4, 9.0, 10.0, 0.0) for i in range(1, 30)]
    report.draw_curves(history, tmp_path / "curves.png")
    many = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert one.shape == many.shape
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]

    # Matplotlib's blue of the training curve: no point of it at epoch 0.
    def blue(pixels):
        return int((np.abs(pixels.astype(int) - (31, 119, 180)).max(-1) < 10).sum())

    assert blue(many) > blue(one) + 500


def test_augmented_versions_stand_below_their_pictures(tmp_path):
    colours = np.array([[(255, 0, 0), (0, 0, 255)], [(255, 255, 0), (0, 255, 255)]], np.uint8)
    pictures, version = colours[:, :, None, None].repeat(30, axis=2).repeat(30, axis=3)
    report.draw_augmented(pictures, [version], AugmentationRanges(flip=0.5), tmp_path / "augmented.png")
    assert [path.name for path in tmp_path.iterdir()] == ["augmented.png"]
    drawn = np.asarray(Image.open(tmp_path / "augmented.png").convert("RGB"))

    def place(colour):
        return np.argwhere((drawn == colour).all(-1)).mean(0)

    (first, second), (below_first, below_second) = [[place(colour) for colour in row] for row in colours]
    assert first[1] == below_first[1] < second[1] == below_second[1]
    assert first[0] == second[0] < below_first[0] == below_second[0]
