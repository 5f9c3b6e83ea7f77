from __future__ import annotations

import hashlib
import json
import os
import struct

import fuzzing
import numpy as np
import pytest

from dogcat.core import cache, files
from dogcat.core.cache import Entry
from dogcat.models import feature_cache

MADE_FROM = {"data": "0123", "view": 0, "batches": [32, 1]}
FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_features_come_back_as_they_were(tmp_path):
    assert feature_cache.load(tmp_path, MADE_FROM) is None
    feature_cache.keep(tmp_path / "new", MADE_FROM, FEATURES)
    kept = feature_cache.load(tmp_path / "new", MADE_FROM)
    np.testing.assert_array_equal(kept, FEATURES)
    assert kept.dtype == np.float32


def test_whatever_made_them_is_part_of_the_key(tmp_path):
    feature_cache.keep(tmp_path, MADE_FROM, FEATURES)
    for change in ({"data": "0124"}, {"view": 1}, {"batches": [32, 2]}, {"more": 1}):
        assert feature_cache.load(tmp_path, {**MADE_FROM, **change}) is None
    # The order of the names says nothing.
    assert feature_cache.load(tmp_path, dict(reversed(list(MADE_FROM.items())))) is not None


def keep_one(folder):
    """Keeps features, and returns their file."""
    feature_cache.keep(folder, MADE_FROM, FEATURES)
    [file] = folder.iterdir()
    return file


def test_a_damaged_entry_counts_as_none_is_said_and_replaced(tmp_path, capsys):
    file = keep_one(tmp_path)
    sound = file.read_bytes()
    for damaged in (sound[: len(sound) // 2], b"", bytes(len(sound)), sound + b"more", b"somebody's notes"):
        files.note.cache_clear()
        file.write_bytes(damaged)
        assert feature_cache.load(tmp_path, MADE_FROM) is None
        said = capsys.readouterr().err
        assert (
            said.startswith(f"note: {file}: is damaged, or not a cache entry of this version") and said.count("\n") == 1
        )
        feature_cache.keep(tmp_path, MADE_FROM, FEATURES)
        assert file.read_bytes() == sound and len(list(tmp_path.iterdir())) == 1
    assert capsys.readouterr().err == ""


def test_an_entry_under_the_name_of_another_counts_as_none(tmp_path):
    file = keep_one(tmp_path)
    other = {**MADE_FROM, "view": 1}
    file.rename(Entry(tmp_path, other, ".features").path)
    assert feature_cache.load(tmp_path, other) is None


def test_one_wrong_byte_anywhere_is_noticed(tmp_path):
    file = keep_one(tmp_path)
    sound = file.read_bytes()
    for at in range(len(sound)):
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 0x40]) + sound[at + 1 :])
        assert feature_cache.load(tmp_path, MADE_FROM) is None, at


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.long)])
def test_mutated_entries_never_give_other_features(tmp_path, count):
    file = keep_one(tmp_path)
    sound = file.read_bytes()

    def load(data):
        file.write_bytes(data)
        kept = feature_cache.load(tmp_path, MADE_FROM)
        assert (kept is None) == (data != sound)

    with fuzzing.memory_within(64 * 2**20):
        fuzzing.check(load, fuzzing.mutations(sound, count, seed=1))


def test_memory_is_asked_for_only_where_the_hash_is_right(tmp_path):
    file = keep_one(tmp_path)
    with fuzzing.memory_within(64 * 2**20):
        # Of each of these numbers of channels, the hash is right.
        for channels in (0, 2**40, 2**63, 5):
            rest = struct.pack("<Q", channels) + FEATURES.tobytes()
            head = file.read_bytes()[: cache.HEAD_BYTES]
            file.write_bytes(head + hashlib.sha256(rest).digest() + rest)
            assert feature_cache.load(tmp_path, MADE_FROM) is None
        # 2 TiB that take no room.
        os.truncate(file, 2**41)
        assert feature_cache.load(tmp_path, MADE_FROM) is None


def keep_former(folder):
    """Keeps features as version 0.1.0 did, and returns their file."""
    text = json.dumps(MADE_FROM, sort_keys=True)
    file = folder / (hashlib.sha256(text.encode()).hexdigest()[:32] + ".npz")
    np.savez(file, features=FEATURES, made_from=text)
    return file


def test_entries_of_the_first_version_are_read_and_left_alone(tmp_path):
    former = keep_former(tmp_path)
    before = former.read_bytes()
    kept = feature_cache.load(tmp_path, MADE_FROM)
    np.testing.assert_array_equal(kept, FEATURES)
    assert kept.dtype == np.float32
    new = keep_one(tmp_path / "new").name
    feature_cache.keep(tmp_path, MADE_FROM, FEATURES + 1)
    np.testing.assert_array_equal(feature_cache.load(tmp_path, MADE_FROM), FEATURES + 1)
    assert {path.name for path in tmp_path.iterdir()} == {former.name, new, "new"}
    assert former.read_bytes() == before
    # Under the name of another it counts as none, and is said.
    other = {**MADE_FROM, "view": 1}
    former.rename(Entry(tmp_path, other, ".npz").path)
    assert feature_cache.load(tmp_path, other) is None


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.long)])
def test_mutated_entries_of_the_first_version_never_give_other_features(tmp_path, capsys, count):
    file = keep_former(tmp_path)
    sound = file.read_bytes()
    refused = 0

    def load(data):
        nonlocal refused
        file.write_bytes(data)
        kept = feature_cache.load(tmp_path, MADE_FROM)
        refused += kept is None
        # What no reader of archives looks at, like a time, may be wrong.
        assert kept is None or np.array_equal(kept, FEATURES)

    with fuzzing.memory_within(64 * 2**20):
        fuzzing.check(load, fuzzing.mutations(sound, count, seed=1))
        # 2 TiB that take no room.
        file.write_bytes(sound)
        os.truncate(file, 2**41)
        assert feature_cache.load(tmp_path, MADE_FROM) is None
    assert refused > count * 0.9
    assert f"{file}: is damaged, or not a cache entry of this version" in capsys.readouterr().err


@pytest.mark.parametrize(
    "features",
    [
        *(FEATURES.astype("f8"), FEATURES.astype(">f4"), FEATURES.T, FEATURES[0], FEATURES[:, :0]),
        np.array([[None]], object),
    ],
)
def test_an_archive_of_something_else_counts_as_none(tmp_path, features):
    file = keep_former(tmp_path)
    np.savez(file, features=features, made_from=json.dumps(MADE_FROM, sort_keys=True))
    assert feature_cache.load(tmp_path, MADE_FROM) is None
    # Nor one that inflates to more than it takes.
    np.savez_compressed(file, features=np.zeros((4000, 300), "f4"), made_from=json.dumps(MADE_FROM, sort_keys=True))
    assert feature_cache.load(tmp_path, MADE_FROM) is None


def test_those_used_longest_ago_go_first(tmp_path, monkeypatch):
    for view in range(3):
        feature_cache.keep(tmp_path, {"view": view}, FEATURES)
    for age, file in enumerate(sorted(tmp_path.iterdir())):
        os.utime(file, (1000 - age, 1000 - age))
    feature_cache.load(tmp_path, {"view": 0})
    size = next(tmp_path.iterdir()).stat().st_size
    monkeypatch.setattr(feature_cache, "LARGEST_BYTES", 2 * size)
    feature_cache.keep(tmp_path, {"view": 3}, FEATURES)
    kept = [view for view in range(4) if feature_cache.load(tmp_path, {"view": view}) is not None]
    assert kept == [0, 3]
