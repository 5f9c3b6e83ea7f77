from __future__ import annotations

import dataclasses
import hashlib
import os

import fuzzing
import numpy as np
import pytest
from conftest import make
from PIL import Image
from shard_files import (
    change,
    data_of,
    edit_manifest,
    entry_of,
    index_of,
    make_version_1,
    offsets_of,
    problems_of,
    rewrite,
    shards_of,
    write_index,
)

from dogcat.core.options import InputError
from dogcat.dataset import manifest, shard_index, tfrecord
from dogcat.dataset.manifest import Shard
from dogcat.dataset.shard_index import ShardIndex
from tools import inspect_tfrecords

ODD_KEYS = ["", "a/b.jpg", "é\u0301/猫.jpg", os.fsdecode(b"\xff\xfe.jpg"), "line\nbreak", "\x00", "x" * 5000]
INDEX = ShardIndex(np.arange(7) * 1000, np.array([0, 1, -1, 65_535, 2, 0, 1], np.int32), ODD_KEYS)


def shard_of(listed, **changes):
    """What a manifest says of a shard with such an index."""
    digest = hashlib.sha256(listed.to_bytes()).hexdigest()
    shard = Shard("train-00000-of-00001.tfrecord", len(listed.keys), listed.shard_bytes, "0" * 64, digest)
    return dataclasses.replace(shard, **changes)


def assert_same(found, expected):
    assert found.keys == expected.keys
    for column in ("lengths", "labels", "offsets"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
    assert (found.lengths.dtype, found.labels.dtype) == (np.int64, np.int32)


@pytest.fixture
def copy(samples, tmp_path):
    """A data set of a few pictures, in two training shards."""
    (tmp_path / "in").mkdir()
    for number in range(6):
        for name in ("cat", "dog"):
            Image.new("RGB", (40, 30), (40 * number, 0, 0)).save(tmp_path / "in" / f"{name}.{number}.png")
    make(tmp_path / "in", tmp_path / "data", shards=2, validation=0.3)
    return tmp_path / "data"


@pytest.mark.parametrize("index", [INDEX, ShardIndex(np.empty(0, np.int64), np.empty(0, np.int32), [])])
def test_comes_back_as_written(index):
    assert_same(shard_index.parse(index.to_bytes(), shard_of(index)), index)


def test_parts_are_joined():
    parts = [ShardIndex(*(column[start:end] for column in INDEX)) for start, end in ((0, 3), (3, 3), (3, 7))]
    assert_same(shard_index.joined(parts), INDEX)
    assert shard_index.joined([]).to_bytes() == bytes(8)


def test_the_writer_tells_of_each_record(copy):
    made = manifest.load(copy)
    for shard in shards_of(copy):
        index, all_data = shard_index.read(copy, shard), data_of(copy / shard.name)
        assert_same(index, index_of(all_data))
        assert [*index.offsets, index.shard_bytes] == offsets_of(copy / shard.name)
        assert shard.records == len(index.keys) and index.labels.max() < len(made.classes)


def replaced(content, at, number, width=4):
    return content[:at] + number.to_bytes(width, "little") + content[at + width :]


GOOD = INDEX.to_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "has 0 bytes, too few for 0 records"),
        (GOOD[:7], "too few"),
        (GOOD[:60], "has 60 bytes, too few for 7 records"),
        (GOOD[:-1], "its keys end at byte"),
        (GOOD + b"x", "its keys end at byte"),
        (replaced(GOOD, 0, 2**64 - 1, 8), "too few for 18446744073709551615 records"),
        (replaced(GOOD, 0, 6, 8), "its keys end at byte"),
        (replaced(GOOD, 8 + 2 * 4 * 7, 2**32 - 1), "its keys end at byte 4294"),
        (replaced(GOOD, 8, 2**32 - 1), "it is of 7 records in 4294"),
        (replaced(GOOD, 8, 1), "it is of 7 records in 21113 bytes, the shard has 7 in 21112"),
    ],
)
def test_an_index_that_cannot_be_that_of_the_shard(content, said):
    with pytest.raises(ValueError, match=said):
        shard_index.parse(content, shard_of(INDEX))


def test_of_fewer_records_than_the_shard():
    with pytest.raises(ValueError, match="it is of 7 records in 21112 bytes, the shard has 8 in 21112"):
        shard_index.parse(GOOD, shard_of(INDEX, records=8))


