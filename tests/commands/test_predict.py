"""The command dogcat.predict: what it says and writes, killed and gone on with."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT, command, environment, make, save_model, touch
from fuzzing import check, full_disk, json_mutations, mutations, tree

from dogcat import predict
from dogcat.core import journal
from dogcat.core.options import InputError
from dogcat.dataset.encoding import Rejection
from dogcat.prediction import partial, picture_sources, predictor
from dogcat.prediction.options import PredictionOptions


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "m.keras")


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_the_command(run, model_file, samples, tmp_path):
    output = tmp_path / "s.csv"
    flags = [f"--model={model_file}", f"--images={samples}/test", f"--output={output}"]
    done = run("dogcat.predict", *flags)
    assert done.code == 0
    count = len(list((samples / "test").glob("*.jpg")))
    assert f"wrote {output}: {count} rows" in done.out
    assert "unreadable pictures: 1" in done.out.splitlines()[-1]
    [line] = done.err.splitlines()
    assert line.startswith("unreadable: ") and "truncated" in line
    assert len(rows_of(output)) == count + 1
    assert rows_of(tmp_path / "s.unreadable.csv")[1][1] == "truncated"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.unreadable.csv"]


def test_strict_tells_of_unreadable_pictures_by_the_exit_code(model_file, samples, tmp_path, capsys):
    common = {"model": str(model_file), "output": str(tmp_path / "s.jsonl"), "strict": True}
    assert predict.main(PredictionOptions(images=str(samples / "test"), on_error="skip", **common)) == 3
    assert "without a row" in capsys.readouterr().out
    [unreadable] = rows_of(tmp_path / "s.jsonl.unreadable.csv")[1:]
    ids = [json.loads(line)["id"] for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert len(ids) == len(list((samples / "test").glob("*.jpg"))) - 1
    assert unreadable[0].split(".")[0] not in ids
    assert predict.main(PredictionOptions(images=str(samples / "test" / f"{ids[0]}.jpg"), **common)) == 0
    assert "every picture was read" in capsys.readouterr().out.splitlines()[-1]


def test_pictures_of_any_name_have_rows_and_what_is_left_out_is_said(model_file, samples, tmp_path, capsys):
    picture = sorted((samples / "train").glob("cat.*.jpg"))[0].read_bytes()
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("1.jpg", "2.jfif", "3", "4.heic", "5.jpg_large"):
        (folder / name).write_bytes(picture)
    common = {"model": str(model_file), "output": str(tmp_path / "s.csv")}
    predict.main(PredictionOptions(images=str(folder), **common))
    assert [row[0] for row in rows_of(tmp_path / "s.csv")[1:]] == ["1", "2", "3", "4", "5"]
    assert capsys.readouterr().out.endswith("every picture was read\n")
    (folder / "6.heic").write_bytes(b"\0\0\0\x20ftypheic" + bytes(40))
    (folder / "notes.txt").write_text("none")
    (folder / "Thumbs.db").touch()
    predict.main(PredictionOptions(images=str(folder), **common))
    assert len(rows_of(tmp_path / "s.csv")) == 7
    assert rows_of(tmp_path / "s.unreadable.csv")[1][:2] == ["6.heic", "unsupported_format"]
    said = capsys.readouterr()
    assert "6.heic: unsupported_format, HEIC is not read; convert the picture to JPEG or PNG" in said.err
    assert "every picture" not in said.out and "1 that are no pictures, as notes.txt and 1 hidden" in said.out
    (folder / "6.heic").unlink()
    predict.main(PredictionOptions(images=str(folder), **common))
    assert "5 pictures were read" in capsys.readouterr().out
    predict.main(PredictionOptions(images=str(folder / "3"), **common))
    assert rows_of(tmp_path / "s.csv")[1][0] == "3"


def test_several_models_in_several_flags(call, model_file, samples, tmp_path):
    other = save_model(tmp_path / "other.keras", seed=1)
    picture = samples / "test" / "1.jpg"
    done = call(
        *("dogcat.predict", f"--model={model_file}", f"--model={other}"),
        *(f"--images={picture}", f"--output={tmp_path}/s.csv"),
    )
    assert done.code == 0, done.err
    assert f"model: {model_file} " in done.out and f"model: {other} " in done.out


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_batch_larger_than_memory_is_named(model_file, samples, tmp_path, engine):
    place = {"model": str(model_file), "images": str(samples / "test"), "output": str(tmp_path / "s.csv")}
    with pytest.raises(InputError, match="--batch_size=1000000000: a step takes more memory than there is; use a sm"):
        predictor.predict(PredictionOptions(**place, engine=engine, strategy="one_device", batch_size=10**9))


def test_bad_input_is_one_line_and_leaves_nothing(call, samples, tmp_path):
    done = call("dogcat.predict", "--model=/no/run", f"--images={samples}/test", f"--output={tmp_path}/s.csv")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1 and done.err.startswith("error: --model=/no/run")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def many(samples, tmp_path_factory):
    """A folder of 600 pictures, every eleventh unreadable."""
    folder = tmp_path_factory.mktemp("many")
    sources = sorted(path for path in (samples / "test").glob("*.jpg"))[:10]
    for number in range(600):
        if number % 11:
            os.link(sources[number % 10], folder / f"{number}.jpg")
        else:
            touch(folder, f"{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    """A model that takes so long for a picture that there is time to stop it."""
    return save_model(tmp_path_factory.mktemp("slow") / "m.keras", backbone="vgg16")


@pytest.fixture(scope="module")
def flags_of_many(slow_model, many):
    return {"model": str(slow_model), "images": str(many), "batch_size": 4, "columns": "path,logit"}


@pytest.fixture(scope="module")
def unbroken(flags_of_many, tmp_path_factory):
    """The files of a prediction that nothing stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    predict.main(PredictionOptions(output=str(folder / "s.csv"), **flags_of_many))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def stopped(flags_of_many, tmp_path_factory):
    """What a prediction left that got SIGKILL on its way."""
    folder = tmp_path_factory.mktemp("killed")
    _stop_on_its_way(flags_of_many, folder / "s.csv", signal.SIGKILL)
    return folder / "s.csv.partial"


