from __future__ import annotations

import os
import random
import shutil

import fuzzing
import pytest
from shard_files import FOOTER, HEADER, keys_of, offsets_of, problems_of, shards_of

from dogcat.dataset import record_checks, tfrecord


@pytest.fixture
def copy(tfrecords, tmp_path):
    return shutil.copytree(tfrecords, tmp_path / "copy")


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
    check = record_checks.check_record

    def append_and_check(name, record, split, made):
        if name == shard.name:
            with open(copy / name, "ab") as file:
                file.write(grows_by)
        return check(name, record, split, made)

    monkeypatch.setattr(record_checks, "check_record", append_and_check)
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
