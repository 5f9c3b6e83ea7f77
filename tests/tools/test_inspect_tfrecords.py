from __future__ import annotations

import io
import itertools
import json
import os
import shutil

import numpy as np
import pytest
from conftest import contents, draw, make
from foreign_records import example, of_slim, of_tfds, write, write_set
from PIL import Image

from dogcat.core.options import InputError
from dogcat.dataset import example_proto, manifest, tfrecord
from tools import inspect_tfrecords
from tools.inspect_tfrecords import InspectOptions
from tools.pages import contact_sheet


@pytest.fixture
def copy(tfrecords, tmp_path):
    return shutil.copytree(tfrecords, tmp_path / "copy")


def first_example(folder):
    """The features of the first record of the training split."""
    record = next(tfrecord.read_records(next(iter(sorted(folder.glob("train-*.tfrecord"))))))
    return {key: values[0] for key, values in example_proto.decode_example(record.data).items()}


def inspect(folder, **options):
    return inspect_tfrecords.main(InspectOptions(folder=str(folder), **options))


def test_the_summary_tells_what_the_manifest_says(run, tfrecords):
    done = run("tools.inspect_tfrecords", tfrecords)
    made = manifest.load(tfrecords)
    assert (done.code, done.err) == (0, "")
    assert f"{tfrecords}: {sum(s.pictures for s in made.splits.values())} pictures of 96x96" in done.out
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line}
    assert rows["split"] == ["pictures", "cat", "dog", "shards", "MiB"]
    for name, split in made.splits.items():
        assert rows[name][:4] == [str(n) for n in (split.pictures, *split.counts, len(split.shards))]
    assert rows["rejected"] == ["not_a_picture", "1,", "truncated", "1"]
    assert rows["classes"] == ["0", "cat,", "1", "dog"]
    assert made.made_by in done.out and "encoding=jpeg quality=95" in done.out


def test_many_classes_take_few_lines(copy, capsys):
    path = copy / manifest.FILE_NAME
    made = json.loads(path.read_text())
    for split in made["splits"].values():
        split["counts"] += [0] * (manifest.MOST_CLASSES - 2)
    made["classes"] += [f"c{number}" for number in range(manifest.MOST_CLASSES - 2)]
    path.write_text(json.dumps(made))
    assert inspect(copy) == 0
    said = capsys.readouterr().out
    assert "smallest class  largest class" in said and max(map(len, said.splitlines())) < 300
    assert "9 c7, 10 c8, 11 c9, and 65,524 more, which dataset.json lists" in said
    path.write_text(json.dumps({**made, "classes": [*made["classes"], "another"]}))
    assert inspect(copy) == 1
    assert "classes has 65,537 items, more than the 65,536 that it can have" in capsys.readouterr().out


def test_verified(run, tfrecords):
    done = run("tools.inspect_tfrecords", "--verify", tfrecords)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].startswith("verified: ")


def test_problems_are_lines_and_exit_code_1(run, copy):
    shard = sorted(copy.glob("train-*.tfrecord"))[1]
    content = bytearray(shard.read_bytes())
    content[5000] ^= 4
    shard.write_bytes(content)
    assert run("tools.inspect_tfrecords", copy).code == 0
    done = run("tools.inspect_tfrecords", copy, "--verify")
    assert (done.code, done.err) == (1, "")
    *_, of_file, of_record, verdict = done.out.splitlines()
    assert of_file.startswith(f"{shard.name}: its sha256 is ")
    assert of_record.startswith(f"{shard.name}, record ") and " at byte " in of_record
    assert of_record.endswith(": the data do not match their checksum")
    assert verdict == "2 problems found"


def test_a_shard_that_is_gone_shows_without_verify(copy, capsys):
    next(copy.glob("train-*.tfrecord")).unlink()
    assert inspect(copy) == 1
    assert "is missing\n1 problem found" in capsys.readouterr().out


