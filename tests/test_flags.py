from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from dogcat import flags
from dogcat.config import (
    BenchmarkOptions,
    CleaningOptions,
    EvaluationOptions,
    ExportOptions,
    InputError,
    InspectOptions,
    PredictionOptions,
    ReportOptions,
    ReproductionOptions,
    SampleOptions,
    ShardOptions,
    SurveyOptions,
    WeightsOptions,
)
from dogcat.training_options import TrainingOptions

ROOT = Path(__file__).parents[1]
ALL = (
    *(BenchmarkOptions, CleaningOptions, EvaluationOptions, ExportOptions, InspectOptions, PredictionOptions),
    *(ReportOptions, ReproductionOptions, SampleOptions, ShardOptions, SurveyOptions, TrainingOptions, WeightsOptions),
)


def test_flags_become_options():
    options = flags.parse(TrainingOptions, ["--unfreeze_from=96", "--optimizer=sgd", "--epochs", "3"])
    assert options == TrainingOptions(unfreeze_from="96", optimizer="sgd", epochs=3)


@pytest.mark.parametrize(
    ("options_class", "given", "said"),
    [
        (ShardOptions, ["--unlabeled", "--validation=0.5"], "--validation=0.5: with --unlabeled"),
        (InspectOptions, ["--preview_pictures=9"], "--preview_pictures=9: goes with --preview"),
        (CleaningOptions, ["--wild_cats"], "--wild_cats=True: goes with --method=imagenet or all"),
        (CleaningOptions, ["--method=imagenet", "--weights=none"], "--weights=none: goes with --method=features"),
        (EvaluationOptions, ["--images=a", "--split=test"], "--split=test: give it or --images"),
        (EvaluationOptions, ["--predictions=a", "--labels=b", "--tta=none"], "--tta=none: goes with a model"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(options_class, given, said):
    with pytest.raises(InputError, match=said):
        flags.parse(options_class, given)
    flags.parse(options_class, given[:-1])


def test_a_boolean_flag():
    assert flags.parse(ShardOptions, ["--overwrite"]).overwrite
    assert not flags.parse(ShardOptions, ["--nooverwrite"]).overwrite


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epoch=3"], "epochs"),
        (["--epochs=three"], "three"),
        (["--epochs=1.5"], "1.5"),
        (["data"], "'data'"),
        (["--optimizer=adagrad"], "adam, adamw, sgd"),
    ],
)
def test_what_cannot_be_parsed_is_named(arguments, said):
    with pytest.raises(InputError) as caught:
        flags.parse(TrainingOptions, arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [["--model=a", "--model", "b,c"], ["--model=a,b,c"]])
def test_a_flag_for_several_words_may_be_given_more_than_once(arguments):
    assert flags.parse(PredictionOptions, arguments) == PredictionOptions(model="a,b,c")


@pytest.mark.parametrize("arguments", [["some/where"], ["--folder=some/where"], ["--folder", "some/where"]])
def test_a_word_may_stand_for_the_positional_field(arguments):
    assert flags.parse(InspectOptions, arguments) == InspectOptions(folder="some/where")
    wanted = InspectOptions(folder="some/where", verify=True)
    assert flags.parse(InspectOptions, [*arguments, "--verify"]) == wanted
    assert flags.parse(InspectOptions, ["--verify", *arguments]) == wanted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["some", "where"], "'where' belongs to no flag"), (["some", "--folder=where"], "give one of the two")],
)
def test_more_than_one_word_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        flags.parse(InspectOptions, arguments)


def test_several_words_may_stand_for_a_positional_field_of_several():
    assert flags.parse(ReportOptions, ["a", "b", "--output=c"]) == ReportOptions(runs="a,b", output="c")
    assert flags.parse(ReportOptions, ["--runs=a", "--runs=b"]) == ReportOptions(runs="a,b")
    with pytest.raises(InputError, match="give one of the two"):
        flags.parse(ReportOptions, ["a", "--runs=b"])


def test_the_usage_names_the_positional_field():
    text = flags.help_text(InspectOptions, "this", "What it does.")
    assert text.startswith("Usage: this [folder] [--flag=value ...]\n")
    assert flags.help_text(ReportOptions, "this", "").startswith("Usage: this [runs ...] [--flag=value ...]\n")


@pytest.mark.parametrize("options_class", ALL)
def test_help_names_each_flag_with_its_default(options_class):
    text = flags.help_text(options_class, "python -m some.command", "What it does.")
    assert text.startswith("Usage: python -m some.command")
    assert "What it does." in text
    for field in dataclasses.fields(options_class):
        assert f"--{field.name}\n" in text
    assert " ".join(text.split()).count(" Default: ") == len(dataclasses.fields(options_class))


@pytest.mark.parametrize(
    "module",
    [
        *("dogcat.train", "dogcat.predict", "tools.make_tfrecords", "tools.inspect_tfrecords"),
        *("dogcat.evaluate", "tools.make_sample_images", "tools.fetch_weights", "tools.benchmark", "tools.reproduce"),
        "tools.make_report",
    ],
)
def test_help_of_each_command(run, module):
    done = run(module, "--help")
    assert done.code == 0
    assert done.err == ""
    usage, empty, about, *_ = done.out.splitlines()
    assert usage.startswith(f"Usage: python -m {module} [") and usage.endswith("[--flag=value ...]")
    assert empty == "" and about


def test_output_that_nobody_reads_is_no_error():
    command = [sys.executable, "-m", "dogcat.train", "--help"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141
