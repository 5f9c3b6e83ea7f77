"""Models for servers and phones: uint8 pictures in, probabilities out, with preprocessing and classes inside."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.core import files, runtime
from dogcat.evaluation import metrics
from dogcat.models import architecture, keras_versions, model_files
from dogcat.models.model_files import Description
from dogcat.models.untrusted import DESCRIPTION
from dogcat.pictures import encoder

TFLITE_FILE = "model.tflite"
_PICTURES, _JPEGS = "serving_default", "jpeg"


class Servable(tf.Module):
    """What a SavedModel serves.

    Attributes:
        saved_weights: The model's weights in their order; `model_files.load` finds them by this name.
    """

    def __init__(self, model: keras.Model, description: Description) -> None:
        """Takes a model in float32 and what it was made for."""
        super().__init__()
        self.saved_weights = keras_versions.variables_of(model.weights)
        self._to_logits = architecture.logits_model(model)
        self._description = description

    def probabilities(self, pictures: tf.Tensor) -> tf.Tensor:
        """Calibrated probabilities.

        Args:
            pictures: uint8 [batch, size, size, 3], RGB.

        Returns:
            float32 [batch, classes].
        """
        logits = self._to_logits(pictures, training=False) / self._description.temperature
        if logits.shape[1] == 1:
            logits = tf.concat([tf.zeros_like(logits), logits], axis=1)
        return tf.nn.softmax(logits)

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """The functions of the SavedModel: of pictures as pixels, and of JPEG or PNG files.

        Both return `probabilities`, float32 [batch, classes], and `class`, string [batch], the most probable one.
        """
        size = self._description.image_size
        names = list(map(os.fsencode, self._description.classes))

        def answer(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = self.probabilities(pictures)
            return {"probabilities": probabilities, "class": tf.gather(names, tf.argmax(probabilities, axis=1))}

        @tf.function(input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8, name="pictures")])
        def of_pictures(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(pictures)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="files")])
        def of_jpegs(files: tf.Tensor) -> dict[str, tf.Tensor]:
            picture = tf.TensorSpec([size, size, 3], tf.uint8)
            return answer(tf.map_fn(self._read, files, fn_output_signature=picture))

        return {_PICTURES: of_pictures, _JPEGS: of_jpegs}

    def _read(self, file: tf.Tensor) -> tf.Tensor:
        """What `images` makes of a picture; an EXIF orientation and an ICC profile are not heeded."""
        pixels = tf.cond(tf.io.is_jpeg(file), lambda: _decode_jpeg(file), lambda: _decode_png(file))
        size = self._description.image_size
        height, width = tf.unstack(tf.shape(pixels)[:2])
        if self._description.resize == "crop":
            side = tf.minimum(height, width)
            pixels = tf.image.crop_to_bounding_box(pixels, (height - side) // 2, (width - side) // 2, side, side)
        target = tf.constant([size, size])
        if self._description.resize == "pad":
            scaled = tf.cast([height, width], tf.float64) * size / tf.cast(tf.maximum(height, width), tf.float64)
            target = tf.maximum(1, tf.cast(tf.round(scaled), tf.int32))
        resized = tf.image.resize(pixels, target, antialias=True)
        rounded = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
        top, left = tf.unstack((size - target) // 2)
        return tf.ensure_shape(tf.image.pad_to_bounding_box(rounded, top, left, size, size), [size, size, 3])


def _decode_jpeg(file: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")


def _decode_png(file: tf.Tensor) -> tf.Tensor:
    """Decodes, and lays what is transparent over white."""
    # Asked for four channels, TensorFlow takes a picture of one bit a pixel for transparent.
    pixels = tf.io.decode_png(file, channels=0)
    height, width, channels = tf.unstack(tf.shape(pixels))
    of_colour = channels - 1 + channels % 2
    colours = tf.broadcast_to(tf.cast(pixels[:, :, :of_colour], tf.float32), [height, width, 3])
    opaque = tf.fill([height, width, 1], tf.constant(255, tf.uint8))
    opacity = tf.cast(tf.concat([pixels[:, :, of_colour:], opaque], axis=2)[:, :, :1], tf.float32) / 255
    return tf.cast(tf.round(colours * opacity + 255 * (1 - opacity)), tf.uint8)


def write(path: Path, form: str, folder: Path) -> None:
    """Writes a model in another form.

    Args:
        path: The model.
        form: `savedmodel` or `tflite`.
        folder: An empty folder to write into.

    Raises:
        InputError: The model cannot be loaded.
        OSError: The disk does not take a file.
        tf.errors.OpError: The disk does not take one that TensorFlow writes.
    """
    with architecture.precision("float32"):
        model, description = model_files.load(path)
    servable = Servable(model, description)
    if form == "savedmodel":
        tf.saved_model.save(servable, str(folder), signatures=servable.signatures())
        with files.naming(folder / DESCRIPTION):
            (folder / DESCRIPTION).write_text(model_files.description_json(description))
        return
    spec = tf.TensorSpec([None, description.image_size, description.image_size, 3], tf.uint8, name="pictures")
    function = tf.function(servable.probabilities, input_signature=[spec]).get_concrete_function()
    with runtime.native_messages_dropped():
        converted = tf.lite.TFLiteConverter.from_concrete_functions([function], servable).convert()
    # Where TensorFlow Lite keeps files that belong to a model: in a zip archive behind it.
    with files.naming(folder / TFLITE_FILE), open(folder / TFLITE_FILE, "w+b") as file:
        file.write(converted)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(DESCRIPTION, model_files.description_json(description))


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

    if form == "tflite":
        return {"pictures": difference(_run_tflite(folder / TFLITE_FILE, pictures), pictures)}
    signatures = tf.saved_model.load(str(folder)).signatures
    encoded = [encoder.encode(picture, "jpeg", quality=95, chroma="420") for picture in pictures]
    decoded = np.stack([_decode_jpeg(file).numpy() for file in encoded])
    of_pictures = signatures[_PICTURES](tf.constant(pictures))["probabilities"]
    of_files = signatures[_JPEGS](tf.constant(encoded))["probabilities"]
    return {
        "pictures": difference(of_pictures.numpy(), pictures),
        "JPEG files": difference(of_files.numpy(), decoded),
    }


def _run_tflite(file: Path, pictures: np.ndarray) -> np.ndarray:
    with runtime.native_messages_dropped():
        interpreter = tf.lite.Interpreter(str(file))
        [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(taken["index"], pictures.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], pictures)
    interpreter.invoke()
    return interpreter.get_tensor(given["index"])
