from __future__ import annotations

import json
import shutil

import pytest
from conftest import make

from dogcat.core.options import InputError
from dogcat.dataset import manifest


@pytest.fixture
def copy(tfrecords, tmp_path):
    return shutil.copytree(tfrecords, tmp_path / "copy")


def refusal(folder):
    with pytest.raises(InputError) as caught:
        manifest.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_comes_back_as_written(tfrecords):
    loaded = manifest.load(tfrecords)
    assert loaded.to_json() == (tfrecords / manifest.FILE_NAME).read_text()
    assert loaded.classes == ["cat", "dog"]


def test_the_digest_tells_data_sets_apart(copy):
    before = manifest.load(copy)
    content = json.loads(before.to_json())
    content["splits"]["train"]["shards"][0]["sha256"] = "0" * 64
    (copy / manifest.FILE_NAME).write_text(json.dumps(content))
    assert manifest.load(copy).digest() != before.digest()


def test_what_is_no_data_set_is_refused(copy, tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere")
    shard = next(copy.glob("train-*.tfrecord"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    assert shard.name in refusal(copy) and str(len(content)) in refusal(copy)
    shard.unlink()
    assert f"{shard.name} is missing" in refusal(copy)
    for target in ("/dev/zero", "/proc/self/environ", copy, "nowhere"):
        shard.symlink_to(target)
        assert shard.name in refusal(copy)
        shard.unlink()
    # As tools that keep large files elsewhere leave them.
    (tmp_path / "store").write_bytes(content)
    shard.symlink_to(tmp_path / "store")
    assert manifest.load(copy).splits["train"].pictures
    path = copy / manifest.FILE_NAME
    path.write_text('{"format_version": 99}')
    assert "format_version is 99, this program reads 2; use a newer one" in refusal(copy)
    path.write_bytes(b" " * (33 * 2**20))
    assert "has more than 33,554,432 bytes" in refusal(copy)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "not a finished data set" in refusal(copy)


def test_a_split_that_a_command_needs_is_asked_for(copy):
    assert manifest.load(copy, "train", "validation").splits
    with pytest.raises(InputError, match=f"{copy}: has no split test, only train, validation; give"):
        manifest.load(copy, "train", "test")


def test_what_later_versions_add_is_passed_over(copy):
    before = manifest.read(copy)
    content = json.loads(before.to_json())
    content["licence"] = "CC0"
    content["splits"]["train"]["order"] = [1, 2]
    content["splits"]["train"]["shards"][0]["crc32c"] = None
    (copy / manifest.FILE_NAME).write_text(json.dumps(content))
    assert manifest.read(copy) == before


def wrong(folder, text):
    """What is said of a manifest of this text."""
    path = folder / manifest.FILE_NAME
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
    with pytest.raises(manifest.UnreadableManifestError) as caught:
        manifest.read(folder)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and said.endswith("; copy it again, or make the data set again")
    assert "\n" not in said and len(said) < 300 + len(str(path))
    return said


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:100], "line "),
        (lambda text: "", "Expecting value"),
        (lambda text: "[" * 100_000, "recursion"),
        (lambda text: "1" * 1_000_000, "it is inf, not an object"),
        (lambda text: "[]", "it is [], not an object"),
        (lambda text: text.replace('"cat"', "\udcff"), "utf-8"),
        (lambda text: text.replace('"classes"', '"glasses"'), "classes is missing"),
        (lambda text: text.replace('"records": ', '"records": 1, "records": '), "names 'records' twice"),
        (lambda text: text.replace('"mean": [', '"mean": [NaN,'), "holds NaN, which is not a number"),
        (lambda text: text.replace('"seed": 0', '"seed": {"a": [1e999]}'), "options.seed.a[0] is inf, not a finite"),
        (lambda text: text.replace('"seed": 0', '"seed": ' + 50 * "[" + 50 * "]"), "not a plain value"),
    ],
)
def test_text_that_is_no_manifest(copy, damage, said):
    assert said in wrong(copy, damage((copy / manifest.FILE_NAME).read_text()))


