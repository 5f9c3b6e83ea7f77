"""A data set in folds: each picture is validated on once, by a model that never saw it. No TensorFlow."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dogcat.core.options import InputError
from dogcat.core.places import Place
from dogcat.dataset import shard_plan
from dogcat.dataset.manifest import Manifest, Shard, Split
from dogcat.loading import records

# The name of the one split that training and validation pictures are together.
ALL = "all"


@dataclasses.dataclass(frozen=True)
class FoldSet(Manifest):
    """A data set of which one fold is the validation split, and the others are the training split.

    Attributes:
        together: All its pictures, of the training shards and then of those for validation.
        places: The places of each split's pictures among all, by its name; int64 [pictures], rising.
        number: That of the fold, from 1.
        folds: Number of folds.
    """

    together: Split = dataclasses.field(default_factory=lambda: Split([], []))
    places: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    number: int = 0
    folds: int = 0

    @property
    def whole(self) -> Manifest:
        """The data set with all its pictures as one split, `ALL`, the same in each fold."""
        return Manifest(**{**_fields(self), "splits": {ALL: self.together}})

    def to_json(self) -> str:
        """See `Manifest`; the shards of a split are told by the hash of the whole, and which fold it is."""
        return Manifest(**_fields(self)).to_json()


def choose(folder: Place, data: Manifest, folds: int, seed: int, number: int) -> FoldSet:
    """A data set with one of its folds for validation.

    Args:
        folder: The data set's folder, or its address.
        data: Its manifest.
        folds: Number of folds.
        seed: Seed of which picture is in which.
        number: The fold, from 1.

    Raises:
        InputError: There are more folds than pictures of a class, or the data set is not what the manifest says.
    """
    whole = _joined(data)
    found = records.of_split(folder, whole, ALL)
    for name, count in zip(data.classes, whole.splits[ALL].counts):
        if count < folds:
            raise InputError(
                f"--folds={folds}: {folder} has {count} pictures of {name}, and each fold needs one; use fewer folds, "
                "or add pictures"
            )
    fold_of = assign(found.keys, found.labels, folds, seed)
    places = {
        shard_plan.TRAIN: np.flatnonzero(fold_of != number),
        shard_plan.VALIDATION: np.flatnonzero(fold_of == number),
    }
    said = f"of fold {number} of {folds}, seed {seed}"
    splits = {
        split: Split(
            np.bincount(found.labels[chosen], minlength=len(data.classes)).tolist(),
            [Shard(f"{split} {said}", len(chosen), 0, whole.digest())],
        )
        for split, chosen in places.items()
    }
    fields = {**_fields(data), "splits": splits}
    return FoldSet(**fields, together=whole.splits[ALL], places=places, number=number, folds=folds)


def assign(keys: list[str], labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each picture, from 1; of each class all folds have the same number of pictures, or one more.

    It follows from the keys and the seed, whatever the order of the pictures. Those of a fold have neighbouring hashes,
    so that they also lie side by side in shards that were made with the same seed, and are read in whole blocks.

    Args:
        keys: Distinct keys.
        labels: int [pictures].
        folds: Number of folds.
        seed: Seed of the hash.

    Returns:
        int64 [pictures].
    """
    in_order = np.argsort(shard_plan.hash_keys(keys, seed), kind="stable")
    fold_of = np.empty(len(keys), np.int64)
    for label in np.unique(labels):
        of_class = in_order[labels[in_order] == label]
        fold_of[of_class] = 1 + np.arange(len(of_class)) * folds // len(of_class)
    return fold_of


def _joined(data: Manifest) -> Manifest:
    parts = [data.splits[split] for split in (shard_plan.TRAIN, shard_plan.VALIDATION)]
    counts = np.sum([part.counts for part in parts], axis=0).tolist()
    together = Split(counts, [shard for part in parts for shard in part.shards])
    return dataclasses.replace(data, splits={ALL: together})


def _fields(data: Manifest) -> dict[str, Any]:
    """What a manifest consists of, without what a kind of data set adds to it."""
    return {field.name: getattr(data, field.name) for field in dataclasses.fields(Manifest)}
