"""Names that would do harm as HTML, a formula, a template or a plot's mathematics, on every page in a real browser."""

from __future__ import annotations

import os

import numpy as np
import pytest
from conftest import draw
from made_up_runs import FEW, predictions_of, run_of

from dogcat.cleaning.options import SurveyOptions
from dogcat.cleaning.suspects import Suspect
from dogcat.evaluation import assess
from dogcat.pictures.geometry import MAX_PIXELS
from dogcat.reports import comparison_page, html, prediction_plots, run_page
from dogcat.reports.comparison_page import Scored
from dogcat.reports.findings import Findings, least_certain, worst_mistakes
from dogcat.reports.run_page import Picture, Plots
from dogcat.reports.wording import legend_names
from dogcat.training import plots
from dogcat.training.finished_runs import FinishedRun
from tools import survey_images
from tools.pages import review_page

# None has a slash, which no name of a file can have.
NAMES = [
    "<script>document.title='ran'<!--",
    "<img src=x onerror=document.title='ran'>",
    '"onmouseover="document.title=\'ran\'" x="',
    "' onfocus='document.title=1' autofocus='",
    "</title><style>*{display:none}".replace("/", "\u2215"),
    "javascript:document.title='ran'",
    "=cmd|' \u2215C calc'!A0",
    "{{ 7*7 }}{% raw %}${7*7}",
    "$x^{2$ \\frac{1}",
    "_leading and $odd dollar",
    "\u202egpj.tac\u202c\u2066\u200b",
    "line\nfeed\r\ttab\x1b[31m\x7f",
    os.fsdecode(b"latin-1 \xe9\xff"),
    "\u5b57" * 80,
    "x" * 250,
    "&lt;b&gt;&amp;&#60;script&#62;",
    "]]><!--><svg onload=document.title='ran'>",
]
COUNT = len(NAMES)


def assert_harmless(page):
    shown = page.shown
    assert page.errors == [] and page.outside == []
    assert shown.title() not in ("ran", "1")
    assert shown.locator("h1").first.is_visible()
    assert not page.is_wider_than_window()
    for event in ("onerror", "onload", "onfocus", "onmouseover", "autofocus"):
        assert shown.locator(f"[{event}]").count() == 0
    text = shown.locator("body").inner_text()
    assert "\u202e" not in text and "\x1b" not in text and "49" not in text.split()
    return text


def hostile_findings():
    predictions = predictions_of(COUNT, 3 * COUNT, 2.0, 9)
    predictions.keys[:] = [f"{NAMES[number % COUNT]}.{number}.jpg" for number in range(3 * COUNT)]
    predictions.classes[:] = NAMES
    return Findings(hostile_run(), predictions, assess.assess(predictions, FEW).models[0], 100, NAMES[0])


def hostile_run(number: int = 0) -> FinishedRun:
    run = run_of(f"runs/{number}-{NAMES[number]}", tfrecords=NAMES[1], preset=NAMES[2], weights=NAMES[number])
    run.config.update(device=NAMES[3], versions={NAMES[4]: NAMES[5]}, commit=NAMES[12])
    run.summary["seconds"] = {NAMES[6]: 1.0, NAMES[11]: 2.0}
    return run


def plots_of(findings):
    """The plots of a page, with names in them too."""
    given = (findings.predictions.labels, findings.predictions.log_probabilities[0])
    names = legend_names(findings.predictions.classes)
    history = findings.run.history
    return Plots(
        *(html.plot(lambda dark, name=name: plots.draw_curve(history, name, NAMES[8], dark)) for name in plots.FIGURES),
        *(
            html.plot(lambda dark, draw=draw: draw(*given, names, dark))
            for draw in (
                *(prediction_plots.draw_reliability, prediction_plots.draw_spread),
                *(prediction_plots.draw_roc, prediction_plots.draw_roc_corner),
            )
        ),
    )


@pytest.mark.parametrize("dark", [False, True])
def test_the_report_of_a_run(browser, tmp_path, dark):
    findings = hostile_findings()
    mistakes = worst_mistakes(findings)
    picture = Picture(np.zeros((8, 8, 3), np.uint8), np.eye(2, dtype=np.float32))
    shown = dict.fromkeys(mistakes + least_certain(findings, mistakes), picture)
    page = tmp_path / "report.html"
    page.write_bytes(run_page.render(findings, shown, plots_of(findings)))
    text = assert_harmless(browser.open(page, dark=dark))
    assert NAMES[1] in text and "\\u202egpj.tac" in text and "\\xff" in text


def test_the_comparison_of_runs(browser, tmp_path):
    runs = [hostile_run(number) for number in range(COUNT)]
    scored = [
        Scored(run, predictions_of(2, 40, 1.0 + number / 10), "a view", "another view")
        for number, run in enumerate(runs)
    ]
    curves = {name: run.history for name, run in zip(comparison_page.curve_names(runs), runs)}
    drawn = [html.plot(lambda dark, name=name: plots.draw_overlay(curves, name, dark)) for name in plots.FIGURES]
    page = tmp_path / "comparison.html"
    page.write_bytes(comparison_page.render(scored, drawn))
    assert NAMES[1] in assert_harmless(browser.open(page))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder for each name, with a picture of each name."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(NAMES):
        draw(folder, f"{name}/{NAMES[-number]}", size=(40, 30 + number))
        draw(folder, f"{name}/{number}.jpg")
    return folder


def test_the_review_of_suspects(browser, pictures, tmp_path):
    keys = [f"{name}/{number}.jpg" for number, name in enumerate(NAMES)]
    suspects = [Suspect(key, "neither", 0.9, NAMES[0], "drop", False, [keys[0]]) for key in keys]
    label_of = dict(zip(keys, NAMES))
    page = tmp_path / "review.html"
    after = (NAMES[2], NAMES[3])
    page.write_bytes(
        review_page.render(pictures, suspects, NAMES[1], label_of, NAMES, "", after, MAX_PIXELS, 2),
    )
    opened = browser.open(page)
    assert NAMES[1] in assert_harmless(opened)
    for key in ("k", "r", "ArrowRight", "d"):
        opened.shown.keyboard.press(key)
    assert_harmless(opened)


def test_the_survey_of_a_folder(browser, pictures, tmp_path):
    survey_images.survey_images(SurveyOptions(str(pictures), str(tmp_path / "out"), workers=2))
    assert_harmless(browser.open(tmp_path / "out" / "survey.html"))
    assert b"\n=cmd" not in (tmp_path / "out" / "survey.html").read_bytes()
