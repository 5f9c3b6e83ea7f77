"""The command dogcat.predict: what it says and writes."""

from __future__ import annotations

import csv
import json
import os
import sys

import pytest
from small_runs import save_model

from dogcat import predict
from dogcat.core.options import InputError
from dogcat.prediction import picture_sources, predictor
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
