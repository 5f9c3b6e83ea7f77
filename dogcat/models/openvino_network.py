"""A network compiled by OpenVINO, for passes without training on a processor."""

from __future__ import annotations

import functools
import importlib.util
import logging
import sys
import tempfile
import threading
from types import ModuleType
from typing import Any, Callable

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.core.log import at_level
from dogcat.models import keras_versions

# OpenVINO's name of the precision, by Keras' policy.
PRECISIONS = {"float32": "f32", "mixed_bfloat16": "bf16"}
# Batches on the way: one computes while the next is made ready.
AT_ONCE = 2

_ONE_AT_A_TIME = threading.Lock()


def is_installed() -> bool:
    """Whether the package is there; it is the extra `openvino`."""
    return importlib.util.find_spec("openvino") is not None


def version() -> str:
    """The version of the package, like 2026.4.1."""
    return _openvino().__version__.partition("-")[0]


def _openvino() -> ModuleType:
    # When it is imported, OpenVINO reports that to its maker and keeps an identifier in the home folder, unless the
    # package for it is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def _core() -> Any:
    """What compiles networks, an `openvino.Core`; one for the whole process.

    With its first network it gives the thread another stack for signals, which it takes back when it goes. Where
    another one had done so meanwhile, or it goes in another thread, the stack is freed while it is still that of the
    thread, and the next signal, Ctrl-C too, kills the process.
    """
    return _openvino().Core()


class OpenVinoNetwork:
    """A function of pictures, compiled for the processor."""

    def __init__(
        self,
        function: Callable[[tf.Tensor], tf.Tensor],
        models: list[keras.Model],
        batch_size: int,
        image_size: int,
        precision: str,
    ) -> None:
        """Takes over the function as it is now; weights that change later do not show.

        Args:
            function: From uint8 [batch, image_size, image_size, 3] to a row for each picture.
            models: The models in it, float32: OpenVINO itself chooses where bfloat16 does, which keeps more digits than
                Keras' policy.
            batch_size: Pictures of each batch.
            image_size: Height and width of the pictures, in pixels.
            precision: One of `PRECISIONS`.
        """
        module = tf.Module()
        # Variables alone: of whole models Keras would trace every layer.
        module.variables_of_models = [
            variable for model in models for variable in keras_versions.variables_of(model.weights)
        ]
        module.function = tf.function(
            function, input_signature=[tf.TensorSpec([None, image_size, image_size, 3], tf.uint8)], autograph=False
        )
        with _ONE_AT_A_TIME:
            core = _core()
        with tempfile.TemporaryDirectory() as folder:
            with at_level(logging.WARNING, "tensorflow"):
                tf.saved_model.save(module, folder, signatures=module.function)
            network = core.read_model(folder)
            network.reshape([batch_size, image_size, image_size, 3])
            # All cores work on one batch, so that memory does not grow with their number.
            settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": PRECISIONS[precision]}
            compiled = core.compile_model(network, "CPU", settings)
        self._requests = [compiled.create_infer_request() for _ in range(AT_ONCE)]
        self._started = 0

    def start(self, pictures: np.ndarray) -> Callable[[], np.ndarray]:
        """Begins to compute a batch; at most `AT_ONCE` may be on the way.

        Args:
            pictures: uint8 [batch_size, image_size, image_size, 3].

        Returns:
            A function that waits for the result and gives it, float32 [batch_size, ...].
        """
        request = self._requests[self._started % len(self._requests)]
        self._started += 1
        request.start_async({0: pictures})

        def result() -> np.ndarray:
            request.wait()
            return request.get_output_tensor(0).data.copy()

        return result
