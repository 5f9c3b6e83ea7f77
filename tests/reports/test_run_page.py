"""What the pages say, of made-up runs; tests/reports/test_build.py makes them from real ones."""

from __future__ import annotations

import dataclasses
import html
import re
import shlex

import numpy as np
import pytest
from made_up_runs import FEW, predictions_of, run_of

from dogcat.core import flags
from dogcat.core.commands import COMMANDS
from dogcat.evaluation import assess
from dogcat.reports import comparison_page, plot_texts, recipe, run_page, verdict
from dogcat.reports.comparison_page import Scored
from dogcat.reports.findings import Findings, least_certain, worst_mistakes
from dogcat.reports.html import Plot
from dogcat.reports.run_page import Picture, Plots
from dogcat.training.options import TrainingOptions

PLOT = Plot(b"light", b"dark")


def findings_of(*arguments, **options):
    return findings_on(predictions_of(*arguments), **options)


def findings_on(predictions, **options):
    return Findings(run_of(**options), predictions, assess.assess(predictions, FEW).models[0], 1000, "block5_conv1")


def text_of(page):
    return " ".join(html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page.decode(), flags=re.DOTALL)).split())


def page_of(findings, plots=None):
    mistakes = worst_mistakes(findings)
    shown = mistakes + least_certain(findings, mistakes)
    picture = Picture(np.zeros((8, 8, 3), np.uint8), np.eye(2, dtype=np.float32))
    return text_of(run_page.render(findings, dict.fromkeys(shown, picture), plots or Plots(*[PLOT] * 6)))


def labelled(labels, *predicted, margin=1.0):
    """Predictions of two classes for pictures of these labels, each as sure as the others."""
    predictions = predictions_of(2, len(labels), margin)
    logits = margin * (2.0 * np.array(predicted)[:, None] - 1) * [-1, 1] / 2
    predictions.labels[:] = labels
    return dataclasses.replace(
        predictions, log_probabilities=[logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)]
    )


def headline(findings):
    return verdict.of_run(findings).headline


def test_the_galleries_have_each_picture_once_in_order():
    findings = findings_of(2, 60, 1.0, 3)
    mistakes = worst_mistakes(findings)
    # The three that are wrong, the surest of them first; then those that are right by least.
    assert mistakes == [59, 58, 57]
    assert least_certain(findings, mistakes) == list(range(24))


def test_a_page_says_what_is_wrong_and_what_it_costs():
    findings = findings_of(2, 60, 1.0, 3)
    text = page_of(findings)
    share = findings.losses[59] / findings.losses.sum()
    assert "wrong 3 of 60 pictures" in text and "The mistakes All of 3, the surest first, with " in text
    assert f"{share:.1%} of the whole" in text and "taken for cat , labelled dog" in text
    assert "25.00% of the training time went into waiting" in text
    assert "block5_conv1" in text


def test_the_verdict_comes_first_and_the_name_of_the_run_small():
    text = page_of(findings_of(2, 200, 3.0, 1))
    assert text.startswith("cat and dog: 99.5% right 99.5% right (97.2–99.9%)")
    assert text.index("99.5% right") < text.index("Run 20260101-000000-best")


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        (2, "Both right; too few to be sure (accuracy could be 22%)"),
        # 0.05 ** (1 / 12), and 0.95 ** 59 is 0.05.
        (12, "All 12 right; too few to be sure (accuracy could be 78%)"),
        (59, "All 59 right (accuracy above 95.0%)"),
        (3000, "All 3,000 right (accuracy above 99.9%)"),
    ],
)
def test_without_a_mistake_the_number_of_pictures_decides(pictures, said):
    findings = findings_of(2, pictures, 5.0)
    assert headline(findings) == said
    assert "1.0000 to 1.0000" not in page_of(findings) and "Mistakes" not in page_of(findings)


def test_a_model_that_guesses_is_said_to():
    by_chance = findings_on(labelled([0, 1] * 50, *[0, 0, 1, 1] * 25))
    assert headline(by_chance).startswith(
        "No better than chance: 50.0% right (39.8–60.2%), and always saying cat 50.0%"
    )
    lucky = findings_on(labelled([0, 1] * 10, *([0, 1] * 6 + [1, 0] * 4)))
    assert headline(lucky).startswith("Perhaps no better than chance: 60.0% right (36.1–80.9%), and always saying")
    constant = verdict.of_run(findings_on(labelled([0, 1, 1, 1] * 10, *[1] * 40)))
    assert (
        constant.headline.startswith("No better than chance: 75.0% right")
        and "always saying dog 75.0%" in constant.headline
    )
    assert constant.notes == ["It takes every picture for dog."]
    assert constant.title == "cat and dog: no better than chance"


