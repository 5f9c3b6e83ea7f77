"""Features that are kept for another run, and what becomes of a run where they cannot be."""

from __future__ import annotations

import errno
import os

import fuzzing
import pytest
import tensorflow as tf

from dogcat.core import files
from dogcat.core.cache import Entry
from dogcat.training import frozen_features


@pytest.fixture(autouse=True)
def new_notes():
    files.note.cache_clear()


@pytest.mark.parametrize("kind", ["file", "dangling link", "loop of links", "name too long", "full", "folder", "link"])
def test_where_nothing_can_be_kept_the_work_goes_on_with_one_note(tmp_path, monkeypatch, capsys, kind):
    place = tmp_path / "cache"
    entry = Entry(place / "features", {"a": 0}, ".features")
    if kind == "file":
        place.write_bytes(b"mine")
    elif kind == "dangling link":
        place.symlink_to("nowhere")
    elif kind == "loop of links":
        place.symlink_to("cache")
    elif kind == "name too long":
        place = tmp_path / ("x" * 300)
    elif kind == "full":

        def fail(descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
    elif kind == "folder":
        entry.path.mkdir(parents=True)
    else:
        entry.path.parent.mkdir(parents=True)
        (tmp_path / "mine").write_bytes(b"mine")
        entry.path.symlink_to(tmp_path / "mine")
    before = fuzzing.tree(tmp_path)
    monkeypatch.setenv("DOGCAT_CACHE", str(place))
    features = tf.ones((3, 2)).numpy()
    for _ in range(2):
        computed = frozen_features.from_cache({"a": 0}, lambda: features, tf.distribute.get_strategy())
        assert computed is features
    notes = capsys.readouterr().err.splitlines()
    [unwritable] = [line for line in notes if "features are not kept for another run, since" in line]
    # What lies at the name of an entry and is none is said, too.
    assert len(notes) == 1 + (kind in ("folder", "link", "loop of links", "name too long")), notes
    after = fuzzing.tree(tmp_path)
    assert {name: what for name, what in after.items() if name not in ("cache", "cache/features")} == {
        name: what for name, what in before.items() if name not in ("cache", "cache/features")
    } or kind == "file"
    assert before.get("cache") in (None, after.get("cache"))
