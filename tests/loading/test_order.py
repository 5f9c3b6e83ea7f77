from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dogcat.loading import order


def epoch_order(*args, **options):
    return order.epoch_order(*args, **options).places.numpy()


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
    assert epoch_order(130, seed=3, epoch=2, block=2)[:10].tolist() == [48, 86, 33, 70, 68, 35, 85, 44, 29, 64]


@pytest.mark.parametrize("block", [1, 5])
def test_any_picture_comes_at_any_time(block):
    in_graph = tf.function(lambda epoch: order.epoch_order(20, 0, epoch, block).places)
    epochs = np.array([np.argsort(in_graph(tf.constant(epoch)).numpy()) for epoch in range(2000)])
    counts = np.array([np.bincount(places, minlength=20) for places in epochs.T])
    # 100 times expected, with a deviation of 10.
    assert counts.min() > 50 and counts.max() < 150


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 1001])
@pytest.mark.parametrize("key", [(0, 0), (2**31 - 1, 7), (5, 2**31 - 1)])
def test_the_draws_are_those_of_numpy(count, key):
    expected = np.random.Philox(key=list(key)).random_raw(count)
    np.testing.assert_array_equal(order.philox(count, *key).numpy(), expected)
    np.testing.assert_array_equal(epoch_order(count, *key), np.argsort(expected, kind="stable"))


@pytest.mark.parametrize("pictures", [16_000, 16_007])
def test_a_window_has_the_pictures_of_64_blocks_mixed(pictures):
    block = 16
    places, edges = (part.numpy() for part in order.epoch_order(pictures, 0, 0, block))
    assert edges[0] == 0 and edges[-1] == pictures
    windows = [places[start:end] for start, end in zip(edges, edges[1:])]
    blocks = [set((window // block).tolist()) for window in windows]
    assert [len(of_window) for of_window in blocks[:-1]] == [64] * (len(blocks) - 1) and len(blocks[-1]) <= 64
    assert sum(map(len, blocks)) == len(set.union(*blocks)) == -(-pictures // block)
    for window in windows[:-1]:
        # Neighbours are not left side by side, and each batch has pictures of many blocks.
        assert np.mean(np.abs(np.diff(window)) == 1) < 0.02
        assert min(len(set((batch // block).tolist())) for batch in np.array_split(window, 8)) > 40
    # Blocks of all over the split.
    assert all(window.min() < pictures / 8 and window.max() > pictures * 7 / 8 for window in windows[:-1])


def test_a_set_of_64_blocks_is_mixed_as_a_whole():
    assert epoch_order(640, 1, 2, block=10).tolist() == epoch_order(640, 1, 2).tolist()
    assert epoch_order(641, 1, 2, block=10).tolist() != epoch_order(641, 1, 2).tolist()
