"""Predictions that are kept while the command works: damaged, of someone else, in use."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from fuzzing import check, full_disk, json_mutations, mutations, tree

from dogcat.core import journal
from dogcat.core.options import InputError
from dogcat.dataset.encoding import Rejection
from dogcat.prediction import partial
from dogcat.prediction.options import PredictionOptions

KEYS = [f"{number}.jpg" for number in range(8)]
MADE_FROM = {"model": ["a", "b"], "images": "x"}


def go_on_with(path, keys=KEYS, outputs=(2, 1)):
    options = PredictionOptions(output=str(path), resume=True)
    with partial.PartialPredictions(options, MADE_FROM, keys, outputs) as found:
        return found.pictures, np.concatenate(found.logits).tolist() if found.logits else [], found.rejections


@pytest.fixture
def half(tmp_path):
    """Four of eight pictures, one of them unreadable."""
    with partial.PartialPredictions(PredictionOptions(output=f"{tmp_path}/s.csv"), MADE_FROM, KEYS, (2, 1)) as begun:
        for first in (0, 2):
            rejections = [Rejection(KEYS[first], "truncated", "")] if first else []
            begun.add(np.full((2, 2, 1), first + 0.1, np.float32), rejections)
    return tmp_path / "s.csv"


def test_what_is_kept_comes_back(half):
    pictures, logits, rejections = go_on_with(half)
    assert pictures == 4 and rejections == [Rejection("2.jpg", "truncated", "")]
    np.testing.assert_array_equal(logits, np.float32([[[0.1]] * 2] * 2 + [[[2.1]] * 2] * 2))


@pytest.mark.parametrize(
    "logits",
    [
        *([[[0.1]]], [[0.1, 0.2]], [0.1], 0.1, [], [[]], [[[]]], None, "0.1", {"a": 1}, [[["0.1"], ["0.2"]]]),
        *([[[0.1], [0.2, 0.3]]], [[[0.1, 0.2], [0.1, 0.2]]], [[[0.1], [0.2], [0.3]]], [[[True], [False]]]),
        *([[[float("nan")], [0.1]]], [[[float("inf")], [0.1]]], [[[1e300], [0.1]]], [[[10**400], [0.1]]]),
        [[[0.1], [0.2]]] * 9,
    ],
)
def test_batches_that_do_not_fit_are_damage(half, logits):
    file = partial.path_beside(half)
    content = file.read_bytes() + journal.line({"logits": logits, "rejections": []})
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"s\.csv\.partial: is damaged"):
        go_on_with(half)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "tail", [b'{"logits": ' + b"[" * 100_000 + b"\n", b"\n", b"\0" * 99 + b"\n", b"1" * 9000 + b"\n"]
)
def test_lines_that_are_none_are_damage(half, tail):
    file = partial.path_beside(half)
    file.write_bytes(file.read_bytes() + tail)
    with pytest.raises(InputError, match="is damaged"):
        go_on_with(half)


@pytest.mark.parametrize("count", [300, pytest.param(6000, marks=pytest.mark.long)])
def test_whatever_was_damaged_is_told_or_nothing_is_lost(half, count):
    file = partial.path_beside(half)
    whole = file.read_bytes()
    right = go_on_with(half)
    right_rows = {json.dumps(row) for row in right[1]}

    def try_one(content):
        file.write_bytes(content)
        pictures, logits, _ = go_on_with(half)
        # A cut is no damage: what is behind it is computed again.
        assert pictures in (0, 2, 4) and {json.dumps(row) for row in logits} <= right_rows

    refused = check(try_one, mutations(whole, count, seed=1))
    lines = whole.splitlines()
    changed = []
    for place, line in enumerate(lines):
        content = json.loads(line)
        del content["crc32"]
        for mutated in json_mutations(content, count // 6, seed=place):
            new = json.loads(mutated)
            if isinstance(new, dict) and new and new != content:
                # Told by what they say, since the checksum is right.
                changed.append(b"\n".join([*lines[:place], journal.line(new)[:-1], *lines[place + 1 :]]) + b"\n")

    def try_other(content):
        file.write_bytes(content)
        go_on_with(half)

    assert refused > count // 2 and check(try_other, changed) > len(changed) // 2


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "dangling link"])
def test_what_is_no_regular_file_is_in_the_way(tmp_path, kind):
    file, target = tmp_path / "s.csv.partial", tmp_path / "target"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(target)
        if kind == "link":
            target.write_bytes(b"")
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"s\.csv\.partial: is in the way"):
        go_on_with(tmp_path / "s.csv")
    assert tree(tmp_path) == before


def test_two_at_once_do_not_write_into_each_other(half):
    options = PredictionOptions(output=str(half), resume=True)
    second = pytest.raises(InputError, match="is being written by another process")
    with partial.PartialPredictions(options, MADE_FROM, KEYS, (2, 1)), second:
        go_on_with(half)
    assert go_on_with(half)[0] == 4


def test_a_full_disk_keeps_what_was_predicted_before(half):
    kept = partial.path_beside(half).read_bytes()
    options = PredictionOptions(output=str(half), resume=True)
    going_on = partial.PartialPredictions(options, MADE_FROM, KEYS, (2, 1))
    with full_disk(len(kept) + 50), pytest.raises(OSError) as error, going_on as begun:
        begun.add(np.zeros((4, 2, 1), np.float32), [])
    assert error.value.filename == f"{half}.partial"
    assert "(4 pictures are kept in " in error.value.strerror
    assert go_on_with(half)[0] == 4