def test_a_common_class_is_no_merit_but_ranking_is_told():
    # 90 of 100 are dogs, and all are taken for dogs; the cats are at the lower end of the probabilities.
    labels = np.array([0] * 10 + [1] * 90)
    predictions = predictions_of(2, 100, 1.0)
    predictions.labels[:] = labels
    logits = np.linspace(0.1, 2, 100)[:, None] * [-0.5, 0.5]
    logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    judged = verdict.of_run(findings_on(dataclasses.replace(predictions, log_probabilities=[logits])))
    assert judged.headline == "90.0% right, no better than always saying dog (90.0%)"
    assert judged.notes == [
        "It does rank pictures better than chance: ROC AUC 1.000, where 0.5 is chance.",
        "It takes every picture for dog.",
    ]


def test_probabilities_that_are_worse_than_none_are_said_to_be():
    # 90 of 100 are right, and the others wrong by e to the 40th.
    judged = verdict.of_run(findings_on(labelled([0, 1] * 50, *([1, 0] * 5 + [0, 1] * 45), margin=40.0)))
    assert judged.headline.startswith("90.0% right (82.4–95.1%)")
    assert "worse than none: their log loss is 4.0000, and that of the classes' shares 0.6931" in judged.notes[0]


def test_few_pictures_have_a_doubt_in_the_headline():
    assert "; too few pictures to be sure" in headline(findings_of(2, 30, 3.0, 3))
    assert "too few" not in headline(findings_of(2, 300, 3.0, 30))


def test_pictures_that_are_all_of_one_class_have_a_page():
    predictions = predictions_of(2, 20, 1.0)
    predictions.labels[:] = 0
    findings = findings_on(predictions)
    assert "undefined" in page_of(findings)
    assert headline(findings) == "All 20 validation pictures are cat: nothing to tell it from"
    assert "since a class has no picture" in page_of(findings, Plots(*[PLOT] * 4, None, None))


def test_a_plot_that_says_nothing_is_left_out():
    findings = findings_of(2, 12, 5.0)
    text = page_of(findings, Plots(None, None, None, PLOT, None, None))
    assert "no ROC curve to show: a threshold keeps" in text
    assert "12 pictures are too few for a reliability diagram" in text
    assert "logarithmic" not in text and "logarithmic" in page_of(findings_of(2, 60, 1.0, 3))


def test_a_temperature_is_worth_what_it_did():
    assert "A temperature is not fitted on so few pictures" in page_of(findings_of(2, 12, 5.0))
    findings = findings_of(2, 60, 1.0, 3)
    for before, after, said in ((0.5, 0.6, "makes it worse"), (0.5, 0.4, "does not help beyond chance")):
        gain = assess.Interval(before - after, -0.3, 0.2)
        fitted = findings.assessment.temperature._replace(before=before, after=after, gain=gain)
        worse = dataclasses.replace(findings, assessment=dataclasses.replace(findings.assessment, temperature=fitted))
        text = page_of(worse)
        assert f"{said}: on the other 30 the log loss goes from 0.5000 to {after:.4f}" in text
        assert "--save_temperature" not in text


def test_the_caption_of_the_curves_is_true():
    def caption(**options):
        return plot_texts.curves_caption(findings_of(2, 60, 1.0, **options))

    assert caption(flip=0.5, magnify=0.5).endswith(
        "Training figures are of augmented pictures, as the model was at each step; validation is after the epoch, on "
        "pictures magnified about their middle."
    )
    assert "augmented" not in caption(flip=0.0) and caption().endswith("on pictures as they are stored.")


def test_the_source_is_told_to_runs_on_its_pictures_alone():
    findings = findings_of(2, 60, 1.0, 3)
    assert "0.03855" not in page_of(findings)
    keys = [f"train/{'cat' if number % 2 else 'dog'}.{number}.jpg" for number in range(60)]
    of_kaggle = dataclasses.replace(findings, predictions=dataclasses.replace(findings.predictions, keys=keys))
    # Drawn pictures, or some of Kaggle's, have such names too.
    assert "0.03855" not in page_of(of_kaggle)
    text = page_of(dataclasses.replace(of_kaggle, trained_on=22_500))
    assert text.index("0.03855") > text.index("What it was made with")
    assert "0.03855" not in page_of(dataclasses.replace(findings, trained_on=22_500))


