"""The order of the pictures in an epoch of training, a function of seed and epoch alone, computed in the graph.

So any step can be the first, and workers and replicas cut their parts out of one order.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import tensorflow as tf

# Blocks whose pictures are mixed: enough that a batch has pictures of all over the split, and few enough that memory
# holds them.
WINDOW_BLOCKS = 64

# Philox 4x64-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, table 2.
_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)


class EpochOrder(NamedTuple):
    """Every picture of a split once.

    Attributes:
        places: Places of the pictures, from 0; int64 [pictures].
        edges: Where in `places` each window of blocks begins, and behind them the end; int64 [windows + 1].
    """

    places: tf.Tensor
    edges: tf.Tensor


# Nothing in it branches on a tensor; to look for that would take AutoGraph a second each time.
@tf.autograph.experimental.do_not_convert
def epoch_order(pictures: int, seed: int, epoch: tf.Tensor | int, block: int = 1) -> EpochOrder:
    """Every place from 0 to `pictures` - 1 once, in an order that no other seed or epoch has.

    The places sorted by the numbers of a Philox generator, which are those of NumPy's. No draw depends on another, so
    it takes 16 bytes a picture, once an epoch.

    Of blocks it is the blocks that are sorted so; 64 that follow one another are a window, whose pictures are sorted by
    numbers of their own. So whoever reads a window at a time reads each block once. Of 64 blocks or fewer the order is
    that of single pictures.

    Args:
        pictures: Number of pictures.
        seed: Seed of the run.
        epoch: Number of the epoch.
        block: Pictures of a block: neighbours, which come near each other in the order. 1: no blocks, a permutation
            of which each is as likely as another, in one window.
    """
    has_windows = block > 1 and pictures > WINDOW_BLOCKS * block
    blocks = -(-pictures // block) if has_windows else 0
    draws = philox(blocks + pictures, seed, epoch)
    if not blocks:
        return EpochOrder(_argsort(draws), tf.constant([0, pictures], tf.int64))
    window_of_block = _argsort(_argsort(draws[:blocks])) // WINDOW_BLOCKS
    window_of = tf.repeat(window_of_block, block)[:pictures]
    # Whole numbers and a fraction of 53 bits together: up to millions of windows that is exact enough to sort.
    fractions = tf.cast(tf.bitwise.right_shift(draws[blocks:], tf.constant(11, tf.uint64)), tf.float64) / 2**53
    in_windows = tf.math.bincount(tf.cast(window_of, tf.int32), dtype=tf.int64)
    edges = tf.concat([tf.zeros(1, tf.int64), tf.cumsum(in_windows)], axis=0)
    return EpochOrder(_argsort(tf.cast(window_of, tf.float64) + fractions), edges)


def _argsort(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.argsort(values, stable=True), tf.int64)


def philox(count: int, seed: int, epoch: tf.Tensor | int) -> tf.Tensor:
    """The first numbers of NumPy's `Philox(key=[seed, epoch])`, uint64 [count].

    TensorFlow's own Philox has words of 32 bits, and so gives others.
    """
    return _philox(*(tf.cast(number, tf.int64) for number in (count, seed, epoch)))


# A function of its own, and its rounds a loop, so that few operations are made, once and not for each dataset.
@functools.partial(tf.function, input_signature=[tf.TensorSpec((), tf.int64)] * 3, autograph=False)
def _philox(count: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    blocks = -(-count // 4)
    counters = tf.range(1, blocks + 1, dtype=tf.int64)
    # Words 0 and 2 of each block, and words 1 and 3; uint64 [2, blocks].
    even = tf.cast(tf.stack([counters, tf.zeros_like(counters)]), tf.uint64)
    odd = tf.zeros_like(even)
    key = tf.stack([tf.cast(seed, tf.uint64), tf.cast(epoch, tf.uint64)])[:, None]
    multipliers, weyl = (tf.constant(numbers, tf.uint64)[:, None] for numbers in (_MULTIPLIERS, _WEYL))

    def mixed(even: tf.Tensor, odd: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        high, low = _product(multipliers, even)
        return _xor(_xor(high[::-1], odd), key), low[::-1], key + weyl

    even, odd, _ = tf.while_loop(lambda *words: True, mixed, (even, odd, key), maximum_iterations=_ROUNDS)
    return tf.reshape(tf.stack([even[0], odd[0], even[1], odd[1]], axis=1), [-1])[:count]


def _product(factors: tf.Tensor, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The upper and the lower 64 bits of products."""
    (low_a, high_a), (low_b, high_b) = _halves(factors), _halves(words)
    low_carry, carry = _halves(high_a * low_b + _halves(low_a * low_b)[1])
    return high_a * high_b + carry + _halves(low_a * high_b + low_carry)[1], factors * words


def _halves(words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The lower and the upper 32 bits."""
    lower = tf.bitwise.bitwise_and(words, tf.constant(2**32 - 1, tf.uint64))
    return lower, tf.bitwise.right_shift(words, tf.constant(32, tf.uint64))


_xor = tf.bitwise.bitwise_xor