def _stop_on_its_way(flags, output, number):
    process = subprocess.Popen(
        command("dogcat.predict", *(f"--{name}={value}" for name, value in flags.items()), f"--output={output}"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in the background with the signal ignored; so may these tests have been started.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    file = partial.path_beside(output)
    deadline = time.monotonic() + 120
    while not file.exists() or file.read_bytes().count(b"\n") < 20:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert not output.exists(), "it was done before it was stopped"
    assert 20 <= file.read_bytes().count(b"\n") < 150
    return process.returncode, err


def go_on(flags, stopped, folder, **changes):
    """Goes on from a copy of what was left."""
    shutil.copy(stopped, folder / "s.csv.partial")
    predict.main(PredictionOptions(output=str(folder / "s.csv"), **{"resume": True, **flags, **changes}))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_killed_it_goes_on_to_the_same_bytes(flags_of_many, unbroken, stopped, tmp_path, capsys):
    assert go_on(flags_of_many, stopped, tmp_path) == unbroken
    assert "going on after " in capsys.readouterr().out


def test_a_line_that_the_kill_cut_short_is_computed_again(flags_of_many, unbroken, stopped, tmp_path, capsys):
    cut = tmp_path / "cut"
    cut.write_bytes(stopped.read_bytes()[:-40])
    pictures = 4 * (stopped.read_bytes().count(b"\n") - 2)
    (tmp_path / "out").mkdir()
    assert go_on(flags_of_many, cut, tmp_path / "out") == unbroken
    assert f"going on after {pictures} pictures" in capsys.readouterr().out


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
@pytest.mark.parametrize("source", ["images", "tfrecords"])
def test_it_goes_on_from_any_batch(model_file, samples, tmp_path, source, strategy):
    if source == "tfrecords":
        make(samples / "test", tmp_path / "data", unlabeled=True, shards=3)
    place = {"images": samples / "test", "tfrecords": tmp_path / "data"}[source]
    output = tmp_path / "out" / "s.csv"
    output.parent.mkdir()
    options = PredictionOptions.from_given(
        {"model": f"{model_file}", source: f"{place}", "output": f"{output}", "strategy": strategy, "batch_size": 4}
    )
    predict.main(options)
    unbroken = {path.name: path.read_bytes() for path in output.parent.iterdir()}
    output.unlink()
    predictor.predict(options)
    lines = partial.path_beside(output).read_bytes().splitlines(keepends=True)
    assert len(lines) >= 4
    for kept in range(len(lines) + 1):
        partial.path_beside(output).write_bytes(b"".join(lines[:kept]))
        predict.main(dataclasses.replace(options, resume=True))
        assert {path.name: path.read_bytes() for path in output.parent.iterdir()} == unbroken
        output.unlink()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_stopped_it_says_how_to_go_on(flags_of_many, unbroken, tmp_path, number, code):
    found, err = _stop_on_its_way(flags_of_many, tmp_path / "s.csv", number)
    assert found == code, err
    assert f"pictures are kept in {tmp_path}/s.csv.partial; --resume goes on after them" in err
    assert "Traceback" not in err
    predict.main(PredictionOptions(output=str(tmp_path / "s.csv"), resume=True, **flags_of_many))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == unbroken


def test_what_changed_is_named_and_nothing_is_lost(flags_of_many, stopped, many, tmp_path, slow_model):
    other = save_model(tmp_path / "other.keras", seed=1)
    fewer = tmp_path / "fewer"
    shutil.copytree(many, fewer)
    (fewer / "599.jpg").unlink()
    out = tmp_path / "out"
    out.mkdir()
    for changes, said in (
        ({"model": str(other)}, f"--model={other}: is not what"),
        ({"model": f"{slow_model},{other}"}, "--model="),
        ({"images": str(fewer)}, f"--images={fewer}: is not what"),
        ({"tta": "none"}, "--tta=none: is not what"),
        ({"batch_size": 8}, "--batch_size=8: is not what"),
        ({"resume": False}, "pictures of a prediction that was stopped; go on after them with --resume"),
    ):
        with pytest.raises(InputError) as caught:
            go_on(flags_of_many, stopped, out, **changes)
        assert said in str(caught.value) and "\n" not in str(caught.value)
        assert (out / "s.csv.partial").read_bytes() == stopped.read_bytes()
    # What is done with the logits afterwards may be chosen anew.
    assert set(go_on(flags_of_many, stopped, out, clip=0.0, on_error="skip")) == {"s.csv", "s.unreadable.csv"}


def test_a_file_of_someone_else_is_left_alone(flags_of_many, tmp_path):
    file = tmp_path / "s.csv.partial"
    of_other = journal.line({"made_from": {}, "output": "t.csv"})
    for content, said in (
        (b"mine", "in the way"),
        (b'{"a": 1}\n', "in the way"),
        (of_other, "in the way"),
        (b'{"made_from": {}}\n', "damaged"),
        (b'{"made_from": {}}', "damaged"),
    ):
        file.write_bytes(content)
        for resume in (False, True):
            with pytest.raises(InputError, match=f"s.csv.partial: is {said}"):
                predict.main(PredictionOptions(output=str(tmp_path / "s.csv"), resume=resume, **flags_of_many))
            assert file.read_bytes() == content


KEYS = [f"{number}.jpg" for number in range(8)]
MADE_FROM = {"model": ["a", "b"], "images": "x"}


def go_on_with(path, keys=KEYS, outputs=(2, 1)):
    options = PredictionOptions(output=str(path), resume=True)
    with partial.PartialPredictions(options, MADE_FROM, keys, outputs) as found:
        return found.pictures, np.concatenate(found.logits).tolist() if found.logits else [], found.rejections


@pytest.fixture
def half(tmp_path):
    """Four of eight pictures, one of them unreadable."""
    with partial.PartialPredictions(PredictionOptions(output=f"{tmp_path}/s.csv"), MADE_FROM, KEYS, (2, 1)) as begun:
        for first in (0, 2):
            rejections = [Rejection(KEYS[first], "truncated", "")] if first else []
            begun.add(np.full((2, 2, 1), first + 0.1, np.float32), rejections)
    return tmp_path / "s.csv"


def test_what_is_kept_comes_back(half):
    pictures, logits, rejections = go_on_with(half)
    assert pictures == 4 and rejections == [Rejection("2.jpg", "truncated", "")]
    np.testing.assert_array_equal(logits, np.float32([[[0.1]] * 2] * 2 + [[[2.1]] * 2] * 2))


@pytest.mark.parametrize(
    "logits",
    [
        *([[[0.1]]], [[0.1, 0.2]], [0.1], 0.1, [], [[]], [[[]]], None, "0.1", {"a": 1}, [[["0.1"], ["0.2"]]]),
        *([[[0.1], [0.2, 0.3]]], [[[0.1, 0.2], [0.1, 0.2]]], [[[0.1], [0.2], [0.3]]], [[[True], [False]]]),
        *([[[float("nan")], [0.1]]], [[[float("inf")], [0.1]]], [[[1e300], [0.1]]], [[[10**400], [0.1]]]),
        [[[0.1], [0.2]]] * 9,
    ],
)
def test_batches_that_do_not_fit_are_damage(half, logits):
    file = partial.path_beside(half)
    content = file.read_bytes() + journal.line({"logits": logits, "rejections": []})
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"s\.csv\.partial: is damaged"):
        go_on_with(half)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "tail", [b'{"logits": ' + b"[" * 100_000 + b"\n", b"\n", b"\0" * 99 + b"\n", b"1" * 9000 + b"\n"]
)
def test_lines_that_are_none_are_damage(half, tail):
    file = partial.path_beside(half)
    file.write_bytes(file.read_bytes() + tail)
    with pytest.raises(InputError, match="is damaged"):
        go_on_with(half)


