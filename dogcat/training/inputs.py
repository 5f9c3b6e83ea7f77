"""What a run reads: the pictures of its two splits, and the features of the frozen backbone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dogcat.core.cache import cache_folder
from dogcat.core.options import InputError
from dogcat.core.places import place_of
from dogcat.dataset import shard_plan
from dogcat.loading import fold_set, readers
from dogcat.loading.fold_set import FoldSet
from dogcat.loading.pictures import Pictures
from dogcat.loading.pixel_cache import PixelCache
from dogcat.training.frozen_features import FeatureExtractor
from dogcat.training.preparation import Preparation


class Inputs(NamedTuple):
    """What a run reads.

    Attributes:
        training: Pictures to train on.
        validation: Pictures to validate on.
        features_of: Gives the features of a split, as long as the backbone has not trained.
        sources: Readers of what features and the trunk's output are computed of, by name: of the two splits, or of
            all pictures of a data set in folds.
    """

    training: Pictures
    validation: Pictures
    features_of: FeatureExtractor
    sources: dict[str, Pictures]

    def head_examples(self, views: int) -> tuple[np.ndarray, np.ndarray]:
        """What a new head is fitted on: float64 features of so many views of the training pictures, and labels."""
        of_views = [self.features_of(shard_plan.TRAIN, view) for view in range(views)]
        return np.concatenate(of_views, dtype=np.float64), np.tile(self.training.labels, views)


def open_inputs(prepared: Preparation) -> Inputs:
    """Opens the shards, and the cache of decoded pictures where it is wanted, which may decode the whole data set.

    Raises:
        InputError: A shard is not what the manifest says, or --limit leaves a class no training picture.
    """
    options, data = prepared.options, prepared.data
    folder = place_of(options.tfrecords)
    whole, names = data, [shard_plan.TRAIN, shard_plan.VALIDATION]
    if isinstance(data, FoldSet):
        whole, names = data.whole, [fold_set.ALL]
    sources = {name: readers.open_split(folder, whole, name) for name in names}
    labels = readers.splits_of(data, sources)[shard_plan.TRAIN].labels
    missing = np.flatnonzero(np.bincount(labels, minlength=len(data.classes)) == 0)
    if missing.size:
        name = data.classes[missing[0]]
        raise InputError(f"--limit={options.limit}: leaves no training picture of {name}; use a larger one, or 0")
    cache = PixelCache(options.cache, options.cache_gib, cache_folder() / "pixels")
    sources = cache.readers(sources, whole)
    of_split = readers.splits_of(data, sources)
    features_of = FeatureExtractor(prepared.trainer.model, options, data, sources, prepared.strategy, prepared.engine)
    return Inputs(of_split[shard_plan.TRAIN], of_split[shard_plan.VALIDATION], features_of, sources)
