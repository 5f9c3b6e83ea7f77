"""TensorFlow Lite: converted from what exports are made of, with numbers of fewer bits if asked for, and run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from dogcat.core import runtime
from dogcat.models.onnx_network import PICTURES, PROBABILITIES
from dogcat.models.servable import Servable

# The interpreter has room for all feature maps of a batch.
_BATCH = 8
# The head: probabilities of 8 bits know nothing below 1/256, which costs log loss.
_IN_FLOAT = ["FULLY_CONNECTED", "SOFTMAX"]


def convert(servable: Servable, quantize: str, representative: np.ndarray) -> bytes:
    """Converts a model.

    Args:
        servable: The model.
        quantize: One of `options.QUANTIZE`. float16: weights have 16 bits; int8: weights and feature maps have 8, but
            for the head.
        representative: Pictures whose feature maps tell int8 its ranges, uint8 [pictures, size, size, 3]; of the others
            none are needed.

    Returns:
        The file's content.
    """
    function = servable.function().get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], servable)
    with runtime.native_messages_dropped():
        if quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize != "int8":
            return converter.convert()
        converter.representative_dataset = lambda: ([picture[None]] for picture in representative)
        # Of the ways to leave layers as they are, the one that TensorFlow documents.
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=converter.representative_dataset,
            debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=_IN_FLOAT),
        )
        return debugger.get_nondebug_quantized_model()


def run(file: Path, pictures: np.ndarray) -> np.ndarray:
    """Probabilities of pictures, uint8 [pictures, size, size, 3], by a file: float32 [pictures, classes]."""
    batches = np.array_split(pictures, -(-len(pictures) // _BATCH))
    # TensorFlow's own interpreter says at each start that it becomes a package of its own.
    with runtime.native_messages_dropped():
        interpreter = tf.lite.Interpreter(str(file), num_threads=runtime.available_cores())
        runner = interpreter.get_signature_runner()
        return np.concatenate([runner(**{PICTURES: batch})[PROBABILITIES] for batch in batches])
