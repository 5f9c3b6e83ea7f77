from __future__ import annotations

import io

import drawn_axes
import numpy as np
import pytest
from PIL import Image

from dogcat.reports import prediction_plots as plots

DRAW = (plots.draw_reliability, plots.draw_spread, plots.draw_roc, plots.draw_roc_corner)


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
    for draw in DRAW:
        light, dark = (pixels(draw(*predictions(classes), names, on_black)) for on_black in (False, True))
        assert light.shape == dark.shape
        assert light[0, 0].min() == 255 and dark[0, 0].max() < 40


def test_a_panel_that_says_nothing_is_not_drawn():
    labels, log_probabilities = predictions(2)
    names = ["a", "b"]
    one_class = [draw(0 * labels, log_probabilities, names, False) for draw in DRAW]
    assert one_class[2:] == [None, None] and one_class[1]
    perfect = np.log(np.where(np.eye(2)[labels] > 0, 0.9, 0.1))
    assert [draw(labels, perfect, names, False) for draw in DRAW[2:]] == [None, None]
    # A curve along the diagonal does not come near the corner.
    guessed = np.log(np.tile([0.5, 0.5], (60, 1)))
    assert (
        plots.draw_roc(labels, guessed, names, False) and plots.draw_roc_corner(labels, guessed, names, False) is None
    )
    assert plots.draw_reliability(labels[:19], log_probabilities[:19], names, False) is None


@pytest.fixture
def finished(monkeypatch):
    return drawn_axes.of_finished_plots(monkeypatch)


def test_the_roc_curve_and_its_zoom_are_called_that_and_keep_off_the_frame(finished):
    for draw in DRAW[2:]:
        draw(*predictions(2), ["a", "b"], False)
    assert [axes.get_title() for axes in finished] == ["ROC curve", "zoom: top-left 10%"]
    (left, right), (bottom, top) = finished[0].get_xlim(), finished[0].get_ylim()
    assert left < 0 and right > 1 and bottom < 0 and top > 1


@pytest.mark.parametrize(("pictures", "scale"), [(49, "linear"), (50, "log")])
def test_few_pictures_are_counted_on_a_linear_scale(finished, pictures, scale):
    labels, log_probabilities = predictions(2, pictures)
    for draw in DRAW[:2]:
        draw(labels, log_probabilities, ["a", "b"], False)
    assert [axes.get_yscale() for axes in finished] == ["linear", scale, scale]
    counted = finished[2].get_yticks()
    assert scale == "log" or all(tick == round(tick) for tick in counted)