@pytest.mark.parametrize("count", [300, pytest.param(6000, marks=pytest.mark.long)])
def test_whatever_was_damaged_is_told_or_nothing_is_lost(half, count):
    file = partial.path_beside(half)
    whole = file.read_bytes()
    right = go_on_with(half)
    right_rows = {json.dumps(row) for row in right[1]}

    def try_one(content):
        file.write_bytes(content)
        pictures, logits, _ = go_on_with(half)
        # A cut is no damage: what is behind it is computed again.
        assert pictures in (0, 2, 4) and {json.dumps(row) for row in logits} <= right_rows

    refused = check(try_one, mutations(whole, count, seed=1))
    lines = whole.splitlines()
    changed = []
    for place, line in enumerate(lines):
        content = json.loads(line)
        del content["crc32"]
        for mutated in json_mutations(content, count // 6, seed=place):
            new = json.loads(mutated)
            if isinstance(new, dict) and new and new != content:
                # Told by what they say, since the checksum is right.
                changed.append(b"\n".join([*lines[:place], journal.line(new)[:-1], *lines[place + 1 :]]) + b"\n")

    def try_other(content):
        file.write_bytes(content)
        go_on_with(half)

    assert refused > count // 2 and check(try_other, changed) > len(changed) // 2


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link"])
def test_what_is_no_regular_file_is_in_the_way(tmp_path, kind):
    file, target = tmp_path / "s.csv.partial", tmp_path / "target"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(target)
        if kind == "link":
            target.write_bytes(b"")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"s\.csv\.partial: is in the way"):
        go_on_with(tmp_path / "s.csv")
    assert tree(tmp_path) == before


