"""Copies past the caches: to the byte, and nothing beside."""

from __future__ import annotations

import concurrent.futures

import numpy as np
import pytest

from dogcat.streaming_copy import LINE, StreamingCopy

UNTOUCHED = 7


@pytest.fixture(scope="module")
def streaming_copy():
    return StreamingCopy()


@pytest.mark.parametrize("size", [LINE, LINE + 1, 2 * LINE - 1, 2 * LINE, 200, 3 * 299 * 299])
@pytest.mark.parametrize("offset", [0, 1, 17, LINE - 1])
def test_blocks_of_any_size_come_to_any_place_whole(streaming_copy, size, offset):
    source = np.random.default_rng(size).integers(0, 256, 6 * size, dtype=np.uint8)
    starts = np.array([0, 5 * size, 1, 3 * size + 13, 3 * size + 13])
    memory = np.full(len(starts) * size + 4 * LINE, UNTOUCHED, np.uint8)
    expected = memory.copy()
    begin, end = LINE + offset, LINE + offset + len(starts) * size
    expected[begin:end] = np.concatenate([source[start : start + size] for start in starts])
    streaming_copy(source.ctypes.data + starts, memory[begin:end].reshape(len(starts), size))
    np.testing.assert_array_equal(memory, expected)


def test_nothing_is_copied_for_no_block(streaming_copy):
    streaming_copy(np.empty(0, np.int64), np.empty((0, LINE), np.uint8))


def test_threads_share_it(streaming_copy):
    source = np.random.default_rng(0).integers(0, 256, (40, 100_003), dtype=np.uint8)
    orders = [np.random.default_rng(seed).permutation(len(source)) for seed in range(50)]

    def copied(order):
        blocks = np.empty_like(source)
        streaming_copy(source.ctypes.data + order * source.shape[1], blocks)
        return blocks

    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        for order, blocks in zip(orders, executor.map(copied, orders)):
            np.testing.assert_array_equal(blocks, source[order])


@pytest.mark.parametrize("blocks", [np.empty((3, LINE), np.uint8), np.empty((2, LINE - 1), np.uint8)])
def test_what_does_not_fit_is_refused(streaming_copy, blocks):
    with pytest.raises(AssertionError):
        streaming_copy(np.zeros(2, np.int64), blocks)


def test_blocks_with_gaps_between_them_are_refused(streaming_copy):
    with pytest.raises(AssertionError):
        streaming_copy(np.zeros(2, np.int64), np.empty((2, 2 * LINE), np.uint8)[:, :LINE])
