from __future__ import annotations

import dataclasses
import shutil

import pytest
from conftest import make
from shard_files import change, data_of, features_of, problems_of, rewrite, shards_of

from dogcat.dataset import example_proto, tfrecord, verify
from dogcat.pictures import decode, encoder


@pytest.fixture
def copy(tfrecords, tmp_path):
    return shutil.copytree(tfrecords, tmp_path / "copy")


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ({"LABEL": 2}, "image/class/label is 2, the manifest has 2 classes"),
        ({"LABEL": -1, "TEXT": b""}, "image/class/label is -1"),
        ({"TEXT": b"cow"}, "image/class/text is 'cow'"),
        ({"TEXT": None}, "image/class/text is missing"),
        ({"LABEL": b"0"}, "image/class/label is of type bytes"),
        ({"HEIGHT": 95}, "is 95x96, not 96x96"),
        ({"FORMAT": b"png"}, "image/format is png, the picture begins with"),
        ({"FORMAT": b"gif"}, "'gif', none of jpeg, png, raw"),
        ({"ENCODED": b""}, "begins with b''"),
        ({"FILENAME": b""}, "image/filename is empty"),
        ({"HEIGHT": 1, "TEXT": b"\n"}, r"is 1x96, not 96x96; image/class/text is '\\n'"),
    ],
)
def test_a_wrong_feature_is_named_with_its_record(copy, features, said):
    shard = shards_of(copy)[3]
    key = features_of(data_of(copy / shard.name)[1])[example_proto.FILENAME].decode()
    change(copy, shard.name, 1, **features)
    (found,) = problems_of(copy)
    named = {b"": ""}.get(features.get("FILENAME"), key)
    unreadable = None in features.values() or features.get("LABEL") == b"0"
    assert (found.shard, found.record, found.filename) == (shard.name, 1, None if unreadable else named)
    assert said in found.what
    assert len(str(found).splitlines()) == 1


def test_pictures_that_do_not_decode_or_are_of_another_size(copy):
    shard = shards_of(copy)[2]
    encoded = features_of(data_of(copy / shard.name)[0])[example_proto.ENCODED]
    change(copy, shard.name, 0, ENCODED=encoded[: len(encoded) // 2])
    smaller = encoder.encode(decode.decode(encoded, 10**6).pixels[:40], "jpeg", 95, "420")
    change(copy, shard.name, 3, ENCODED=smaller)
    assert [(p.shard, p.record) for p in problems_of(copy)] == [(shard.name, 0), (shard.name, 3)]
    assert "cannot be decoded" in problems_of(copy)[0].what
    assert "has 40x96 pixels, not 96x96" in problems_of(copy)[1].what


def test_a_record_that_is_no_example(copy):
    shard = shards_of(copy)[0]
    all_data = data_of(copy / shard.name)
    rewrite(copy, shard.name, [b"no example", *all_data[1:]])
    (found,) = problems_of(copy)
    assert (found.record, found.offset) == (0, 0) and "no tf.train.Example" in found.what


def test_raw_pixels_among_encoded_ones(copy):
    shard = shards_of(copy)[0]
    pixels = decode.decode(features_of(data_of(copy / shard.name)[0])[example_proto.ENCODED], 10**6).pixels
    change(copy, shard.name, 0, ENCODED=pixels.tobytes(), FORMAT=b"raw")
    assert [p.what for p in problems_of(copy)] == ["image/format is raw, the manifest says jpeg"]


def test_a_raw_record_of_another_layout(samples, tmp_path):
    made = make(samples / "train", tmp_path / "raw", encoding="raw")
    assert verify.verify(tmp_path / "raw", made) == []
    name = made.splits["train"].shards[0].name
    data = data_of(tmp_path / "raw" / name)
    # Unknown fields are passed over by whoever reads the message, and move what lies behind them.
    data[1] = b"\x1a\x02\0\0" + data[1]
    data[2] = b"\x1a\x02\0\0" + data[2][:-4]
    (tmp_path / "raw" / name).write_bytes(b"".join(map(tfrecord.frame, data)))
    told = {p.record: p.what for p in verify.verify(tmp_path / "raw", made) if p.record is not None}
    assert f"the manifest says {made.options['record_bytes']}" in told[1]
    assert 2 in told and len(told) == 2


def test_pictures_without_labels_are_right_in_the_split_test_alone(samples, tmp_path):
    made = make(samples / "test", tmp_path / "out", unlabeled=True)
    assert verify.verify(tmp_path / "out", made) == []
    renamed = dataclasses.replace(made, splits={"train": made.splits["test"]})
    told = [p.what for p in verify.verify(tmp_path / "out", renamed) if p.record is not None]
    assert len(told) == made.splits["test"].pictures
    assert all("image/class/label is -1" in what for what in told)
