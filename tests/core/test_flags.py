from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest
import tensorflow as tf

from dogcat.cleaning.options import CleaningOptions, SurveyOptions
from dogcat.core import flags, help_text
from dogcat.core.options import InputError
from dogcat.dataset.options import ShardOptions
from dogcat.prediction.options import EvaluationOptions, PredictionOptions
from dogcat.training.options import TrainingOptions
from tools.benchmarks.options import BenchmarkOptions
from tools.export_model import ExportOptions
from tools.fetch_weights import WeightsOptions
from tools.inspect_tfrecords import InspectOptions
from tools.make_report import ReportOptions
from tools.make_sample_images import SampleOptions
from tools.reproduce import ReproductionOptions

ROOT = Path(__file__).parents[2]
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
        (CleaningOptions, ["--wild_cats"], "--wild_cats: goes with --method=imagenet or all"),
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
        (["data", "more"], "'more'"),
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
    text = help_text.help_text(InspectOptions, "this", "What it does.")
    assert text.startswith("Usage: this [folder] [--flag=value ...]\n")
    assert "\n  --folder, or as a bare word\n" in text
    assert help_text.help_text(ReportOptions, "this", "").startswith("Usage: this [runs ...] [--flag=value ...]\n")


@pytest.mark.parametrize("options_class", ALL)
def test_help_names_each_flag_with_its_default(options_class):
    text = help_text.help_text(options_class, "python -m some.command", "What it does.", full=True)
    assert text.startswith("Usage: python -m some.command")
    assert "What it does." in text
    for field in dataclasses.fields(options_class):
        assert re.search(rf"^  --(\[no\])?{field.name}(, or as a bare word)?$", text, re.MULTILINE)
    assert " ".join(text.split()).count(" Default: ") == len(dataclasses.fields(options_class))


@pytest.mark.parametrize("options_class", ALL)
def test_every_number_has_bounds(options_class):
    for field in dataclasses.fields(options_class):
        # Which sizes are right depends on the backbone.
        if field.type in ("int", "float") and (options_class.__name__, field.name) != ("CleaningOptions", "image_size"):
            assert field.metadata["bounds"].hold(field.default), field.name


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


def paths_of(options_class):
    return [field.name for field in dataclasses.fields(options_class) if field.metadata["path"]]


# What a value of each flag has to be beside others for the class to take it.
BESIDE = {
    (InspectOptions, "preview"): ("/x.png", []),
    (InspectOptions, "output"): ("/x", ["--show=key"]),
    (CleaningOptions, "classifier"): ("/x", ["--method=all"]),
    (ExportOptions, "images"): ("/x", ["--format=tflite", "--quantize=int8"]),
    (PredictionOptions, "output"): ("/x.csv", []),
    (EvaluationOptions, "predictions"): ("/x", ["--labels=y"]),
    (EvaluationOptions, "labels"): ("/x", ["--predictions=y"]),
    (BenchmarkOptions, "chart"): ("/x.png", []),
    (TrainingOptions, "config"): ("/x", []),
}
PATH_FLAGS = [(options_class, name) for options_class in ALL for name in paths_of(options_class)]


# The key of a picture; and what may be an address.
NO_PATHS = ("show", "cluster")


def test_what_help_calls_a_file_or_a_folder_is_a_path():
    for options_class in ALL:
        for field in dataclasses.fields(options_class):
            first_words = field.metadata["help"].split(".")[0]
            if field.type == "str" and re.search(r"\b([Ff]ile|Folder)\b", first_words) and field.name not in NO_PATHS:
                assert field.metadata["path"], (options_class, field.name)


