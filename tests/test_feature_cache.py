from __future__ import annotations

import os

import numpy as np

from dogcat import feature_cache

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


def test_a_damaged_file_counts_as_none(tmp_path):
    feature_cache.keep(tmp_path, MADE_FROM, FEATURES)
    [file] = tmp_path.iterdir()
    sound = file.read_bytes()
    at = sound.index(FEATURES.tobytes())
    for damaged in (sound[: len(sound) // 2], b"", sound[:at] + b"\xff" + sound[at + 1 :]):
        file.write_bytes(damaged)
        assert feature_cache.load(tmp_path, MADE_FROM) is None
    file.write_bytes(sound)
    assert feature_cache.load(tmp_path, MADE_FROM) is not None


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
