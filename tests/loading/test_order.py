from __future__ import annotations

import numpy as np
import pytest

from dogcat.loading.order import epoch_order


@pytest.mark.parametrize("pictures", [0, 1, 2, 1000])
@pytest.mark.parametrize("block", [1, 2, 7, 1000, 2000])
def test_an_order_is_a_permutation(pictures, block):
    assert sorted(epoch_order(pictures, 0, 0, block)) == list(range(pictures))


@pytest.mark.parametrize("block", [1, 8])
def test_epochs_and_seeds_differ(block):
    orders = {tuple(epoch_order(100, seed, epoch, block)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_an_order_is_what_it_has_always_been():
    # Runs go on, and are repeated, by these orders.
    assert epoch_order(10, seed=3, epoch=2).tolist() == [8, 2, 4, 1, 3, 6, 5, 0, 7, 9]
    assert epoch_order(10, seed=3, epoch=2, block=4).tolist() == [8, 5, 9, 1, 7, 0, 3, 2, 4, 6]


@pytest.mark.parametrize("block", [1, 5])
def test_any_picture_comes_at_any_time(block):
    epochs = np.array([np.argsort(epoch_order(20, 0, epoch, block)) for epoch in range(2000)])
    counts = np.array([np.bincount(places, minlength=20) for places in epochs.T])
    # 100 times expected, with a deviation of 10.
    assert counts.min() > 50 and counts.max() < 150


def test_blocks_are_read_one_after_the_other_and_mixed():
    block, batch = 16, 128
    order = epoch_order(16_000, 0, 0, block)
    blocks = order // block
    first = np.full(1000, -1)
    last = np.full(1000, -1)
    for at, number in enumerate(blocks.tolist()):
        first[number] = at if first[number] < 0 else first[number]
        last[number] = at
    # Those begun and not finished are what memory has to hold.
    begun = [np.count_nonzero((first <= at) & (at <= last)) for at in range(0, len(order), 100)]
    assert 40 < max(begun) <= 65
    # Batches begin as many blocks as they finish, and have pictures of many.
    in_batches = blocks.reshape(-1, batch)
    assert min(len(set(batch.tolist())) for batch in in_batches) > 20
    assert np.median([len(set(batch.tolist())) for batch in in_batches]) > 50
    begins = np.bincount(first // batch, minlength=len(in_batches))
    assert begins[10:-10].max() <= 16 and begins.max() <= 40
