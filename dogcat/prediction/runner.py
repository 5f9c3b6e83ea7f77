"""Models on the devices of this process: batches of pictures in, logits out."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.core.options import InputError
from dogcat.models import architecture, devices, model_files, tta_views
from dogcat.models.batch_runner import make_forward
from dogcat.models.openvino_network import OpenVinoNetwork
from dogcat.prediction.picture_sources import Pictures


class Manner(NamedTuple):
    """How results are computed; in one manner, they are the same."""

    precision: str
    replicas: int
    engine: str

    def whole_batch(self, pictures: int) -> int:
        """As many pictures or a few more, of which each replica gets the same share."""
        return -(-pictures // self.replicas) * self.replicas


class Predictor:
    """Models that predict on the devices of a strategy, all on the same batches, wherever these come from.

    Attributes:
        temperatures: That of each model.
    """

    def __init__(
        self, paths: list[Path], tta: str, batch_size: int, strategy: tf.distribute.Strategy, engine: str
    ) -> None:
        """Loads the models.

        Args:
            paths: Their files; all of them for the same classes and pictures.
            tta: none; or flip: the logits of each picture and its mirror image are averaged.
            batch_size: Pictures a step; rounded up so that each replica gets the same share.
            strategy: The devices.
            engine: tensorflow or openvino.

        Raises:
            InputError: A file is not a model of this program, or is damaged.
        """
        policy = keras.mixed_precision.global_policy().name
        with strategy.scope(), architecture.precision("float32" if engine == "openvino" else policy):
            loaded = [model_files.load(path) for path in paths]
            to_logits = [architecture.logits_model(model) for model, _ in loaded]
        self._paths = paths
        self.temperatures = [description.temperature for _, description in loaded]
        self._description = loaded[0][1]

        def of_models(pictures: tf.Tensor) -> tf.Tensor:
            return tf.stack([of_model(pictures, training=False) for of_model in to_logits], axis=1)

        def network(pictures: tf.Tensor) -> tf.Tensor:
            if tta == "none":
                return of_models(pictures)
            return (of_models(pictures) + of_models(tta_views.mirrored(pictures))) / 2

        self._batch_size = manner(strategy, engine).whole_batch(batch_size)
        size = self._description.image_size
        with devices.naming_full_memory(self._batch_size):
            self._forward = make_forward(
                OpenVinoNetwork(network, to_logits, self._batch_size, size, policy)
                if engine == "openvino"
                else network,
                strategy,
            )

    def logits(self, pictures: Pictures, first: int = 0) -> Generator[np.ndarray, None, None]:
        """Predicts the pictures from place `first` on, batch by batch.

        Yields:
            Logits as the models give them, float32 [pictures of the batch, models, 1 or classes]; without meaning where
            a picture is unreadable.

        Raises:
            InputError: A model gives NaN or infinity.
        """
        with pictures.naming_damage(), devices.naming_full_memory(self._batch_size):
            for logits in self._forward.batches(
                lambda context: pictures.dataset(self._description, self._batch_size, context, first),
                len(pictures.keys),
                "predicting",
                first,
            ):
                finite = np.isfinite(logits).all(axis=(0, 2))
                if not finite.all():
                    raise InputError(f"{self._paths[finite.argmin()]}: its weights give no numbers; train it anew")
                yield logits


def choose_devices(precision: str, strategy: str, engine: str) -> tuple[tf.distribute.Strategy, str]:
    """Sets the precision and gives the devices and the engine; `auto` for any is what this machine does fast.

    Raises:
        InputError: This machine does not have what is asked for.
    """
    policy = devices.choose_precision(precision)[0]
    keras.mixed_precision.set_global_policy(policy)
    chosen = devices.make_strategy(strategy, alone=True)
    return chosen, devices.choose_engine(engine, policy, chosen)


def describe(strategy: tf.distribute.Strategy, engine: str) -> str:
    """Devices, precision and engine, for people."""
    policy = keras.mixed_precision.global_policy().name
    return f"{devices.describe(strategy)}; {policy}, {devices.describe_engine(engine)}"


def manner(strategy: tf.distribute.Strategy, engine: str) -> Manner:
    """How results are computed on devices that `choose_devices` gave."""
    policy = keras.mixed_precision.global_policy().name
    return Manner(policy, strategy.num_replicas_in_sync, devices.describe_engine(engine))
