"""A classifier of ImageNet's 1000 classes, and how high among them a picture's best pet class ranks."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import numpy as np
import tensorflow as tf
from keras import saving
from tensorflow import keras

from dogcat.cleaning.folder_pass import FolderNetwork
from dogcat.core import files
from dogcat.core.options import InputError
from dogcat.models import architecture, devices, keras_configs, keras_files, keras_versions, untrusted, weights
from dogcat.models.keras_files import Archive

CLASSES = 1000
# Indices of classes: the breeds of dogs; tabby, tiger cat, Persian, Siamese and Egyptian cat; cougar, lynx, leopard,
# snow leopard, jaguar, lion, tiger and cheetah.
DOGS = range(151, 269)
DOMESTIC_CATS = range(281, 286)
WILD_CATS = range(286, 294)

# The layers of which the networks of keras.applications are made. None of them reads a file or runs what it is given.
_LAYERS = {
    *("InputLayer", "Rescaling", "Normalization", "Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"),
    *("BatchNormalization", "LayerNormalization", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
    *("Add", "Multiply", "Concatenate", "Average", "Dropout", "SpatialDropout2D", "GaussianNoise"),
    *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
    *("ZeroPadding2D", "Cropping2D", "UpSampling2D", "Flatten", "Reshape", "Permute"),
}
_MODULES_OF_MODELS = {"keras", "keras.models", *keras_configs.MODULES, *keras_configs.MODULES.values()}
# Parts of layers that matter to training alone.
_OF_TRAINING = {"keras.regularizers", "keras.constraints"}
_POLICIES = {("keras.mixed_precision", "Policy"), ("keras", "DTypePolicy")}
# How Keras 3 writes where a layer's input is from.
_CONNECTION = (None, "__keras_tensor__")
_ZEROS: dict[str, Any] = {"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": None}


class Classifier:
    """A network with 1000 outputs in ImageNet's order.

    Attributes:
        name: What it is, for a person.
        image_size: Height and width of its pictures, in pixels.
    """

    def __init__(self, file: str) -> None:
        """Loads a `.keras` file that takes pixels of 0 to 255; with an empty name, Xception.

        Raises:
            InputError: The file is not such a model, or has something in it that could run; or Xception's weights
                cannot be had.
        """
        if file:
            self.name, self._identity = file, files.sha256_of(_sound_file(file))
            self._model = _load(file)
        else:
            with architecture.precision("float32"):
                xception = keras.applications.Xception(weights=None, classifier_activation=None)
                pictures = keras.Input(xception.input_shape[1:])
                self._model = keras.Model(pictures, xception(architecture.preprocess("xception", pictures)))
            source = weights.load_imagenet_top(xception)
            self.name, self._identity = f"Xception, {source}", weights.digest(xception.get_weights())
        self.image_size: int = self._model.input_shape[1]

    def network(self) -> FolderNetwork:
        """A network that gives a score for each class, float32 [1000]; the higher, the more likely."""

        def scores(batch: tf.Tensor) -> tf.Tensor:
            return tf.cast(self._model(tf.cast(batch, tf.float32), training=False), tf.float32)

        return FolderNetwork(
            f"{self.name} at {self.image_size} pixels; float32, TensorFlow {tf.__version__}",
            self.image_size,
            lambda: scores,
            devices.make_strategy("one_device"),
            {"classifier": self._identity, "engine": devices.describe_engine("tensorflow")},
        )


def pet_ranks(scores: np.ndarray, wild_cats: bool) -> np.ndarray:
    """Rank of the best pet class of each picture: int [pictures], 0 where it is the best of all classes.

    Args:
        scores: Float [pictures, 1000].
        wild_cats: Whether wild cats count as pets too.
    """
    pets = [*DOGS, *DOMESTIC_CATS, *(WILD_CATS if wild_cats else ())]
    best = scores[:, pets].max(axis=1, keepdims=True)
    return (scores > best).sum(axis=1)


# What Keras raises for a configuration that does not fit.
_OF_A_WRONG_CONFIGURATION = (KeyError, TypeError, RuntimeError, AttributeError, IndexError, tf.errors.OpError)
_HINT = f"give a .keras file of standard layers with {CLASSES} ImageNet outputs"


def _sound_file(file: str) -> Path:
    """The file, if nothing in it could run.

    Raises:
        InputError: It is none, or something could.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"--classifier={file}: no such file; {_HINT}")
    # HDF5 could hold code.
    if path.suffix != ".keras":
        raise InputError(f"--classifier={file}: its name does not end in .keras; {_HINT}")
    reason = untrusted.reason(path)
    if reason:
        raise InputError(f"--classifier={file}: {reason}; {_HINT}")
    return path