def test_damage_is_told_in_one_line(tmp_path):
    path = tmp_path / "train-00000-of-00001.tfrecord.index"

    def refusal(**changes):
        with pytest.raises(InputError) as caught:
            shard_index.read(tmp_path, shard_of(INDEX, **changes))
        assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
        return str(caught.value)

    assert refusal() == f"{path} is missing; copy it again, or make the data set again"
    path.write_bytes(GOOD[:-1] + b"y")
    assert "is damaged: its sha256 is not what the manifest says; copy it again" in refusal()
    path.write_bytes(GOOD)
    assert_same(shard_index.read(tmp_path, shard_of(INDEX)), INDEX)
    assert "is damaged: it is of 7 records in 21112 bytes, the shard has 7 in 21113; copy" in refusal(bytes=21113)
    path.write_bytes(bytes(10**6))
    assert "has more than 21,120 bytes" in refusal()
    path.unlink()
    path.mkdir()
    assert "is not a regular file" in refusal()


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.long)])
def test_whatever_stands_in_the_file(tmp_path, count):
    path = tmp_path / "train-00000-of-00001.tfrecord.index"

    def read(content):
        path.write_bytes(content)
        # As whoever damaged the manifest too.
        shard_index.read(tmp_path, dataclasses.replace(shard_of(INDEX), index=hashlib.sha256(content).hexdigest()))

    assert fuzzing.check(read, fuzzing.mutations(GOOD, count, seed=1)) > count // 2


def test_verification_compares_index_and_records(copy):
    shard = shards_of(copy)[0]
    name, right = "train-00000-of-00002.tfrecord.index", index_of(data_of(copy / shard.name))

    def said_of(index):
        write_index(copy, shard.name, index)
        return [(problem.shard, problem.what) for problem in problems_of(copy)]

    assert said_of(right) == []
    swapped = right._replace(labels=1 - right.labels)
    assert said_of(swapped) == [(name, f"the label of record 0 is not that of the record in {shard.name}")]
    renamed = right._replace(keys=[*right.keys[:-1], "other"])
    last = shard.records - 1
    assert said_of(renamed) == [(name, f"the key of record {last} is not that of the record in {shard.name}")]
    moved = right._replace(lengths=right.lengths + np.array([1, -1] + [0] * (shard.records - 2)))
    assert said_of(moved) == [(name, f"the length of record 0 is not that of the record in {shard.name}")]
    # One record more in the same bytes.
    more = ShardIndex(
        np.append(right.lengths[:-1], [right.lengths[-1] - tfrecord.FRAME_BYTES, 0]),
        np.append(right.labels, 0),
        [*right.keys, "more"],
    )
    assert said_of(more) == [(name, f"lists {shard.records + 1} records, {shard.name} has {shard.records}")]


def test_verification_names_an_index_that_is_not_as_written(copy, capsys):
    name = "train-00001-of-00002.tfrecord.index"
    content = (copy / name).read_bytes()

    def printed():
        assert inspect_tfrecords.main(inspect_tfrecords.InspectOptions(str(copy), verify=True)) == 1
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith(name)]

    (copy / name).write_bytes(content[:-1] + b"?")
    assert printed() == [
        f"{name}: is damaged: its sha256 is not what the manifest says; copy it again, or make the data set again"
    ]
    (copy / name).unlink()
    assert printed() == [f"{name}: is missing; copy it again, or make the data set again"]
    (copy / name).mkdir()
    assert printed() == [f"{name}: is not a regular file; give one"]


def test_data_sets_of_version_1_have_no_index(copy):
    make_version_1(copy)
    text = (copy / manifest.FILE_NAME).read_text()
    assert problems_of(copy) == [] and not list(copy.glob("*.index"))
    assert '"index"' not in text and '"index"' not in manifest.load(copy).to_json()
    shard = shards_of(copy)[0]
    change(copy, shard.name, 0, LABEL=7)
    assert any("label is 7" in problem.what for problem in problems_of(copy))


def test_a_manifest_of_version_2_names_each_index(copy):
    edit_manifest(copy, lambda made: entry_of(made, shards_of(copy)[0].name).pop("index"))
    with pytest.raises(InputError, match="index"):
        manifest.load(copy)


def test_records_that_are_no_pictures_are_told_once(copy):
    shard = shards_of(copy)[0]
    rewrite(copy, shard.name, [b"junk", *data_of(copy / shard.name)[1:]])
    assert [(problem.shard, problem.record) for problem in problems_of(copy)][:1] == [(shard.name, 0)]
