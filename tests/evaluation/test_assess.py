"""Models compared on the same pictures, and how it is written and said."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from scipy import stats

from dogcat.evaluation import assess, results
from dogcat.evaluation import metrics as evaluation
from dogcat.evaluation.assess import LabelledPredictions, Scoring

OPTIONS = Scoring(resamples=300)


def predictions(*noises, pictures=400, classes=2):
    """What models predict that see the same signal under more or less noise of their own."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, pictures)
    signal = 4 * np.eye(classes)[labels] + generator.normal(0, 1, (pictures, classes))
    return LabelledPredictions(
        source="somewhere",
        keys=[f"{number}.jpg" for number in range(pictures)],
        labels=labels,
        classes=["cat", "dog", "owl", "pig"][:classes],
        predicted_by=[f"model {number}" for number in range(len(noises))],
        log_probabilities=[
            evaluation.log_probabilities(signal + generator.normal(0, noise, signal.shape)) for noise in noises
        ],
        left_out={},
    )


def test_equal_models_are_not_told_apart():
    alike = predictions(1.0)
    twice = LabelledPredictions(
        **{**vars(alike), "predicted_by": ["a", "b"], "log_probabilities": alike.log_probabilities * 2}
    )
    found = assess.assess(twice, OPTIONS)
    assert all(difference.value == 0 and not difference.is_known for difference in found.differences.values())
    assert "does not tell a and b apart" in results.verdict(twice, found)
    assert "nan" not in results.table(twice, found, OPTIONS)


def test_models_of_the_same_quality_are_not_told_apart():
    alike = predictions(1.0, 1.0)
    found = assess.assess(alike, OPTIONS)
    assert found.differences["log_loss_clipped"].value != 0
    assert "does not tell model 0 and model 1 apart" in results.verdict(alike, found)


@pytest.mark.parametrize(("noises", "better"), [((0.1, 3.0), "model 0"), ((3.0, 0.1), "model 1")])
def test_a_clearly_better_model_is_told_apart(noises, better):
    unlike = predictions(*noises)
    found = assess.assess(unlike, OPTIONS)
    assert f"tells them apart: {better} is better" in results.verdict(unlike, found)


def test_the_comparison_is_paired():
    """The same small difference on every picture shows, however much pictures differ among each other."""
    first = predictions(1.0)
    worse = first.log_probabilities[0].copy()
    pictures = np.arange(len(first.labels))
    worse[pictures, first.labels] -= 0.02
    worse -= np.logaddexp.reduce(worse, axis=1, keepdims=True)
    pair = LabelledPredictions(
        **{**vars(first), "predicted_by": ["a", "b"], "log_probabilities": [first.log_probabilities[0], worse]}
    )
    found = assess.assess(pair, OPTIONS)
    one, other = (model.overall["log_loss"] for model in found.models)
    assert one.high > other.low
    assert found.differences["log_loss"].high < 0


@pytest.mark.parametrize("classes", [2, 4])
def test_the_files_hold_all(classes):
    two = predictions(0.5, 1.0, classes=classes)
    found = assess.assess(two, OPTIONS)
    metrics = json.loads(results.metrics_json(two, found, OPTIONS))
    assert metrics["pictures"] == sum(metrics["counts"].values()) == 400
    for model in metrics["models"]:
        assert set(model["metrics"]) == {
            *("log_loss", "log_loss_clipped", "accuracy", "roc_auc", "average_precision", "brier_score"),
            "expected_calibration_error",
        }
        for interval in model["metrics"].values():
            # Resampling may leave a figure just outside of its interval, not far.
            assert interval["low"] <= interval["high"]
        assert model["metrics"]["log_loss"]["low"] < model["metrics"]["log_loss"]["value"]
        assert list(model["classes"]) == two.classes
        cells = np.array([[cell["value"] for cell in row] for row in model["confusion_matrix"]])
        assert cells.sum() == 400 and np.trace(cells) == 400 * model["metrics"]["accuracy"]["value"]
    assert metrics["comparison"]["verdict"] == results.verdict(two, found)

    rows = list(csv.DictReader(io.StringIO(results.predictions_csv(two))))
    assert [row["key"] for row in rows] == two.keys
    for prefix, model in zip(("", "against_"), metrics["models"]):
        assert np.mean([float(row[f"{prefix}loss"]) for row in rows]) == pytest.approx(
            model["metrics"]["log_loss"]["value"], abs=1e-6
        )
        sums = [sum(float(row[f"{prefix}p_{name}"]) for name in two.classes) for row in rows]
        assert sums == pytest.approx([1] * 400, abs=1e-6)

    shown = results.table(two, found, OPTIONS)
    for words in ("400 of somewhere", "ROC AUC", "class \\ predicted", "recall", "temperature", "clip"):
        assert words in shown
    assert max(map(len, shown.splitlines())) < 250