@pytest.mark.parametrize(("options_class", "name"), PATH_FLAGS)
def test_home_folders_are_expanded(options_class, name, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    end, more = BESIDE.get((options_class, name), ("/x", []))
    if name == "config":
        (tmp_path / "x").write_text(json.dumps({"options": {"tfrecords": "~/data"}}))
        assert flags.parse(TrainingOptions, ["--config=~/x"]).tfrecords == f"{tmp_path}/data"
    parsed = flags.parse(options_class, [f"--{name}=~{end}", *more])
    assert getattr(parsed, name) == f"{tmp_path}{end}"
    # What is called so is reached all the same.
    if name != "config":
        monkeypatch.chdir(tmp_path)
        assert getattr(flags.parse(options_class, [f"--{name}=./~{end}", *more]), name) == f"{tmp_path}/~{end}"


# Data sets that are read.
REMOTE_FLAGS = [
    *((options_class, "tfrecords") for options_class in (TrainingOptions, PredictionOptions, EvaluationOptions)),
    *((ReportOptions, "tfrecords"), (InspectOptions, "folder"), (ExportOptions, "tfrecords")),
]


@pytest.mark.parametrize(("options_class", "name"), REMOTE_FLAGS)
def test_data_sets_may_be_at_addresses(options_class, name):
    assert getattr(flags.parse(options_class, [f"--{name}=gs://~bucket/set/"]), name) == "gs://~bucket/set/"


@pytest.mark.parametrize(("options_class", "name"), [flag for flag in PATH_FLAGS if flag not in REMOTE_FLAGS])
@pytest.mark.parametrize("address", ["gs://bucket/x.csv", "s3://bucket/x.png", "file:///x", "ABFS+x://y", "http://a"])
def test_addresses_are_refused(options_class, name, address):
    _, more = BESIDE.get((options_class, name), ("/x", []))
    with pytest.raises(InputError, match=f"--{name}=.*: addresses are not supported; give a path of this machine"):
        flags.parse(options_class, [f"--{name}={address}", *more])


def test_words_and_lists_are_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    assert flags.parse(InspectOptions, ["~/x"]).folder == "/home/u/x"
    assert flags.parse(ReportOptions, ["~", "./~", "~/a*"]).runs == f"/home/u,{os.getcwd()}/~,/home/u/a*"
    of_root = os.path.expanduser("~root")
    assert flags.parse(PredictionOptions, ["--model=~/a,~root/b,c~"]).model == f"/home/u/a,{of_root}/b,c~"
    with pytest.raises(InputError, match="--model=a,gs://b: addresses"):
        flags.parse(PredictionOptions, ["--model=a", "--model=gs://b"])
    assert flags.parse(ShardOptions, ["--output=./gs:/bucket"]).output == "./gs:/bucket"


@pytest.mark.parametrize("call", [lambda: TrainingOptions(runs="\udcff"), lambda: ExportOptions(output="\udcff")])
def test_what_tensorflow_cannot_write_is_refused_before_the_work(call):
    with pytest.raises(InputError, match="names in UTF-8 alone"):
        call()


@pytest.mark.parametrize(
    ("home", "value", "said"),
    [
        ("/home/u", "~nobody-of-that-name/x", "there is no user nobody-of-that-name; .* or ./~nobody-of-that-name/x"),
        ("", "~/x", "the home folder is unknown, since HOME is not set; give the whole path"),
        ("/home/u", "a\0b", "has characters in it that no file's name can have"),
        ("/home/u", "a\ud800b", "has characters in it that no file's name can have"),
    ],
)
def test_what_is_no_path_is_refused(monkeypatch, home, value, said):
    monkeypatch.setenv("HOME", home)
    with pytest.raises(InputError, match=said):
        ShardOptions(output=value)


def test_a_user_whom_the_system_does_not_know_has_no_home_folder(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)
    with pytest.raises(InputError, match="the home folder is unknown"):
        ShardOptions(output="~/x")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "error: the system refuses: No space left on device; free"),
        (OSError(errno.ENOSPC, "No space left on device", b"a\xff\n"), "error: a\\xff\\n: No space left on device"),
        (OSError("a library's own words"), "error: the system refuses: a library's own words"),
        (OSError(), "error: the system refuses: OSError"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "error: the system refuses: Broken pipe"),
        (TimeoutError("too late"), "error: the system refuses: too late"),
        (MemoryError(), "error: there is not enough memory; free some"),
        (MemoryError("Unable to allocate\nmore"), "error: there is not enough memory (Unable to allocate); free some"),
        (RecursionError("maximum depth"), "error: some input is nested too deeply to be read (maximum depth)"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "error: some text is not in the encoding"),
        (tf.errors.ResourceExhaustedError(None, None, "no memory\n" * 9), "error: TensorFlow could not go on (no mem"),
        (tf.errors.UnavailableError(None, None, "gone"), "error: TensorFlow could not go on (gone)"),
        (InputError("-" * 10**6 + "end"), "error: ---"),
        (InputError("\0\x1b[31m" * 1000), "error: \\x00\\x1b[31m"),
    ],
)
def test_what_the_user_or_the_machine_did_is_one_short_line(error, said, capsys):
    def main(options):
        raise error

    assert flags.call(main, WeightsOptions, []) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and err.count("\n") == 1 and len(err) <= 301
    assert err[:-1].isprintable()


