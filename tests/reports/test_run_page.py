"""What the pages say, of made-up runs; tests/reports/test_build.py makes them from real ones."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest
from made_up_runs import FEW, predictions_of, run_of

from dogcat.evaluation import assess
from dogcat.reports import comparison_page, run_page
from dogcat.reports.findings import Findings, highest_losses, least_certain
from dogcat.reports.html import Plot
from dogcat.reports.run_page import Picture

PLOT = Plot(b"light", b"dark")


def findings_of(*arguments, **options):
    predictions = predictions_of(*arguments)
    return Findings(run_of(**options), predictions, assess.assess(predictions, FEW).models[0], 1000, "block5_conv1")


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page.decode(), flags=re.DOTALL)).split())


def page_of(findings):
    highest = highest_losses(findings)
    shown = highest + least_certain(findings, highest)
    picture = Picture(np.zeros((8, 8, 3), np.uint8), np.eye(2, dtype=np.float32))
    return text_of(run_page.render(findings, dict.fromkeys(shown, picture), PLOT, PLOT, PLOT))


def test_the_galleries_have_each_picture_once_in_order():
    findings = findings_of(2, 60, 1.0, 3)
    highest = highest_losses(findings)
    uncertain = least_certain(findings, highest)
    # The three that are wrong, the surest of them first; then those that are right by least.
    assert highest == [59, 58, 57, *range(21)]
    assert uncertain == list(range(21, 45))


def test_a_page_says_what_is_wrong_and_what_it_costs():
    findings = findings_of(2, 60, 1.0, 3)
    text = page_of(findings)
    share = findings.losses[59] / findings.losses.sum()
    assert "wrong 3 of 60 pictures" in text and "The mistakes with the highest losses" in text
    assert f"{share:.1%} of the whole" in text and "taken for cat , labelled dog" in text
    assert "3 of them are taken for the wrong class" in text
    assert "25.00% of the training time went into waiting" in text
    assert "0.03855" in text and "block5_conv1" in text


def test_without_a_mistake_the_accuracy_has_a_bound_all_the_same():
    text = page_of(findings_of(2, 59, 5.0))
    # 0.95 ** 59 is 0.05.
    assert "accuracy 100.0% above 95.0% (95% sure)" in text and "The pictures with the highest losses" in text


def test_many_classes_are_told_by_what_is_confused_most():
    text = page_of(findings_of(14, 70, 3.0, 5))
    assert "What is taken for what most often" in text and "14 classes apart" in text
    assert "source's system" not in text


def test_pictures_that_are_all_of_one_class_have_a_page():
    predictions = predictions_of(2, 20, 1.0)
    predictions.labels[:] = 0
    found = Findings(run_of(), predictions, assess.assess(predictions, FEW).models[0], 1000, "")
    assert "undefined" in page_of(found)


def test_runs_are_compared_with_the_best_on_the_same_pictures_alone():
    runs = [run_of("a-1", seed=1), run_of("a-2", seed=2), run_of("a-3", seed=3), run_of("a-4", digest="other", seed=3)]
    predictions = [predictions_of(2, 80, margin) for margin in (1.0, 3.0, 3.0, 2.0)]
    text = text_of(comparison_page.render(runs, predictions, PLOT))
    assert "a-2 has the lowest validation log loss" in text
    assert re.search(r"a-1 -0\.\d+ -0\.\d+ to -0\.\d+ yes: it is better", text)
    assert "a-3 +0.0000 +0.0000 to +0.0000 no: the interval includes 0" in text
    assert "a-4 - - not to be said: validated on other pictures" in text
    assert "--seed 1 2 3 3" in text and "--preset" not in text


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["20260101-01-top", "20260101-02-best"], ["01-top", "02-best"]),
        (["one", "other"], ["one", "other"]),
        (["runs/a-b", "others/a-b"], ["runs/a-b", "others/a-b"]),
    ],
)
def test_names_in_a_legend(names, short):
    assert comparison_page.short_names([run_of(name) for name in names]) == short
