from __future__ import annotations

import numpy as np
import pytest

from dogcat.order import epoch_order


@pytest.mark.parametrize("pictures", [0, 1, 2, 1000])
def test_an_order_is_a_permutation(pictures):
    assert sorted(epoch_order(pictures, 0, 0)) == list(range(pictures))


def test_epochs_and_seeds_differ():
    orders = {tuple(epoch_order(100, seed, epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_an_order_is_what_it_has_always_been():
    # Runs go on, and are repeated, by these orders.
    assert epoch_order(10, seed=3, epoch=2).tolist() == [8, 2, 4, 1, 3, 6, 5, 0, 7, 9]


def test_any_picture_comes_at_any_time():
    epochs = np.array([np.argsort(epoch_order(20, 0, epoch)) for epoch in range(2000)])
    counts = np.array([np.bincount(places, minlength=20) for places in epochs.T])
    # 100 times expected, with a deviation of 10.
    assert counts.min() > 50 and counts.max() < 150
