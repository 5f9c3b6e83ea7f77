from __future__ import annotations

import dataclasses
import json
import math
import resource

import bundle_files
import pytest
import tensorflow as tf
from fuzzing import check, json_mutations, memory_within, mutations

from dogcat.core.options import InputError
from dogcat.training import checkpoint, epoch_records
from dogcat.training.epoch_records import EpochRecord

FIRST = EpochRecord(0, math.nan, math.nan, 0.1, 0.9, 0.95, math.nan, 3.0, 7.0, math.nan)
SECOND = EpochRecord(1, 0.1 + 0.2, 0.8, 1 / 3, 0.9, 0.95, 1e-4, 3.0, 7.0, 0.01)


def variables(value):
    return tf.train.Checkpoint(one=tf.Variable(value), two=tf.Variable([value, 2.0]))


def progress(**changes):
    return checkpoint.Progress(
        **{"epoch": 1, "step": 3, "seconds": 1.0, "loss_sum": 0.1, "history": [FIRST, SECOND], **changes}
    )


def test_a_state_comes_back_to_the_last_digit(tmp_path):
    saved = progress(stages={"training": 1 / 7}, seconds=2 / 3, right=5.0)
    checkpoint.save(tmp_path / "state", saved, variables(1.5))
    empty = variables(0.0)
    loaded = checkpoint.load(tmp_path / "state", empty)
    assert [dataclasses.astuple(record) for record in loaded.history[1:]] == [dataclasses.astuple(SECOND)]
    assert math.isnan(loaded.history[0].loss) and loaded.history[0].val_loss == 0.1
    assert dataclasses.replace(loaded, history=[]) == dataclasses.replace(saved, history=[])
    assert empty.one.numpy() == 1.5 and empty.two.numpy().tolist() == [1.5, 2.0]


def test_the_newest_state_is_loaded_and_earlier_ones_go(tmp_path):
    for step in (2, 10, 9):
        checkpoint.save(tmp_path, progress(step=step), variables(float(step)))
        assert len(list(tmp_path.iterdir())) == 1
    # As a kill between the new state's appearance and the end of the old one leaves them.
    kept = tmp_path / "00001-0000009"
    kept.rename(tmp_path.parent / "aside")
    checkpoint.save(tmp_path, progress(step=10), variables(10.0))
    (tmp_path.parent / "aside").rename(kept)
    assert checkpoint.load(tmp_path, variables(0.0)).step == 10


def test_nothing_is_no_state(tmp_path):
    assert checkpoint.load(tmp_path / "none", variables(0.0)) is None


@pytest.mark.parametrize("name", ["progress.json", "variables.index", "variables.data-00000-of-00001"])
def test_a_damaged_state_is_named(tmp_path, name):
    checkpoint.save(tmp_path, progress(), variables(1.0))
    [saved] = tmp_path.iterdir()
    (saved / name).write_bytes(b"")
    with pytest.raises(InputError, match="00001-0000003 is damaged .*; start a new run"):
        checkpoint.load(tmp_path, variables(0.0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": 4}, "is of epoch 1 and step 4"),
        ({"step": -1}, "steps or times"),
        ({"seconds": 0.0}, "steps or times"),
        ({"stages": {"training": -1.0}}, "steps or times"),
        ({"history": []}, "is not the last of its history"),
        ({"history": [epoch_records.to_json(SECOND)]}, "epoch 1 stands where 0 would be"),
        ({"loss_sum": None}, "loss_sum is None, not a number"),
        ({"step": 10**20}, "a number has 21 digits"),
    ],
)
def test_progress_that_no_run_makes_is_named(tmp_path, changes, said):
    checkpoint.save(tmp_path, progress(seconds=1.0), variables(1.0))
    [saved] = tmp_path.iterdir()
    path = saved / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=f"is damaged .*{said}.*start a new run without --resume"):
        checkpoint.load(tmp_path, variables(0.0))


@pytest.mark.parametrize("count", [30, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", ["progress.json", "variables.index", "variables.data-00000-of-00001"])
def test_damaged_states_are_taken_or_refused(tmp_path, name, count):
    checkpoint.save(tmp_path, progress(seconds=1.0), variables(1.0))
    [saved] = tmp_path.iterdir()
    path, into = saved / name, variables(0.0)
    whole = path.read_bytes()

    def load(data):
        path.write_bytes(data)
        checkpoint.load(tmp_path, into)

    with memory_within(2**26):
        assert check(load, mutations(whole, count, seed=8)) > count // 4
        if name == "variables.index":
            assert check(load, bundle_files.resealed(whole, count, seed=10)) > count // 4
        if name == "progress.json":
            assert check(load, json_mutations(json.loads(whole), count, seed=9)) > count // 4


def test_a_state_with_which_tensorflow_would_end_the_process_is_named(tmp_path):
    checkpoint.save(tmp_path, progress(), variables(1.0))
    [saved] = tmp_path.iterdir()
    entry = bundle_files.entry(shape=(2**40,), size=2**42)
    pairs = [(b"", bundle_files.HEADER), (b"one/.ATTRIBUTES/VARIABLE_VALUE", entry)]
    (saved / "variables.index").write_bytes(bundle_files.index(bundle_files.block(pairs)))
    said = f"{saved} is damaged .variables.index has the variable 'one/.*more than any of the model.; start a new run"
    with pytest.raises(InputError, match=said):
        checkpoint.load(tmp_path, variables(0.0))


def test_a_state_of_other_objects_is_named(tmp_path):
    checkpoint.save(tmp_path, progress(), tf.train.Checkpoint(one=tf.Variable([1.0]), two=tf.Variable(1.0)))
    with pytest.raises(InputError, match="is damaged .*shape.*start a new run"):
        checkpoint.load(tmp_path, variables(0.0))


def test_a_full_disk_is_named_and_the_state_before_stays(tmp_path):
    checkpoint.save(tmp_path, progress(step=1), variables(1.0))
    large = tf.train.Checkpoint(one=tf.Variable(tf.zeros(100_000)), two=tf.Variable([1.0, 2.0]))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The limit on the size of a file stands for a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(InputError, match=f"{tmp_path}: the state cannot be written .*too large"):
            checkpoint.save(tmp_path, progress(step=2), large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.load(tmp_path, variables(0.0)).step == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_an_epoch_closes(tmp_path):
    now = progress(epoch=0, history=[FIRST], waited=1.0)
    now.next_epoch(SECOND)
    assert now.position == (1, 0)
    assert (now.loss_sum, now.right, now.seconds, now.waited) == (0.0, 0.0, 0.0, 0.0)
    assert now.history == [FIRST, SECOND]


def test_the_time_left_follows_from_that_of_what_is_done():
    assert checkpoint.Progress().seconds_left(3, 10, 5.0) is None
    half = checkpoint.Progress(step=5, seconds=10.0)
    assert half.seconds_left(1, 10, 5.0) == 2.0 * 10
    # Of two epochs of 20 s and 10 s to validate, one and a half more are left of four.
    later = checkpoint.Progress(
        epoch=2, step=5, seconds=10.0, stages={"training": 40.0, "validation": 12.0, "saving": 8.0, "head": 9.0}
    )
    assert later.seconds_left(4, 10, 5.0) == 2.0 * 25
