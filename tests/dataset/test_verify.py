from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil

import fuzzing
import pytest
from conftest import make

from dogcat.dataset import example_proto, manifest, tfrecord, verify
from dogcat.pictures import decode, encoder

HEADER = 12
FOOTER = 4


@pytest.fixture
def copy(tfrecords, tmp_path):
    return shutil.copytree(tfrecords, tmp_path / "copy")


def problems_of(folder, **options):
    return verify.verify(folder, manifest.read(folder), **options)


def shards_of(folder):
    return [shard for split in manifest.read(folder).splits.values() for shard in split.shards]


def data_of(path):
    """The data of each record, read by the lengths alone."""
    content, at, found = path.read_bytes(), 0, []
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little")
        found.append(content[at + HEADER : at + HEADER + length])
        at += HEADER + length + FOOTER
    return found


def offsets_of(path):
    offsets = [0]
    for data in data_of(path):
        offsets.append(offsets[-1] + len(data) + tfrecord.FRAME_BYTES)
    return offsets


def features_of(data):
    return {key: values[0] for key, values in example_proto.decode_example(data).items()}


def keys_of(path):
    return [features_of(data)[example_proto.FILENAME].decode() for data in data_of(path)]


def rewrite(folder, name, all_data):
    """Writes a shard with right checksums, and its size, number and hash into the manifest."""
    content = b"".join(map(tfrecord.frame, all_data))
    (folder / name).write_bytes(content)
    facts = {"records": len(all_data), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_manifest(folder, lambda made: next(s for s in all_shards(made) if s["name"] == name).update(facts))


def all_shards(content):
    return [shard for split in content["splits"].values() for shard in split["shards"]]


def edit_manifest(folder, edit):
    path = folder / manifest.FILE_NAME
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def change(folder, name, number, **features):
    """Changes features of one record: encoded=..., label=... and so on."""
    all_data = data_of(folder / name)
    changed = features_of(all_data[number])
    changed.update({getattr(example_proto, key): value for key, value in features.items()})
    all_data[number] = example_proto.encode_example({key: value for key, value in changed.items() if value is not None})
    rewrite(folder, name, all_data)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_data_set_as_it_was_written_is_right(tfrecords, workers):
    assert problems_of(tfrecords, workers=workers) == []


def test_each_of_200_flipped_bits_is_found_in_its_record(copy):
    drawn = random.Random(0)
    shards = shards_of(copy)
    contents = {shard.name: (copy / shard.name).read_bytes() for shard in shards}
    offsets = {shard.name: offsets_of(copy / shard.name) for shard in shards}
    keys = {shard.name: keys_of(copy / shard.name) for shard in shards}
    for flip in range(200):
        shard = drawn.choice(shards)
        begins = offsets[shard.name]
        number = drawn.randrange(shard.records)
        start, end = begins[number], begins[number + 1]
        # A quarter each in the length, its checksum, the data and their checksum.
        first, last = [
            (start, start + 8),
            (start + 8, start + HEADER),
            (start + HEADER, end - FOOTER),
            (end - FOOTER, end),
        ][flip % 4]
        damaged = bytearray(contents[shard.name])
        damaged[drawn.randrange(first, last)] ^= 1 << drawn.randrange(8)
        (copy / shard.name).write_bytes(damaged)
        found = problems_of(copy)
        of_file, of_record = found
        assert of_file.shard == of_record.shard == shard.name
        assert of_file.record is None and "sha256" in of_file.what
        assert (of_record.record, of_record.offset) == (number, start)
        if flip % 4 != 2:
            assert of_record.filename == keys[shard.name][number]
        assert ("data do not match" if flip % 4 >= 2 else "length") in of_record.what
        (copy / shard.name).write_bytes(contents[shard.name])


def test_two_neighbours_that_are_both_damaged(copy):
    shard = shards_of(copy)[0]
    begins = offsets_of(copy / shard.name)
    content = bytearray((copy / shard.name).read_bytes())
    content[begins[2] + 100] ^= 1
    content[begins[3]] ^= 1
    content[begins[4] + 100] ^= 1
    (copy / shard.name).write_bytes(content)
    assert [p.record for p in problems_of(copy)] == [None, 2, 3, 4]


def test_a_cut_file(copy):
    shard = shards_of(copy)[1]
    begins = offsets_of(copy / shard.name)
    content = (copy / shard.name).read_bytes()
    (copy / shard.name).write_bytes(content[: begins[3] + 500])
    found = problems_of(copy)
    assert [(p.shard, p.record, p.offset) for p in found] == [
        (shard.name, None, None),
        (shard.name, None, None),
        (shard.name, 3, begins[3]),
    ]
    assert f"has {begins[3] + 500} bytes, the manifest says {len(content)}" in found[0].what
    assert f"holds 3 whole and 1 damaged records, the manifest says {shard.records}" in found[1].what
    assert "cut short" in found[2].what


@pytest.mark.parametrize("left", [0, 5, 13])
def test_a_file_cut_near_the_beginning_of_a_record(copy, left):
    shard = shards_of(copy)[0]
    begins = offsets_of(copy / shard.name)
    content = (copy / shard.name).read_bytes()
    (copy / shard.name).write_bytes(content[: begins[-2] + left])
    found = problems_of(copy)
    assert [p.record for p in found] == ([None, None] if left == 0 else [None, shard.records - 1])


@pytest.mark.parametrize("junk", [b"\0", b"junk" * 100, bytes(3_000_000)])
def test_trailing_junk(copy, junk):
    shard = shards_of(copy)[0]
    with open(copy / shard.name, "ab") as file:
        file.write(junk)
    found = problems_of(copy)
    assert [(p.shard, p.record, p.offset) for p in found] == [
        (shard.name, None, None),
        (shard.name, shard.records, shard.bytes),
    ]
    assert f"has {shard.bytes + len(junk)} bytes" in found[0].what


def test_bytes_missing_from_the_middle_cost_one_record(copy):
    shard = shards_of(copy)[0]
    begins = offsets_of(copy / shard.name)
    content = (copy / shard.name).read_bytes()
    (copy / shard.name).write_bytes(content[: begins[2] + 200] + content[begins[2] + 300 :])
    assert [(p.record, p.offset) for p in problems_of(copy) if p.record is not None] == [(2, begins[2])]


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


def test_a_record_more_or_less_than_the_manifest_says(copy):
    shard = shards_of(copy)[0]
    rewrite(copy, shard.name, data_of(copy / shard.name)[:-1])
    edit_manifest(copy, lambda content: content["splits"]["train"]["shards"][0].update(records=shard.records))
    (found,) = problems_of(copy)
    assert f"holds {shard.records - 1} whole records, the manifest says {shard.records}" in found.what


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


def test_a_shard_that_is_no_file(copy):
    shard = shards_of(copy)[0]
    (copy / shard.name).unlink()
    (copy / shard.name).mkdir()
    assert [(p.shard, p.what) for p in problems_of(copy)] == [(shard.name, "is not a regular file")]
    (copy / shard.name).rmdir()
    # Its size is 0, and what is read of it has no end.
    for target in ("/proc/self/environ", "/dev/zero"):
        (copy / shard.name).symlink_to(target)
        assert {p.shard for p in problems_of(copy)} == {shard.name}
        (copy / shard.name).unlink()


@pytest.mark.parametrize("grows_by", [b"\0", b"\xff" * 1000])
def test_a_shard_that_grows_while_it_is_read(copy, monkeypatch, grows_by):
    shard = shards_of(copy)[1]
    check = verify.check_record

    def append_and_check(name, record, split, made):
        if name == shard.name:
            with open(copy / name, "ab") as file:
                file.write(grows_by)
        return check(name, record, split, made)

    monkeypatch.setattr(verify, "check_record", append_and_check)
    (found,) = problems_of(copy)
    size = shard.bytes + shard.records * len(grows_by)
    assert (found.shard, found.what) == (shard.name, f"has {size} bytes, the manifest says {shard.bytes}")


def test_a_hole_of_a_terabyte_costs_neither_time_nor_memory(copy):
    shard = shards_of(copy)[0]
    os.truncate(copy / shard.name, 2**40)
    with fuzzing.memory_within(2**26):
        (found,) = problems_of(copy)
        assert (found.shard, found.record) == (shard.name, None)
        with open(copy / shard.name, "wb") as file:
            file.write(tfrecord.frame_header(2**27))
            file.truncate(2**27 + tfrecord.FRAME_BYTES)
        (record,) = tfrecord.read_records(copy / shard.name, largest=2**20)
        assert record.damage == f"the record's length is {2**27} bytes, more than such a picture can have"
