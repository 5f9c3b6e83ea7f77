"""Models for servers and phones: uint8 pictures in, probabilities out, with preprocessing and classes inside."""

from __future__ import annotations

import dataclasses
import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import dogcat
from dogcat.core import files, runtime
from dogcat.core.options import InputError
from dogcat.evaluation import metrics
from dogcat.models import architecture, keras_versions, model_files, onnx_network, servable, tflite
from dogcat.models.model_files import Description
from dogcat.models.onnx_network import PICTURES, PROBABILITIES
from dogcat.models.servable import Servable
from dogcat.models.untrusted import DESCRIPTION
from dogcat.pictures import encoder

# The model of each format, in the folder of an export.
FILES = {"savedmodel": "1", "tflite": "model.tflite", "keras": "model.keras", "onnx": "model.onnx"}
# The newest that tf2onnx writes; ONNX Runtime has it from 1.14 on.
_OPSET = 18
_BATCH_DIMENSION = "batch"
# Packages that write a format, or run it for comparison, beside TensorFlow and Keras.
PACKAGES = {"onnx": ("tf2onnx", "onnx", "onnxruntime")}


def require_packages(form: str) -> None:
    """Raises InputError where a package of `PACKAGES` is missing."""
    for name in PACKAGES.get(form, ()):
        if importlib.util.find_spec(name) is None:
            raise InputError(f"--format={form}: {name} is not installed; {onnx_network.INSTALL}")


def write(
    path: Path, form: str, folder: Path, quantize: str = "none", representative: np.ndarray | None = None
) -> None:
    """Writes a model in another form, by the name of `FILES`.

    Args:
        path: The model.
        form: One of `FILES`.
        folder: An empty folder to write into.
        quantize: For `tflite`, one of `options.QUANTIZE`.
        representative: For int8, see `tflite.convert`.

    Raises:
        InputError: The model cannot be loaded.
        OSError: The disk does not take a file.
        tf.errors.OpError: The disk does not take one that TensorFlow writes.
    """
    with architecture.precision("float32"):
        model, description = model_files.load(path)
        # In what is written the temperature is part of the head.
        calibrated = dataclasses.replace(description, temperature=1.0)
        if form == "keras":
            head = architecture.head_of(model)
            head.set_weights([array / description.temperature for array in head.get_weights()])
            model_files.save_for_keras_3(_of_each_class(model), folder / FILES[form], calibrated)
            return
    serves = Servable(model, description)
    file = folder / FILES[form]
    if form == "savedmodel":
        tf.saved_model.save(serves, str(file), signatures=serves.signatures())
        with files.naming(file / DESCRIPTION):
            (file / DESCRIPTION).write_text(model_files.description_json(description))
        return
    if form == "onnx":
        content = _to_onnx(serves, calibrated)
        with files.naming(file):
            file.write_bytes(content)
        return
    content = tflite.convert(serves, quantize, np.empty(0) if representative is None else representative)
    # Where TensorFlow Lite keeps files that belong to a model: in a zip archive behind it.
    with files.naming(file), open(file, "w+b") as opened:
        opened.write(content)
        with zipfile.ZipFile(opened, "a") as archive:
            archive.writestr(DESCRIPTION, model_files.description_json(description))


def _of_each_class(model: keras.Model) -> keras.Model:
    """A model that gives the probability of each class, of two as well; it has the weights of the given one."""
    layers = keras.layers
    logits = architecture.head_of(model).output
    if logits.shape[1] == 1:
        # The other class has the logit 0. In layers of Keras, which plain Keras loads.
        columns = layers.ZeroPadding1D((1, 0))(layers.Reshape((1, 1))(logits))
        logits = layers.Reshape((2,))(columns)
    return keras.Model(model.input, layers.Activation("softmax", name=PROBABILITIES)(logits), name="dogcat")


def _to_onnx(serves: Servable, description: Description) -> bytes:
    import onnx
    import tf2onnx

    # tf2onnx's own way from a function takes constants that layers hold, like those of Normalization, for inputs.
    frozen = convert_variables_to_constants_v2(serves.function().get_concrete_function())
    names = {frozen.inputs[0].name: PICTURES, frozen.outputs[0].name: PROBABILITIES}
    taken, given = names
    with runtime.native_messages_dropped():
        made, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            input_names=[taken],
            output_names=[given],
            opset=_OPSET,
            tensors_to_rename=names,
        )
    made.producer_name, made.producer_version = "dogcat", dogcat.__version__
    onnx.helper.set_model_props(made, {onnx_network.DESCRIPTION_KEY: model_files.description_json(description)})
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH_DIMENSION
    content: bytes = made.SerializeToString()
    return content


def largest_differences(path: Path, form: str, folder: Path, pictures: np.ndarray) -> dict[str, float]:
    """Runs what `write` wrote, and the model it is of, on the same pictures.

    Args:
        path: The model.
        form: What `write` was given.
        folder: What it wrote.
        pictures: uint8 [pictures, size, size, 3].

    Returns:
        The largest difference of a probability's logarithm, which shows what a probability near 1 hides: of `pictures`
        and, for a SavedModel, of the same as `JPEG files`.
    """
    with architecture.precision("float32"):
        model, description = model_files.load(path)
    to_logits = architecture.logits_model(model)

    def difference(probabilities: np.ndarray, pixels: np.ndarray) -> float:
        logits = to_logits.predict(pixels, verbose=0)
        wanted = metrics.log_probabilities(logits / description.temperature)
        return float(np.abs(np.log(probabilities.astype(np.float64)) - wanted).max())

    file = folder / FILES[form]
    if form != "savedmodel":
        return {"pictures": difference(_RUN[form](file, pictures), pictures)}
    signatures = tf.saved_model.load(str(file)).signatures
    encoded = [encoder.encode(picture, "jpeg", quality=95, chroma="420") for picture in pictures]
    decoded = np.stack([servable.decode_jpeg(picture).numpy() for picture in encoded])
    of_pictures = signatures[servable.OF_PICTURES](tf.constant(pictures))[PROBABILITIES]
    of_files = signatures[servable.OF_JPEGS](tf.constant(encoded))[PROBABILITIES]
    return {
        "pictures": difference(of_pictures.numpy(), pictures),
        "JPEG files": difference(of_files.numpy(), decoded),
    }


def _run_keras(file: Path, pictures: np.ndarray) -> np.ndarray:
    """Probabilities of each class by a file for Keras 3; in Keras 2 by its weights, which is all that it can read."""
    with architecture.precision("float32"):
        if keras_versions.opens(model_files.FIRST_KERAS_3):
            return keras.models.load_model(file, compile=False).predict(pictures, verbose=0)
        model = model_files.load(file)[0]
    return np.exp(metrics.log_probabilities(architecture.logits_model(model).predict(pictures, verbose=0)))


def _run_onnx(file: Path, pictures: np.ndarray) -> np.ndarray:
    probabilities: np.ndarray
    [probabilities] = onnx_network.open_session(file).run([PROBABILITIES], {PICTURES: pictures})
    return probabilities


_RUN = {"keras": _run_keras, "tflite": tflite.run, "onnx": _run_onnx}
