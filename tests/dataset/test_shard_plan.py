from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogcat.core.options import InputError
from dogcat.dataset import shard_plan

KEYS = sorted(f"{name}.{i}.jpg" for name in ("cat", "dog") for i in range(200))
LABELS = np.array([key.startswith("dog") for key in KEYS], int)


def plan(keys=KEYS, labels=LABELS, validation=0.1, seed=0):
    return shard_plan.split_and_order(keys, labels, validation, seed)


def test_the_splits_are_a_permutation_of_all_pictures():
    both = np.concatenate(list(plan().values()))
    assert sorted(both) == list(range(len(KEYS)))
    assert list(both) != sorted(both)


def test_the_split_is_stratified_exactly():
    of = plan()
    assert np.bincount(LABELS[of[shard_plan.VALIDATION]]).tolist() == [20, 20]
    assert np.bincount(LABELS[of[shard_plan.TRAIN]]).tolist() == [180, 180]


def test_seeds_give_different_orders_and_splits():
    a, b = plan(seed=0), plan(seed=1)
    assert list(a[shard_plan.TRAIN]) != list(b[shard_plan.TRAIN])
    assert set(a[shard_plan.VALIDATION]) != set(b[shard_plan.VALIDATION])


def test_one_order_is_pinned():
    first = [KEYS[i] for i in plan()[shard_plan.TRAIN][:4]]
    assert first == ["dog.168.jpg", "cat.136.jpg", "dog.22.jpg", "dog.26.jpg"]


def test_an_added_picture_moves_at_most_one_other():
    before = {KEYS[i] for i in plan()[shard_plan.VALIDATION]}
    for i in range(200, 260):
        keys = sorted([*KEYS, f"cat.{i}.jpg"])
        of = plan(keys, np.array([key.startswith("dog") for key in keys], int))
        after = {keys[i] for i in of[shard_plan.VALIDATION]}
        assert len((before ^ after) - {f"cat.{i}.jpg"}) <= 1


def test_a_small_class_still_has_a_validation_picture():
    of = plan(["a", "b", "c", "d"], np.array([0, 0, 1, 1]))
    assert len(of[shard_plan.VALIDATION]) == 2


def test_no_validation():
    assert len(plan(validation=0.0)[shard_plan.VALIDATION]) == 0


def test_equal_keys_are_refused():
    with pytest.raises(InputError, match="two pictures have this name"):
        plan(["a", "a", "b"], np.zeros(3, int))


@pytest.mark.parametrize(("pictures", "count"), [(10, 3), (9, 3), (1, 1), (0, 1), (25_000, 7)])
def test_bounds_cover_every_place_once_in_even_shards(pictures, count):
    bounds = shard_plan.shard_bounds(pictures, count)
    assert [place for first, end in bounds for place in range(first, end)] == list(range(pictures))
    sizes = [end - first for first, end in bounds]
    assert max(sizes) - min(sizes) <= 1


def test_the_number_of_shards_follows_the_wanted_size():
    assert shard_plan.shard_count(25_000, 34_000, 128) == 6
    assert shard_plan.shard_count(10, 34_000, 128) == 1
    assert shard_plan.shard_count(10, 2**28, 128) == 10


def test_names():
    assert shard_plan.shard_name("train", 0, 8) == "train-00000-of-00008.tfrecord"


# Names as file systems have them, any class for each, any share and seed.
SOME_KEYS = st.lists(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8), unique=True, max_size=60
)
SHARES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9])


def labelled(keys, classes):
    """Sorted keys, and a label that follows from each key alone."""
    keys = sorted(keys, key=lambda key: key.encode())
    return keys, np.array([sum(key.encode()) % classes for key in keys], int)


@settings(max_examples=200, deadline=None)
@given(SOME_KEYS, st.integers(1, 4), SHARES, st.integers(0, 2**40))
def test_any_plan_is_a_stratified_permutation(keys, classes, validation, seed):
    keys, labels = labelled(keys, classes)
    of = shard_plan.split_and_order(keys, labels, validation, seed)
    assert sorted(np.concatenate([of[shard_plan.TRAIN], of[shard_plan.VALIDATION]])) == list(range(len(keys)))
    for label in range(classes):
        size = int((labels == label).sum())
        share = int((labels[of[shard_plan.VALIDATION]] == label).sum())
        expected = round(size * validation)
        assert share == (max(expected, 1) if validation and size > 1 else expected)


@settings(max_examples=200, deadline=None)
@given(SOME_KEYS.filter(len), st.integers(1, 4), SHARES, st.integers(0, 2**40), st.data())
def test_an_added_picture_moves_at_most_one_other_of_its_class(keys, classes, validation, seed, data):
    added = data.draw(st.sampled_from(keys))

    def parts(chosen):
        sorted_keys, labels = labelled(chosen, classes)
        of = shard_plan.split_and_order(sorted_keys, labels, validation, seed)
        return {split: [sorted_keys[i] for i in indices] for split, indices in of.items()}

    before, after = parts([key for key in keys if key != added]), parts(keys)
    moved = (set(before[shard_plan.VALIDATION]) ^ set(after[shard_plan.VALIDATION])) - {added}
    assert len(moved) <= 1
    assert all(sum(key.encode()) % classes == sum(added.encode()) % classes for key in moved)
    # The others keep their order.
    for split in before:
        stayed = [key for key in before[split] if key not in moved]
        assert [key for key in after[split] if key in set(stayed)] == stayed


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 5000), st.integers(1, 300))
def test_any_bounds_cover_every_place_once(pictures, count):
    bounds = shard_plan.shard_bounds(pictures, count)
    assert bounds[0][0] == 0 and bounds[-1][1] == pictures and len(bounds) == count
    assert all(end == first for (_, end), (first, _) in zip(bounds, bounds[1:]))
