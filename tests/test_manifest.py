from __future__ import annotations

import json
import shutil

import pytest

from dogcat import manifest
from dogcat.config import InputError


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
    shard = next(copy.glob("train-*"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    assert shard.name in refusal(copy) and str(len(content)) in refusal(copy)
    shard.unlink()
    assert f"{shard.name} is missing" in refusal(copy)
    path = copy / manifest.FILE_NAME
    path.write_text('{"format_version": 99}')
    assert "format version 99" in refusal(copy)
    path.unlink()
    assert "no finished data set" in refusal(copy)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[:100], "line "),
        (lambda text: "", "Expecting value"),
        (lambda text: "[" * 100_000, "recursion"),
        (lambda text: "1" * 10_000, "dataset.json is "),
        (lambda text: "[]", "dataset.json is [], which is no Manifest"),
        (lambda text: text.replace('"classes"', '"glasses"'), "dataset.json lacks 'classes'"),
        (lambda text: text.replace('"bytes": ', '"bytes": "" , "x": '), "shards[0] has an unknown field 'x'"),
        (
            lambda text: text.replace('"records": ', '"records": -0.'),
            ".train.shards[0].records is -0.",
        ),
        (lambda text: text.replace('"cat"', "\udcff"), "utf-8"),
        (lambda text: text.replace('"format_version": 1', '"format_version": 2'), "version 2, this program reads 1"),
        (lambda text: text.replace('"format_version": 1', '"format_version": true'), "format_version is True"),
    ],
)
def test_a_damaged_manifest_tells_what_is_wrong(copy, damage, said):
    path = copy / manifest.FILE_NAME
    path.write_bytes(damage(path.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(manifest.UnreadableManifestError) as caught:
        manifest.read(copy)
    assert str(caught.value).startswith(f"{path} is no manifest") and "\n" not in str(caught.value)
    assert said in str(caught.value)
