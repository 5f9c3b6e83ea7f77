"""The command dogcat.predict, stopped and killed, and gone on with."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import time

import pytest
from conftest import command, make, start, touch
from small_runs import save_model

from dogcat import predict
from dogcat.core import journal
from dogcat.core.options import InputError
from dogcat.prediction import partial, predictor
from dogcat.prediction.options import PredictionOptions

# Of pictures that take a model so long that there is time to stop it.
_SIDE = 512


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "m.keras")


@pytest.fixture(scope="module")
def many(samples, tmp_path_factory):
    """A folder of 160 pictures, every eleventh unreadable."""
    folder = tmp_path_factory.mktemp("many")
    sources = sorted(path for path in (samples / "test").glob("*.jpg"))[:10]
    for number in range(160):
        if number % 11:
            os.link(sources[number % 10], folder / f"{number}.jpg")
        else:
            touch(folder, f"{number}.jpg")
    return folder


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("slow") / "m.keras", image_size=_SIDE)


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


def _stop_on_its_way(flags, output, number, lines=12):
    """Starts a prediction, and stops it when so many lines more are there; returns its code and what it wrote."""
    given = [f"--{name}={value}" for name, value in {**flags, "output": output}.items()]
    file = partial.path_beside(output)
    wanted = lines + _lines_of(file)
    process = start(command("dogcat.predict", *given))
    deadline = time.monotonic() + 120
    while _lines_of(file) < wanted:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert not output.exists(), "it was done before it was stopped"
    assert wanted <= _lines_of(file) < 40
    return process.returncode, out, err


def _lines_of(file):
    return file.read_bytes().count(b"\n") if file.exists() else 0


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
    found, _, err = _stop_on_its_way(flags_of_many, tmp_path / "s.csv", number)
    assert found == code, err
    assert f"pictures are kept in {tmp_path}/s.csv.partial; --resume goes on after them" in err
    assert "Traceback" not in err
    predict.main(PredictionOptions(output=str(tmp_path / "s.csv"), resume=True, **flags_of_many))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == unbroken


def test_what_changed_is_named_and_nothing_is_lost(flags_of_many, stopped, many, tmp_path, slow_model):
    other = save_model(tmp_path / "other.keras", seed=1, image_size=_SIDE)
    fewer = tmp_path / "fewer"
    shutil.copytree(many, fewer)
    (fewer / "159.jpg").unlink()
    out = tmp_path / "out"
    out.mkdir()
    for changes, said in (
        ({"model": str(other)}, f"--model={other}: is not what"),
        ({"model": f"{slow_model},{other}"}, "--model="),
        ({"images": str(fewer)}, f"--images={fewer}: is not what"),
        ({"tta": "flip"}, "--tta=flip: is not what"),
        ({"batch_size": 8}, "--batch_size=8: is not what"),
        ({"resume": False}, "pictures of a prediction that was stopped; go on after them with --resume"),
    ):
        with pytest.raises(InputError) as caught:
            go_on(flags_of_many, stopped, out, **changes)
        assert said in str(caught.value) and "\n" not in str(caught.value)
        assert (out / "s.csv.partial").read_bytes() == stopped.read_bytes()
    # What is done with the logits afterwards may be chosen anew.
    assert set(go_on(flags_of_many, stopped, out, clip=0.0, on_error="skip")) == {"s.csv", "s.unreadable.csv"}


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.long)])
def test_killed_again_and_again_it_ends_in_the_same_bytes(flags_of_many, unbroken, tmp_path, capsys, kills):
    flags = {**flags_of_many, "resume": True}
    for kill in range(kills):
        code, out, _ = _stop_on_its_way(flags, tmp_path / "s.csv", signal.SIGKILL, lines=24 // kills)
        assert code == -signal.SIGKILL and ("going on after " in out) == (kill > 0)
    predict.main(PredictionOptions(output=str(tmp_path / "s.csv"), **flags))
    assert "going on after " in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == unbroken


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
