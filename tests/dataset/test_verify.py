from __future__ import annotations

import shutil

import pytest
from shard_files import change, data_of, edit_manifest, features_of, problems_of, rewrite, shards_of

from dogcat.dataset import example_proto, manifest, verify


@pytest.fixture
def copy(tfrecords, tmp_path):
    return shutil.copytree(tfrecords, tmp_path / "copy")


@pytest.mark.parametrize("workers", [1, 3])
def test_a_data_set_as_it_was_written_is_right(tfrecords, workers):
    assert problems_of(tfrecords, workers=workers) == []


def test_missing_and_foreign_shards(copy):
    first = shards_of(copy)[0]
    (copy / first.name).rename(copy / "train-00007-of-00008.tfrecord")
    found = problems_of(copy)
    assert [(p.shard, p.what) for p in found] == [
        ("train-00007-of-00008.tfrecord", "is not in the manifest"),
        (first.name, "is missing"),
    ]
    assert [p.shard for p in verify.check_sizes(copy, manifest.read(copy))] == [first.name]


@pytest.mark.parametrize("other", [1, 3])
def test_two_shards_that_changed_places(copy, other):
    first, second = shards_of(copy)[0], shards_of(copy)[other]
    (copy / first.name).rename(copy / "aside")
    (copy / second.name).rename(copy / first.name)
    (copy / "aside").rename(copy / second.name)
    assert [(p.shard, p.what) for p in problems_of(copy)] == [
        (first.name, f"has the content of {second.name}"),
        (second.name, f"has the content of {first.name}"),
    ]


def test_a_shard_copied_over_another(copy):
    first, second = shards_of(copy)[:2]
    shutil.copy(copy / first.name, copy / second.name)
    assert [(p.shard, p.what) for p in problems_of(copy)] == [(second.name, f"has the content of {first.name}")]


def test_a_wrong_label_with_its_text_shows_in_the_counts(copy):
    shard = shards_of(copy)[0]
    features = features_of(data_of(copy / shard.name)[0])
    other = 1 - features[example_proto.LABEL]
    change(copy, shard.name, 0, LABEL=other, TEXT=manifest.read(copy).classes[other].encode())
    (found,) = problems_of(copy)
    assert found.shard == manifest.FILE_NAME
    assert found.what.startswith("the pictures of train: cat ") and ", dog " in found.what


def test_counts_of_the_manifest(copy):
    def exchange(content):
        content["splits"]["train"]["counts"][0] += 1
        content["splits"]["train"]["counts"][1] -= 1

    edit_manifest(copy, exchange)
    (found,) = problems_of(copy)
    assert found.shard == manifest.FILE_NAME and "the pictures of train: cat " in found.what


def test_a_key_that_stands_twice(copy):
    first, *_, last = shards_of(copy)
    key = features_of(data_of(copy / first.name)[1])[example_proto.FILENAME]
    change(copy, last.name, 2, FILENAME=key)
    (found,) = problems_of(copy)
    assert (found.shard, found.record, found.filename) == (last.name, 2, key.decode())
    assert found.what == f"the same key as {first.name}, record 1"


def test_a_record_more_or_less_than_the_manifest_says(copy):
    shard = shards_of(copy)[0]
    rewrite(copy, shard.name, data_of(copy / shard.name)[:-1])
    edit_manifest(copy, lambda content: content["splits"]["train"]["shards"][0].update(records=shard.records))
    found, of_index = problems_of(copy)
    assert f"holds {shard.records - 1} whole records, the manifest says {shard.records}" in found.what
    assert of_index.what.startswith(f"is damaged: it is of {shard.records - 1} records in ")