def _plain(config: Any) -> Any:
    """A configuration of standard layers with all left out that inference does not need.

    What a new layer begins with is zeros, since its weights come from the file.

    Raises:
        ValueError: There is anything else in it; the message names it.
    """
    if isinstance(config, list):
        return [_plain(item) for item in config]
    if not isinstance(config, dict):
        return config
    if not config.keys() & {"class_name", "module", "registered_name"}:
        return {name: _plain(value) for name, value in config.items()}
    name, module = config.get("class_name"), config.get("module")
    if module == "keras.initializers":
        return _ZEROS
    if module in _OF_TRAINING:
        return None
    is_known = (
        (module == "keras.layers" and name in _LAYERS)
        or (module in _MODULES_OF_MODELS and name in keras_configs.MODELS)
        or (module, name) in _POLICIES
        or (module, name) == _CONNECTION
    )
    if not is_known:
        inner = config.get("config")
        own_name = str(inner.get("name", ""))[:60] if isinstance(inner, dict) else ""
        raise ValueError(
            f"has a part {str(module)[:60]}.{str(name)[:60]}, which is not a standard layer of Keras: {own_name!r}"
        )
    kept = {key: _plain(value) for key, value in config.items() if key not in ("build_config", "compile_config")}
    return {**kept, "registered_name": None}


@contextlib.contextmanager
def _variables_within(most_bytes: int) -> Iterator[None]:
    """A block in which no more variables are made than a file of weights of this size can fill.

    Raises:
        ValueError: More are.
    """
    left = most_bytes

    def create(following: Callable[..., tf.Variable], **settings: Any) -> tf.Variable:
        nonlocal left
        # Of two bytes at least each.
        left -= 2 * _shape_of(settings).num_elements()
        if left < 0:
            raise ValueError(f"its layers have more weights than its {most_bytes:,} bytes of them")
        return following(**settings)

    with tf.variable_creator_scope(create):
        yield


def _shape_of(settings: dict[str, Any]) -> tf.TensorShape:
    """The shape of a variable to be made, of which nothing is computed yet."""
    if settings["shape"] is not None:
        return settings["shape"]
    # Keras 3 gives a function of the first value alone.
    value = settings["initial_value"]
    with tf.Graph().as_default():
        return tf.convert_to_tensor(value() if callable(value) else value).shape


def _load(file: str) -> keras.Model:
    try:
        with Archive(Path(file)) as archive:
            config = keras_versions.readable(_plain(untrusted.config_of(archive)), untrusted.keras_version_of(archive))
            with _variables_within(archive.size(keras_files.WEIGHTS)):
                model = saving.deserialize_keras_object(config, safe_mode=True)
            if not isinstance(model, keras.Model):
                raise ValueError("its configuration is not that of a model")
            weights_ = archive.read(keras_files.WEIGHTS, keras_files.most_bytes_of(model))
        keras_files.set_weights(model, io.BytesIO(weights_))
    except (
        *keras_files.DAMAGE,
        AssertionError,
        KeyError,
        TypeError,
        RuntimeError,
        AttributeError,
        IndexError,
        tf.errors.OpError,
    ) as error:
        raise InputError(f"--classifier={file}: {keras_files.said(error)}; {_HINT}") from error
    if len(model.inputs) != 1 or len(model.outputs) != 1 or model.output_shape != (None, CLASSES):
        outputs = [tuple(output.shape[1:]) for output in model.outputs]
        raise InputError(
            f"--classifier={file}: has outputs {outputs}; give a model with one of {CLASSES}, ImageNet's classes"
        )
    shape = model.input_shape
    if len(shape) != 4 or shape[3] != 3 or shape[1] is None or shape[1] != shape[2]:
        raise InputError(f"--classifier={file}: takes {shape}; give a model for square RGB pictures of a fixed size")
    return model