def test_what_is_not_defined_is_null_and_said():
    one = predictions(1.0)
    of_one_class = LabelledPredictions(**{**vars(one), "labels": np.ones_like(one.labels)})
    found = assess.assess(of_one_class, OPTIONS)
    metrics = json.loads(results.metrics_json(of_one_class, found, OPTIONS))["models"][0]
    assert metrics["metrics"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert "undefined" in results.table(of_one_class, found, OPTIONS)


def test_flawless_predictions_have_intervals_where_the_pictures_tell_one():
    few = predictions(0.0, pictures=12)
    flawless = [metrics_of_logits(few.labels, 5.0)]
    few = LabelledPredictions(**{**vars(few), "log_probabilities": flawless})
    found = assess.assess(few, OPTIONS)
    [model] = found.models
    # 0.05 ** (1 / 12).
    assert model.overall["accuracy"] == pytest.approx((1, 0.7791, 1), abs=1e-4)
    assert model.overall["roc_auc"].value == 1 and not model.overall["roc_auc"].is_known
    assert json.loads(results.metrics_json(few, found, OPTIONS))["models"][0]["metrics"]["roc_auc"] == {
        **{"value": 1.0, "low": None, "high": None}
    }
    shown = results.table(few, found, OPTIONS)
    [row] = [line for line in shown.splitlines() if "ROC AUC" in line]
    assert row.split() == ["ROC", "AUC", "1.0000", "-"] and "1.0000 to 1.0000" not in shown


def metrics_of_logits(labels, margin):
    """Log-probabilities of two classes, the right one ahead by so much."""
    return evaluation.log_probabilities(margin * (2.0 * labels[:, None] - 1))


def test_shares_have_one_kind_of_interval_wherever_they_are_told():
    found = assess.assess(predictions(2.0), OPTIONS).models[0]
    right = sum(found.confusion[label][label].value for label in range(2))
    test = stats.binomtest(int(right), 400).proportion_ci()
    assert found.overall["accuracy"] == pytest.approx((right / 400, test.low, test.high))
    of_cats = [cell.value for cell in found.confusion[0]]
    test = stats.binomtest(int(of_cats[0]), int(sum(of_cats))).proportion_ci()
    assert found.by_class[0]["recall"] == pytest.approx((of_cats[0] / sum(of_cats), test.low, test.high))


def test_the_same_seed_gives_the_same_bytes():
    one = predictions(1.0)
    written = [results.metrics_json(one, assess.assess(one, OPTIONS), OPTIONS) for _ in range(2)]
    assert written[0] == written[1]


def test_many_classes_are_left_to_the_file():
    many = predictions(1.0, classes=4)
    names = [f"class {number}" for number in range(12)]
    padded = np.hstack([many.log_probabilities[0], np.full((400, 8), -30.0)])
    more = LabelledPredictions(**{**vars(many), "classes": names, "log_probabilities": [padded]})
    found = assess.assess(more, OPTIONS)
    assert "in metrics.json" in results.table(more, found, OPTIONS)


def test_names_cannot_disturb_the_terminal():
    one = predictions(1.0)
    odd = LabelledPredictions(**{**vars(one), "classes": ["ca\x1b[31mt", "dog"], "source": "a\nb"})
    found = assess.assess(odd, OPTIONS)
    assert "\x1b" not in results.table(odd, found, OPTIONS)