SHARD = ("splits", "train", "shards", 2)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("format_version",), 3, "format_version is 3, this program reads 2; use a newer one"),
        (("format_version",), True, "format_version is True, not a whole number of 1 or more"),
        (("image_size",), 10**400, "image_size is inf, not a whole number of 1 to 4096"),
        (("image_size",), 10**19, "image_size is 10000000000000000000, not"),
        (("image_size",), -96, "image_size is -96, not"),
        (("image_size",), 96.0, "image_size is 96.0, not"),
        (("resize",), "squash", "resize is 'squash', not one of stretch, crop, pad"),
        (("resize",), ["stretch"], "resize is ['stretch'], not one of"),
        (("mean",), [1, 2], "mean has 2 items, not 3"),
        (("mean",), [1, 2, 256], "mean[2] is 256, not a number of 0 to 255"),
        (("deviation",), [1, -1, 2], "deviation[1] is -1, not"),
        (("deviation",), [1, True, 2], "deviation[1] is True, not"),
        (("classes",), ["cat", "cat"], "classes[1] is 'cat', not a name of its own"),
        (("classes",), ["cat", ""], "classes[1] is '', not a name of its own"),
        (("classes",), ["cat", "d\0g"], r"classes[1] is 'd\x00g', not a text"),
        (("classes",), ["x" * 100_000, "dog"], "not a text of up to 1000 characters"),
        (("classes",), ["cat", "\ud800"], r"classes[1] is '\ud800', not a text that can be written as UTF-8"),
        (("classes",), ["cat", 1], "classes[1] is 1, not a text"),
        (("classes",), ["cat"], "counts has 2 items, not 1"),
        (("options", "encoding"), "gif", "options.encoding is 'gif', not one of jpeg, png, raw"),
        (("options", "encoding"), "raw", "options.pixels_offset is missing"),
        (("options",), None, "options is None, not an object"),
        (("splits",), {}, "splits is {}, not an object with members"),
        (("splits",), {"../x": {}}, "a name in splits is '../x', not letters and digits"),
        (("splits", "train"), [], "splits.train is [], not an object"),
        (("splits", "train", "counts"), [1, 1], "splits.train.counts is [1, 1], not"),
        (("splits", "train", "counts"), [-1, 1], "splits.train.counts[0] is -1, not"),
        ((*SHARD, "records"), 2**40, "splits.train.shards[2].records is 1099511627776, not what the"),
        ((*SHARD, "records"), 0, "splits.train.shards[2].records is 0, not what the"),
        ((*SHARD, "bytes"), 10**300, "splits.train.shards[2].bytes is 1e+300, not a whole number"),
        ((*SHARD, "sha256"), "A" * 64, "not 64 hexadecimal digits"),
        ((*SHARD, "name"), "/proc/self/environ", "'/proc/self/environ', not train-00002-of-00003.tfrecord"),
        ((*SHARD, "name"), "../train-00002-of-00003.tfrecord", "not train-00002-of-00003.tfrecord"),
        ((*SHARD, "name"), "train-00001-of-00003.tfrecord", "not train-00002-of-00003.tfrecord"),
        (("rejected",), {"empty": -1}, "rejected.empty is -1, not"),
        (("made_by",), 1, "made_by is 1, not a text"),
    ],
)
def test_each_field_is_checked_and_named(copy, place, value, said):
    content = json.loads((copy / manifest.FILE_NAME).read_text())
    member = content
    for name in place[:-1]:
        member = member[name]
    member[place[-1]] = value
    assert said in wrong(copy, json.dumps(content))
    member.pop(place[-1])
    if place != ("splits", "train"):
        assert " is missing" in wrong(copy, json.dumps(content))


def test_the_layout_of_raw_records_is_checked(samples, tmp_path):
    made = make(samples / "train", tmp_path / "raw", encoding="raw", validation=0.3)
    content = json.loads(made.to_json())
    for name, value in (("pixels_offset", made.options["pixels_offset"] - 1), ("record_bytes", 2**40)):
        changed = {**content, "options": {**content["options"], name: value}}
        assert "options.pixels_offset is " in wrong(tmp_path / "raw", json.dumps(changed))
    content["splits"]["train"]["shards"][0]["records"] += 1
    assert "records is " in wrong(tmp_path / "raw", json.dumps(content))


def test_names_of_classes_are_checked_before_the_work():
    with pytest.raises(InputError, match="not a text of up to 1000 characters; rename the class"):
        manifest.check_classes(["x" * 2000, "dog"])
