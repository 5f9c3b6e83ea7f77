"""Features of a data set by a frozen backbone: from the cache, or computed in one pass and kept there."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterable
from typing import Any, Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.core import files
from dogcat.core.cache import cache_folder
from dogcat.dataset.manifest import Manifest
from dogcat.loading import fold_set, pipeline
from dogcat.loading.fold_set import FoldSet
from dogcat.loading.pictures import Pictures
from dogcat.models import architecture, devices, feature_cache, tta_views, weights, workers
from dogcat.models.batch_runner import Forward, Network, make_forward
from dogcat.models.openvino_network import OpenVinoNetwork
from dogcat.training import augment
from dogcat.training.options import TrainingOptions
from dogcat.training.trunk_cache import KeptTrunk, Part


class FeatureExtractor:
    """Gives the features of a model's backbone, which must stay as it is from the first call on.

    Attributes:
        passed: Pictures that went through the backbone, which are not those that were found in the cache.
        seconds: Time that took.
        trunk: What is kept of the trunk's output, from which TensorFlow computes the features of its views; or None.
    """

    def __init__(
        self,
        model: keras.Model,
        options: TrainingOptions,
        data: Manifest,
        readers: dict[str, Pictures],
        strategy: tf.distribute.Strategy,
        engine: str,
    ) -> None:
        """Takes what features follow from.

        Args:
            model: The model, made under `strategy`.
            options: The options.
            data: The manifest of the data set.
            readers: Readers of its splits; of one in folds, of all its pictures.
            strategy: The devices.
            engine: tensorflow or openvino.
        """
        self.passed = 0
        self.seconds = 0.0
        self.trunk: KeptTrunk | None = None
        self._model = model
        self._options = options
        # Features of all folds' pictures are computed once, for each of the runs.
        self._places = data.places if isinstance(data, FoldSet) else None
        self._data = data.whole if isinstance(data, FoldSet) else data
        self._readers = readers
        self._strategy = strategy
        self._engine = engine

    def __call__(self, split: str, view: int) -> np.ndarray:
        """Features of a split, float32 [pictures, channels].

        Args:
            split: Name of the split.
            view: A number of `tta_views.SHOWN`, or that of an augmented view, from which its draws follow.
        """
        if self._places:
            return self._of(fold_set.ALL, view)[self._places[split]]
        return self._of(split, view)

    def missing(self, parts: Iterable[tuple[str, int]]) -> int:
        """How many pictures of splits, each in a view, the cache has no features of."""
        folder = cache_folder() / "features"
        left = (split for split, view in parts if feature_cache.load(folder, self._made_from(split, view)) is None)
        return sum(self._data.splits[split].pictures for split in left)

    def _of(self, split: str, view: int) -> np.ndarray:
        """Features of all that a reader gives."""

        def compute() -> np.ndarray:
            started = time.perf_counter()
            computed = self._compute(split, view)
            self.seconds += time.perf_counter() - started
            self.passed += len(computed)
            return computed

        return from_cache(self._made_from(split, view), compute, self._strategy)

    @functools.cached_property
    def _common(self) -> dict[str, Any]:
        """What the features of all splits and views follow from."""
        return {
            "data": self._data.digest(),
            **describe_network(self._model, self._options.backbone, self._engine),
        }

    def _made_from(self, split: str, view: int) -> dict[str, Any]:
        """All that the features follow from."""
        options = self._options
        made_from = {**self._common, "split": split, "view": view}
        if view not in tta_views.SHOWN:
            made_from |= {
                "augmentation": dataclasses.asdict(options.augmentation),
                "seed": options.seed,
                "batches": [options.batch_size, self._strategy.num_replicas_in_sync],
            }
        return made_from

    @functools.cached_property
    def _network(self) -> Network | OpenVinoNetwork:
        """From pictures to features."""
        options, data = self._options, self._data
        return frozen_network(
            self._model, options.backbone, data.image_size, len(data.classes), options.batch_size, self._engine
        )

    @functools.cached_property
    def _from_trunk(self) -> Forward:
        """From what is kept of the trunk's output to features."""
        assert self.trunk
        return make_forward(self.trunk.split.features, self._strategy)

    def _compute(self, split: str, view: int) -> np.ndarray:
        options = self._options
        what = f"features, {split}" + (f", view {view + 1}" if view > tta_views.PLAIN else "")
        if self.trunk and self._engine == "tensorflow" and (split, view) in self.trunk.parts:
            passed = self.trunk.parts[Part(split, view)]
            return self._from_trunk(
                lambda context: pipeline.evaluation_dataset(passed, options.batch_size, context),
                len(passed.labels),
                what,
            )
        # Below 0, where no epoch of training is.
        epoch = tf.constant(-view, tf.int64)

        def prepare(pictures: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            if view in tta_views.SHOWN:
                return tta_views.SHOWN[view](pictures)
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            seed = augment.seed_of(options.seed, epoch, number, replica)
            return augment.apply(pictures, options.augmentation, seed)

        return make_forward(self._network, self._strategy, prepare)(
            lambda context: pipeline.evaluation_dataset(self._readers[split], options.batch_size, context),
            self._data.splits[split].pictures,
            what,
        )


def describe_network(model: keras.Model, backbone: str, engine: str) -> dict[str, Any]:
    """What the features of all pictures follow from besides the pictures, for the cache."""
    return {
        "backbone": backbone,
        "weights": weights.digest(architecture.backbone_of(model).get_weights()),
        "precision": keras.mixed_precision.global_policy().name,
        "engine": devices.describe_engine(engine),
    }


def frozen_network(
    model: keras.Model, backbone: str, image_size: int, classes: int, batch_size: int, engine: str
) -> Network | OpenVinoNetwork:
    """The way from pictures to features of a model's backbone as it is now.

    Args:
        model: The model, made under the strategy of the devices.
        backbone: Name of its backbone.
        image_size: Height and width of its pictures, in pixels.
        classes: Number of its classes.
        batch_size: Pictures of each batch.
        engine: What `devices.choose_engine` chose.
    """
    of_float32 = model
    if engine == "openvino":
        with architecture.precision("float32"):
            of_float32 = architecture.build_model(backbone, image_size, classes)
        of_float32.set_weights(model.get_weights())
    to_features = architecture.features_model(of_float32)

    def features(pictures: tf.Tensor) -> tf.Tensor:
        return to_features(pictures, training=False)

    if engine == "tensorflow":
        return features
    policy = keras.mixed_precision.global_policy().name
    return OpenVinoNetwork(features, [to_features], batch_size, image_size, policy)


def from_cache(
    made_from: dict[str, Any], compute: Callable[[], np.ndarray], strategy: tf.distribute.Strategy
) -> np.ndarray:
    """What the cache holds under `made_from`, else what `compute` gives, kept there for another run.

    Of the strategy's workers, which compute together, the chief keeps it, and all take it from their caches or none.
    """
    folder = cache_folder() / "features"
    kept = feature_cache.load(folder, made_from)
    if workers.in_all(strategy, kept is not None):
        assert kept is not None
        return kept
    computed = compute()
    if workers.is_chief(strategy):
        try:
            feature_cache.keep(folder, made_from, computed)
        except OSError as error:
            files.note(f"features are not kept for another run, since {folder} cannot be written: {error.strerror}")
    return computed