def test_two_at_once_do_not_write_into_each_other(half):
    options = PredictionOptions(output=str(half), resume=True)
    second = pytest.raises(InputError, match="is being written by another process")
    with partial.PartialPredictions(options, MADE_FROM, KEYS, (2, 1)), second:
        go_on_with(half)
    assert go_on_with(half)[0] == 4


def test_a_full_disk_keeps_what_was_predicted_before(half):
    kept = partial.path_beside(half).read_bytes()
    options = PredictionOptions(output=str(half), resume=True)
    going_on = partial.PartialPredictions(options, MADE_FROM, KEYS, (2, 1))
    with full_disk(len(kept) + 50), pytest.raises(OSError) as error, going_on as begun:
        begun.add(np.zeros((4, 2, 1), np.float32), [])
    assert error.value.filename == f"{half}.partial"
    assert "(4 pictures are kept in " in error.value.strerror
    assert go_on_with(half)[0] == 4


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.long)])
def test_killed_again_and_again_it_ends_in_the_same_bytes(flags_of_many, unbroken, tmp_path, kills):
    """One process loads TensorFlow, and gives birth to those that are killed."""
    arguments = [f"--{name}={value}" for name, value in {**flags_of_many, "resume": True}.items()]
    script = f"""
import os, signal, sys, time
import tensorflow
from dogcat.core import flags
from dogcat.prediction import predictor, partial
from dogcat import predict
from dogcat.prediction.options import PredictionOptions
output = {str(tmp_path / "s.csv")!r}
options = flags.parse(PredictionOptions, {arguments!r} + ["--output=" + output])
def lines():
    return open(output + ".partial", "rb").read().count(b"\\n") if os.path.exists(output + ".partial") else 0
for kill in range({kills}):
    process, before = os.fork(), lines()
    if not process:
        predict.main(options)
        os._exit(0)
    while lines() < before + 140 // {kills}:
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL
predict.main(options)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("going on after ") == kills
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == unbroken


def test_standard_input_that_is_closed_or_no_text_is_named(monkeypatch, tmp_path):
    options = PredictionOptions(images="-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="--images=-: standard input is closed; send the paths to it"):
        picture_sources.open_pictures(options)
    with open(os.open(tmp_path / "only_written", os.O_WRONLY | os.O_CREAT)) as only_written:
        monkeypatch.setattr(sys, "stdin", only_written)
        with pytest.raises(OSError) as caught:
            picture_sources.open_pictures(options)
    assert caught.value.filename == "standard input"