def test_json_is_all_there_is_on_standard_output(run, copy):
    key = first_example(copy)["image/filename"].decode()
    files = [f"{copy}/shown.jpg", f"{copy}/sheet.png"]
    done = run(
        *("tools.inspect_tfrecords", copy, "--json", "--verify"),
        *(f"--show={key}", f"--output={files[0]}", f"--preview={files[1]}"),
    )
    told = json.loads(done.out)
    assert told["written"] == files
    assert (done.code, told["verified"], told["problems"]) == (0, True, [])
    assert told["classes"] == ["cat", "dog"] and set(told["splits"]) == {"train", "validation"}
    assert told["pictures"] == sum(sum(split["counts"].values()) for split in told["splits"].values())
    shard = sorted(copy.glob("train-*.tfrecord"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    done = run("tools.inspect_tfrecords", copy, "--json", "--verify")
    assert done.code == 1
    assert {problem["shard"] for problem in json.loads(done.out)["problems"]} == {shard.name}
    assert json.loads(done.out)["problems"][-1]["filename"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere/at/all"], "nowhere/at/all does not exist"),
        (["tests"], "tests has no dataset.json"),
        (["tests/conftest.py"], "tests/conftest.py is a file; give the folder of a data set"),
        (["tests", "tools"], "'tools' belongs to no flag"),
        (["--preview=sheet.txt"], "--preview=sheet.txt: use a name that ends in .png or .jpg"),
        (["--output=picture.jpg"], "--output=picture.jpg: say with --show=KEY"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(run, arguments, said):
    done = run("tools.inspect_tfrecords", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err and len(done.err.splitlines()) == 1


def leaves(value, path=()):
    """The path of each value inside JSON."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def test_a_manifest_with_anything_in_a_place_ends_without_a_traceback(copy):
    path = copy / manifest.FILE_NAME
    whole = path.read_text()
    for place, value in itertools.product(leaves(json.loads(whole)), (None, "x", -1, [], {})):
        content = json.loads(whole)
        if place:
            inner = content
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
        else:
            content = value
        path.write_text(json.dumps(content))
        assert inspect(copy) in (0, 1)


def test_a_manifest_that_cannot_be_read_is_a_wrong_data_set(run, copy):
    path = copy / manifest.FILE_NAME
    path.write_text(path.read_text()[:-20])
    done = run("tools.inspect_tfrecords", copy, "--verify")
    assert (done.code, done.err) == (1, "")
    problem, verdict = done.out.splitlines()
    assert problem.startswith(f"{manifest.FILE_NAME}: {path}: ") and verdict == "1 problem found"
    done = run("tools.inspect_tfrecords", copy, "--json")
    told = json.loads(done.out)
    assert (done.code, done.err, told["folder"], told["problems"][0]["shard"]) == (1, "", str(copy), manifest.FILE_NAME)


def test_the_preview_shows_pictures_of_each_class_and_split(copy, tmp_path, capsys):
    assert inspect(copy, preview=str(tmp_path / "sheet.png"), preview_pictures=3) == 0
    sheet = Image.open(tmp_path / "sheet.png")
    assert f"wrote {tmp_path}/sheet.png: {sheet.width}x{sheet.height}" in capsys.readouterr().out
    # The first picture lies under the heading; it is stored at 96 pixels.
    first_cat = next(
        values
        for shard in sorted(copy.glob("train-*.tfrecord"))
        for values in (example_proto.decode_example(record.data) for record in tfrecord.read_records(shard))
        if values["image/class/label"] == [0]
    )
    stored = Image.open(io.BytesIO(first_cat["image/encoded"][0]))
    shown = sheet.crop((12, 46, 172, 206)).resize((96, 96), Image.Resampling.NEAREST)
    assert np.abs(np.asarray(shown, int) - np.asarray(stored, int)).mean() < 1
    more = tmp_path / "more.jpg"
    inspect(copy, preview=str(more), preview_pictures=9)
    assert Image.open(more).format == "JPEG" and Image.open(more).height > sheet.height


def test_the_preview_of_a_damaged_data_set_leaves_out_what_cannot_be_read(copy, tmp_path):
    for shard in copy.glob("train-*.tfrecord"):
        shard.write_bytes(shard.read_bytes()[:100])
    next(copy.glob("validation-*.tfrecord")).unlink()
    assert inspect(copy, preview=str(tmp_path / "sheet.png")) == 1
    assert Image.open(tmp_path / "sheet.png").width > 100


def test_names_of_any_bytes_and_any_length(tmp_path, capsys):
    folder = tmp_path / "out"
    names = ("cat/a b\n.png", "cat/caf\udce9.png", "cat/" + "x" * 200 + ".png", "dog/猫.png", "dog/кот.png")
    make(draw(tmp_path / "in", *names), folder, validation=0.0)
    assert inspect(folder, verify=True, preview=str(tmp_path / "sheet.png")) == 0
    assert Image.open(tmp_path / "sheet.png").width < 2000
    capsys.readouterr()
    assert inspect(folder, show="cat/caf\udce9.png", output=str(tmp_path / "shown")) == 0
    with pytest.raises(InputError, match=r"alike are .*cat/caf\\xe9\.png"):
        inspect(folder, show="cat/cafe.png")


def test_show_writes_the_picture_as_it_is_stored_and_replaces_nothing(run, tfrecords, tmp_path):
    features = first_example(tfrecords)
    key = features["image/filename"].decode()
    done = run("tools.inspect_tfrecords", tfrecords, f"--show={key}", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert f"wrote {key}: jpeg, 96x96, label {features['image/class/label']} {key[:3]}" in done.out
    assert (tmp_path / key).read_bytes() == features["image/encoded"]
    again = run("tools.inspect_tfrecords", tfrecords, f"--show={key}", cwd=tmp_path)
    assert (again.code, again.out) == (2, "") and f"{key} is there already" in again.err
    assert inspect(tfrecords, show=key, output=str(tmp_path / "other")) == 0
    assert (tmp_path / "other").read_bytes() == features["image/encoded"]


@pytest.mark.parametrize(
    ("output", "said"),
    [("none/x.jpg", "the folder .* does not exist; make it first"), ("x.png", "the picture is jpeg; use a name that")],
)
def test_show_writes_only_where_and_what_its_name_says(tfrecords, tmp_path, output, said):
    key = first_example(tfrecords)["image/filename"].decode()
    with pytest.raises(InputError, match=said):
        inspect(tfrecords, show=key, output=str(tmp_path / output))
    assert list(tmp_path.iterdir()) == []


def test_show_of_an_unknown_key_names_those_that_are_alike(tfrecords, tmp_path):
    key = first_example(tfrecords)["image/filename"].decode()
    with pytest.raises(InputError, match=rf"--show={key}x: no picture of .* has this key; alike are .*{key}"):
        inspect(tfrecords, show=f"{key}x", output=str(tmp_path / "out"))
    with pytest.raises(InputError, match="has this key$"):
        inspect(tfrecords, show="\u732b", output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_show_of_raw_pixels_writes_a_picture(copy, tmp_path, monkeypatch):
    shard = sorted(copy.glob("train-*.tfrecord"))[0]
    pixels = bytes(range(256)) * 108
    features = {"image/encoded": pixels, "image/format": b"raw", "image/filename": b"a/b.raw"}
    features = {**first_example(copy), **features}
    shard.write_bytes(tfrecord.frame(example_proto.encode_example(features)))
    assert inspect(copy, show="a/b.raw", output=str(tmp_path / "shown.png")) == 1
    with Image.open(tmp_path / "shown.png") as shown:
        assert (shown.format, shown.tobytes()) == ("PNG", pixels)
    monkeypatch.chdir(tmp_path)
    assert inspect(copy, show="a/b.raw") == 1 and (tmp_path / "b.png").exists()


def test_a_sheet_that_fits_into_no_jpeg(tmp_path):
    sheet = Image.new("RGB", (1, 65_501))
    with pytest.raises(InputError, match="1x65501 pixels fits into no JPEG; use a name that ends in .png"):
        contact_sheet.save(sheet, tmp_path / "sheet.jpg")
    contact_sheet.save(sheet, tmp_path / "sheet.png")
    assert os.listdir(tmp_path) == ["sheet.png"]


@pytest.mark.parametrize("gzip", [False, True])
def test_tfrecords_of_another_program_are_shown_with_the_flags_that_read_them(tmp_path, call, gzip):
    write_set(tmp_path, of_slim, gzip=gzip)
    before = contents(tmp_path)
    done = call("tools.inspect_tfrecords", f"{tmp_path}/train*")
    assert (done.code, done.err) == (0, "")
    assert "2 files of another program" in done.out and ("MiB, gzip; the first 13 records" in done.out) == gzip
    rows = {line.split()[0]: line.split()[1:] for line in done.out.splitlines() if line}
    assert rows["image/class/text"] == ["bytes", "13", "1", "cat", "(7),", "dog", "(6)"]
    assert rows["image/encoded"][:4] == ["bytes", "13", "1", "JPEG,"]
    assert "read with: --image_key=image/encoded --label_key=image/class/text" in done.out
    facts = json.loads(call("tools.inspect_tfrecords", f"{tmp_path}/*", "--verify", "--json").out)
    assert (facts["records_read"], facts["problems"], len(facts["files"])) == (36, [], 3)
    assert facts["features"]["image/class/label"]["values"] == {"1": 18, "2": 18}
    assert {file["gzip"] for file in facts["files"]} == {gzip}
    assert contents(tmp_path) == before


def test_what_is_wrong_with_tfrecords_of_another_program_is_told(tmp_path, call):
    path = write(tmp_path / "a", [of_tfds(0, 0), of_slim(1, 1)])
    done = call("tools.inspect_tfrecords", path, "--verify")
    assert done.code == 1 and f"{path}, record 1 at byte " in done.out and "it has no feature image" in done.out
    path.write_bytes(path.read_bytes()[:-1])
    done = call("tools.inspect_tfrecords", path, "--verify")
    assert done.code == 1 and "the file is cut short" in done.out and "1 file with problems" in done.out
    write(path, [example(x=[1.5, 2.5], y=[1, 2, 3, 4, 5])])
    done = call("tools.inspect_tfrecords", path)
    assert done.code == 0 and "1.5 2.5" in done.out and "1 2 3 4 ..." in done.out
    assert "no feature is known to be a picture; there are x (fraction, 2 values), y (number, 5 values)" in done.out
    done = call("tools.inspect_tfrecords", path, "--show=1")
    assert done.code == 2 and "--show=1: goes with the folder of a data set" in done.err