@pytest.mark.parametrize(
    "given",
    [
        ["--preset=best"],
        ["--preset=best", "--backbone=vgg16", "--epochs=1", "--noreport", "--seed=3"],
        ["--head=random", "--augment=strong", "--flip=0", "--weights=a b's.h5"],
        ["--preset=open4-sgd", "--augment=none", "--momentum=0.5"],
        ["--optimizer=adamw", "--weight_decay=0.1"],
    ],
)
def test_a_run_is_repeated_by_the_command_of_its_page(given):
    options = flags.parse(TrainingOptions, ["--tfrecords=my data", *given])
    run = run_of()
    run.config["options"] = dataclasses.asdict(options)
    called = shlex.split(recipe.command(run))
    assert " ".join(called[:3]) == f"python -m {COMMANDS['train']}"
    assert flags.parse(TrainingOptions, called[3:]) == options
    named, wanted = (
        {argument.split("=")[0].lstrip("-").removeprefix("no") for argument in arguments} - {"preset", "runs"}
        for arguments in (called[3:], given)
    )
    assert named == wanted | {"tfrecords"}


def test_options_of_a_damaged_file_have_a_command_all_the_same():
    run = run_of(augment=[], flip={}, seed="x")
    assert "--seed=x" in recipe.command(run) and "augment" not in recipe.command(run).replace("--augment=[]", "")


def test_options_that_differ_from_the_preset_come_before_the_others():
    run = run_of()
    run.config["options"] = dataclasses.asdict(flags.parse(TrainingOptions, ["--preset=best", "--seed=7"]))
    text = page_of(dataclasses.replace(findings_of(2, 60, 1.0, 3), run=run))
    assert "The preset best with these options changed: --seed 7 This trains again" in text
    assert text.index("The other options") < text.index("--learning_rate 3e-05")


def test_many_classes_are_told_by_what_is_confused_most():
    text = page_of(findings_of(14, 70, 3.0, 5))
    assert "What is taken for what most often" in text and "14 classes apart" in text


def compared(runs, margins, pictures=80):
    scored = [
        Scored(run, predictions_of(2, pictures, margin), plot_texts.AS_STORED, plot_texts.view_of(run))
        for run, margin in zip(runs, margins)
    ]
    return text_of(comparison_page.render(scored, [PLOT, PLOT]))


def test_a_best_run_is_named_where_the_data_tells_it_from_all_others():
    text = compared([run_of("a-1", seed=1), run_of("a-2", seed=2, magnify=0.5)], (1.0, 3.0))
    assert text.startswith("2 runs compared: 2 is the best")
    assert "apart from every other run. All are scored on the same 80 pictures as they are stored." in text
    assert "Some validated themselves on other views" in text
    assert re.search(r"a-1 -0\.\d+ -0\.\d+ to -0\.\d+ yes: it is worse", text)
    assert "--seed 1 2" in text and "--preset" not in text
    # The best epoch was chosen on another view.
    assert "0.3000, pictures magnified about their middle" in text


def test_without_a_best_run_there_is_no_clear_winner():
    runs = [run_of("a-1", seed=1), run_of("a-2", seed=2), run_of("a-3", seed=3)]
    text = compared(runs, (1.0, 3.0, 3.0))
    assert "No clear winner The data does not tell 2 and 3 apart; each other run is worse." in text
    assert "a-3 +0.0000 - no: they do not differ" in text
    assert "No clear winner The data does not tell 1, 2 and 3 apart. All are" in compared(runs, (3.0, 3.0, 3.0))
    assert "2 is ahead; 30 pictures are too few to be sure" in compared(runs[:2], (1.0, 3.0), pictures=30)


def test_runs_on_other_pictures_have_no_order():
    text = compared([run_of("a-1"), run_of("a-2", digest="other")], (1.0, 3.0))
    assert "No order: not all runs were validated on the same pictures" in text
    assert "told apart?" not in text and "best" not in text.split("The runs")[0].replace("--against", "")


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
