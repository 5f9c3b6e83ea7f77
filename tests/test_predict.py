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

import pytest
from conftest import ROOT, make, save_model, touch

from dogcat import inference, partial, predict
from dogcat.config import InputError, PredictionOptions


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


def test_several_models_in_several_flags(run, model_file, samples, tmp_path):
    other = save_model(tmp_path / "other.keras", seed=1)
    picture = samples / "test" / "1.jpg"
    done = run(
        *("dogcat.predict", f"--model={model_file}", f"--model={other}"),
        *(f"--images={picture}", f"--output={tmp_path}/s.csv"),
    )
    assert done.code == 0, done.err
    assert f"model: {model_file} " in done.out and f"model: {other} " in done.out


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_a_batch_larger_than_memory_is_named(model_file, samples, tmp_path, engine):
    place = {"model": str(model_file), "images": str(samples / "test"), "output": str(tmp_path / "s.csv")}
    with pytest.raises(InputError, match="--batch_size=1000000000: a step takes more memory than there is; use a sm"):
        inference.predict(PredictionOptions(**place, engine=engine, strategy="one_device", batch_size=10**9))


def test_bad_input_is_one_line_and_leaves_nothing(run, samples, tmp_path):
    done = run("dogcat.predict", "--model=/no/run", f"--images={samples}/test", f"--output={tmp_path}/s.csv")
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
def flags_of_many(model_file, many):
    return {"model": str(model_file), "images": str(many), "batch_size": 4, "columns": "path,logit"}


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
    command = [sys.executable, "-m", "dogcat.predict", *(f"--{name}={value}" for name, value in flags.items())]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, f"--output={output}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in the background with the signal ignored; so may these tests have been started.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    file = partial.path_beside(output)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not file.exists() or file.read_bytes().count(b"\n") < 20):
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
    inference.predict(options)
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


def test_what_changed_is_named_and_nothing_is_lost(flags_of_many, stopped, many, tmp_path, model_file):
    other = save_model(tmp_path / "other.keras", seed=1)
    fewer = tmp_path / "fewer"
    shutil.copytree(many, fewer)
    (fewer / "599.jpg").unlink()
    out = tmp_path / "out"
    out.mkdir()
    for changes, said in (
        ({"model": str(other)}, f"--model={other}: is not what"),
        ({"model": f"{model_file},{other}"}, "--model="),
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
    begun = '{"made_from": {}}\n'
    for content, said in (
        ("mine", "in the way"),
        ('{"a": 1}\n', "in the way"),
        (f"{begun}no JSON\n", "damaged"),
        (f"{begun}[]\n", "damaged"),
    ):
        file.write_text(content)
        for resume in (False, True):
            with pytest.raises(InputError, match=f"s.csv.partial: is {said}"):
                predict.main(PredictionOptions(output=str(tmp_path / "s.csv"), resume=resume, **flags_of_many))
            assert file.read_text() == content