def test_of_an_error_in_a_graph_the_line_tells_what_it_is(capsys):
    @tf.function
    def read():
        return tf.io.read_file("/no/where")

    assert flags.call(lambda options: read(), WeightsOptions, []) == 2
    said = "error: TensorFlow could not go on (/no/where; No such file or directory)\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("x"), tf.errors.InvalidArgumentError(None, None, "x"), RuntimeError("x")]
)
def test_a_fault_of_this_program_shows_where_it_is(error):
    def main(options):
        raise error

    with pytest.raises(type(error)):
        flags.call(main, WeightsOptions, [])


def test_the_end_of_a_long_line_says_what_would_be_right(capsys):
    assert flags.call(lambda options: None, TrainingOptions, ["--optimizer=" + "x" * 10**6]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --optimizer=xxx") and " ... " in said and said.endswith("rmsprop, lamb\n")
    assert flags.call(lambda options: None, TrainingOptions, ["--" + "x" * 10**5]) == 2
    assert "a flag has a name of very many characters" in capsys.readouterr().err


HOSTILE = (
    *("", " ", "-", "--", "-1", "0", "1", "1.5", "1e999", "-inf", "nan", "9" * 400, "9" * 5000, "0x10", "1_000"),
    *("true", "None", "[]", "{}", "%s%n", "~", "~x/y", "~/", "~\udcff", "gs://b/x", "://", "a:b://c", "./gs:/b", "/"),
    *("x" * 5000, "x/" * 3000, "a\0b", "\n", "a\nb", "\x1b[31m", "\udcff", "\ud800", "a b", " a", "-a", "--a=b", "*"),
    *(",", ",,", "a,", "a,~,gs://b", "x" * 10**5, "\u202e", "caf\u00e9", "cafe\u0301", "\u0663", ".csv", ".png", ".."),
)


def refused(options_class, arguments, capsys):
    """Whether a command line is refused, in one short line."""
    code = flags.call(lambda options: None, options_class, arguments)
    said = capsys.readouterr().err
    assert len(said) <= 301 and said.count("\n") == (code == 2) and code in (0, 2)
    return code == 2


def some_words(options_class, rng):
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name = rng.choice(dataclasses.fields(options_class)).name
        value = rng.choice(HOSTILE)
        words = [f"--{name}={value}"]
        yield from rng.choice((words, words, words, [f"--{name}", value], [value], [f"--no{name}"]))


@pytest.mark.parametrize("count", [650, pytest.param(20_000, marks=pytest.mark.long)])
def test_no_value_of_a_flag_does_more_than_be_refused(count, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    inputs = [(ALL[number % len(ALL)], list(some_words(ALL[number % len(ALL)], rng))) for number in range(count)]
    counted = []
    fuzzing.check(lambda given: counted.append(refused(*given, capsys)), inputs)
    assert count / 4 < sum(counted) < count
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_no_config_file_does_more_than_be_refused(count, capsys, tmp_path):
    stored = {"options": dataclasses.asdict(TrainingOptions(augment="strong"))}
    path = tmp_path / "config.json"
    counted = []

    def tried(content):
        path.write_bytes(content)
        counted.append(refused(TrainingOptions, [f"--config={path}"], capsys))

    fuzzing.check(tried, fuzzing.json_mutations(stored, count, seed=1))
    assert 0 < sum(counted) < count
