"""Models on the devices of this process: batches of pictures in, logits out."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.core import runtime
from dogcat.core.options import InputError
from dogcat.models import architecture, devices, model_files, onnx_network, tta_views
from dogcat.models.batch_runner import Network, make_forward
from dogcat.models.onnx_network import OnnxNetwork
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
            engine: What `choose_devices` gave.

        Raises:
            InputError: A file is not a model of this program, or is damaged.
        """
        self._paths = paths
        descriptions = [model_files.describe(path) for path in paths]
        self.temperatures = [description.temperature for description in descriptions]
        self._description = descriptions[0]
        self._batch_size = manner(strategy, engine).whole_batch(batch_size)
        with devices.naming_full_memory(self._batch_size):
            network = self._onnx_network(tta) if engine == onnx_network.ENGINE else self._network(tta, strategy, engine)
            self._forward = make_forward(network, strategy)

    def _onnx_network(self, tta: str) -> OnnxNetwork:
        size, classes = self._description.image_size, len(self._description.classes)
        return OnnxNetwork(self._paths, size, classes, mirrors=tta == "flip")

    def _network(self, tta: str, strategy: tf.distribute.Strategy, engine: str) -> Network | OpenVinoNetwork:
        policy = keras.mixed_precision.global_policy().name
        with strategy.scope(), architecture.precision("float32" if engine == "openvino" else policy):
            to_logits = [architecture.logits_model(model_files.load(path)[0]) for path in self._paths]

        def of_models(pictures: tf.Tensor) -> tf.Tensor:
            return tf.stack([of_model(pictures, training=False) for of_model in to_logits], axis=1)

        def network(pictures: tf.Tensor) -> tf.Tensor:
            if tta == "none":
                return of_models(pictures)
            return (of_models(pictures) + of_models(tta_views.mirrored(pictures))) / 2

        if engine == "openvino":
            return OpenVinoNetwork(network, to_logits, self._batch_size, self._description.image_size, policy)
        return network

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


def choose_devices(
    precision: str, strategy: str, engine: str, paths: Sequence[Path] = ()
) -> tuple[tf.distribute.Strategy, str]:
    """Sets the precision and gives the devices and the engine; `auto` for any is what this machine does fast.

    Args:
        precision: As of the options, and so are the next two.
        strategy: The devices.
        engine: What computes.
        paths: The models: those in ONNX files have an engine of their own.

    Raises:
        InputError: This machine does not have what is asked for, or the models do not run so.
    """
    in_onnx = [path for path in paths if onnx_network.is_onnx(path)]
    if in_onnx:
        _require_onnx_only(in_onnx, precision, strategy, engine, paths)
        keras.mixed_precision.set_global_policy("float32")
        return tf.distribute.OneDeviceStrategy("/cpu:0"), onnx_network.ENGINE
    policy = devices.choose_precision(precision)[0]
    keras.mixed_precision.set_global_policy(policy)
    chosen = devices.make_strategy(strategy, alone=True)
    return chosen, devices.choose_engine(engine, policy, chosen)


def _require_onnx_only(
    in_onnx: Sequence[Path], precision: str, strategy: str, engine: str, paths: Sequence[Path]
) -> None:
    other = next((path for path in paths if path not in in_onnx), None)
    if other:
        raise InputError(f"{in_onnx[0]} is run by ONNX Runtime and {other} is not; give models of one kind")
    for name, value, fitting in (
        ("precision", precision, ("auto", "float32")),
        ("strategy", strategy, ("auto", "one_device")),
        ("engine", engine, ("auto",)),
    ):
        if value not in fitting:
            raise InputError(
                f"--{name}={value}: {in_onnx[0]} is run by ONNX Runtime, in float32 on one processor; leave it out"
            )


def describe(strategy: tf.distribute.Strategy, engine: str) -> str:
    """Devices, precision and engine, for people."""
    policy = keras.mixed_precision.global_policy().name
    # Which does not take a GPU that is there.
    of_strategy = runtime.processor_name() if engine == onnx_network.ENGINE else devices.describe(strategy)
    return f"{of_strategy}; {policy}, {devices.describe_engine(engine)}"


def manner(strategy: tf.distribute.Strategy, engine: str) -> Manner:
    """How results are computed on devices that `choose_devices` gave."""
    policy = keras.mixed_precision.global_policy().name
    return Manner(policy, strategy.num_replicas_in_sync, devices.describe_engine(engine))
