"""What exports are made of: pixels or JPEG files in, probabilities out, with preprocessing and temperature inside."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.models import architecture, keras_versions
from dogcat.models.model_files import Description
from dogcat.models.onnx_network import PICTURES, PROBABILITIES

# Names of the signatures of a SavedModel.
OF_PICTURES, OF_JPEGS = "serving_default", "jpeg"


class Servable(tf.Module):
    """What a SavedModel serves.

    Attributes:
        saved_weights: The model's weights in their order; `model_files.load` finds them by this name.
    """

    def __init__(self, model: keras.Model, description: Description) -> None:
        """Takes a model in float32 and what it was made for."""
        super().__init__()
        self.saved_weights = keras_versions.variables_of(model.weights)
        self._to_features = architecture.features_model(model)
        kernel, bias = (
            array / np.float32(description.temperature) for array in architecture.head_of(model).get_weights()
        )
        if len(bias) == 1:
            # The other class has the logit 0.
            kernel, bias = np.pad(kernel, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
        self._kernel, self._bias = kernel, bias
        self._description = description

    def probabilities(self, pictures: tf.Tensor) -> tf.Tensor:
        """Calibrated probabilities.

        The head is one product of matrices and a softmax, both the only ones of their kind in the graph, by which
        `models.tflite` leaves them in float32.

        Args:
            pictures: uint8 [batch, size, size, 3], RGB.

        Returns:
            float32 [batch, classes].
        """
        features = self._to_features(pictures, training=False)
        return tf.nn.softmax(tf.matmul(features, self._kernel) + self._bias)

    def function(self) -> tf.types.experimental.GenericFunction:
        """What converters take: of `PICTURES`, uint8 [batch, size, size, 3], to `PROBABILITIES`, by name."""
        return tf.function(
            lambda pictures: {PROBABILITIES: self.probabilities(pictures)}, input_signature=[self._pictures()]
        )

    def _pictures(self) -> tf.TensorSpec:
        size = self._description.image_size
        return tf.TensorSpec([None, size, size, 3], tf.uint8, name=PICTURES)

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """The functions of the SavedModel: of pictures as pixels, and of JPEG or PNG files.

        Both return `probabilities`, float32 [batch, classes], and `class`, string [batch], the most probable one.
        """
        size = self._description.image_size
        names = list(map(os.fsencode, self._description.classes))

        def answer(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = self.probabilities(pictures)
            return {PROBABILITIES: probabilities, "class": tf.gather(names, tf.argmax(probabilities, axis=1))}

        @tf.function(input_signature=[self._pictures()])
        def of_pictures(pictures: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(pictures)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="files")])
        def of_jpegs(files: tf.Tensor) -> dict[str, tf.Tensor]:
            picture = tf.TensorSpec([size, size, 3], tf.uint8)
            return answer(tf.map_fn(self._read, files, fn_output_signature=picture))

        return {OF_PICTURES: of_pictures, OF_JPEGS: of_jpegs}

    def _read(self, file: tf.Tensor) -> tf.Tensor:
        """What `images` makes of a picture; an EXIF orientation and an ICC profile are not heeded."""
        pixels = tf.cond(tf.io.is_jpeg(file), lambda: decode_jpeg(file), lambda: _decode_png(file))
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


def decode_jpeg(file: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG with the exact transform, as dogcat does: uint8 [height, width, 3]."""
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
