"""The plan of a data set, pure: which split each picture goes to, in which order, in which shard.

Everything follows from a hash of (seed, key), never from the order of the input (as in TFDS,
`core/shuffle.py`), so that the same pictures and options give the same plan on any file system.
"""

from __future__ import annotations

import hashlib
import itertools
import os

import numpy as np

from dogcat.core.options import InputError

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"


def hash_keys(keys: list[str], seed: int) -> np.ndarray:
    """Hashes each key with the seed: uint64 [len(keys)]."""
    salt = f"{seed}/".encode()
    digests = (hashlib.blake2b(salt + os.fsencode(key), digest_size=8).digest() for key in keys)
    return np.fromiter((int.from_bytes(d, "little") for d in digests), np.uint64, len(keys))


def order(keys: list[str], seed: int) -> np.ndarray:
    """The order of distinct, sorted keys by their hashes: int64 [len(keys)], indices into `keys`.

    Raises:
        InputError: Two keys are equal.
    """
    for before, after in zip(keys, itertools.islice(keys, 1, None)):
        if before == after:
            raise InputError(f"{after}: two pictures have this name; rename one of them")
    # Stable, and keys come sorted: should two hashes be equal, the keys decide.
    return np.argsort(hash_keys(keys, seed), kind="stable")


def split_and_order(keys: list[str], labels: np.ndarray, validation: float, seed: int) -> dict[str, np.ndarray]:
    """Splits the pictures, stratified, and orders each split.

    Of each class the pictures with the smallest hashes are the validation part, so an added picture moves
    at most one other of its class across the border. The order in a split is that of the hashes.

    Args:
        keys: Distinct keys, sorted.
        labels: int [len(keys)], the class of each.
        validation: Share of each class for validation, 0 to less than 1; above 0, each class of two
            pictures or more gives at least one.
        seed: Seed of the hash.

    Returns:
        For each split the indices into `keys` in the order of the shards, int64; a permutation of all
        indices together.

    Raises:
        InputError: Two keys are equal.
    """
    all_keys = order(keys, seed)
    in_validation = np.zeros(len(keys), bool)
    for label in np.unique(labels):
        of_class = all_keys[labels[all_keys] == label]
        count = round(len(of_class) * validation)
        if validation > 0 and len(of_class) > 1:
            count = max(count, 1)
        in_validation[of_class[:count]] = True
    in_validation = in_validation[all_keys]
    return {TRAIN: all_keys[~in_validation], VALIDATION: all_keys[in_validation]}


def shard_name(split: str, index: int, shards: int) -> str:
    """Name of a shard's file: `train-00000-of-00008.tfrecord`."""
    return f"{split}-{index:05d}-of-{shards:05d}.tfrecord"


def shard_count(pictures: int, bytes_a_picture: float, shard_mib: int) -> int:
    """Number of shards that come nearest to `shard_mib` MiB each; at least 1."""
    return max(1, min(pictures, round(pictures * bytes_a_picture / (shard_mib * 2**20))))


def shard_bounds(pictures: int, shards: int) -> list[tuple[int, int]]:
    """First and last-plus-one place of each shard in its split; sizes differ by one at most."""
    edges = [pictures * index // shards for index in range(shards + 1)]
    return list(zip(edges, edges[1:]))
