"""A classifier of ImageNet's 1000 classes, and how high among them a picture's best pet class ranks."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat import devices, files, folder_pass, foreign_models, weights
from dogcat import model as models
from dogcat.config import InputError
from dogcat.sources import PictureFiles

CLASSES = 1000
# Indices of classes: the breeds of dogs; tabby, tiger cat, Persian, Siamese and Egyptian cat; cougar, lynx, leopard,
# snow leopard, jaguar, lion, tiger and cheetah.
DOGS = range(151, 269)
DOMESTIC_CATS = range(281, 286)
WILD_CATS = range(286, 294)

# The only modules that the configuration of a classifier may name: Keras imports what it finds there.
_MODULES = (
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.activations",
    "keras.mixed_precision",
)
_MODELS = ("keras", "keras.models", "keras.src.engine.functional", "keras.src.engine.sequential")


class Classifier:
    """A network with 1000 outputs in ImageNet's order.

    Attributes:
        name: What it is, for a person.
        image_size: Height and width of its pictures, in pixels.
    """

    def __init__(self, file: str) -> None:
        """Loads a `.keras` file that takes pixels of 0 to 255; with an empty name, Xception.

        Raises:
            InputError: The file is no such model, or has something in it that could run; or Xception's weights cannot
                be had.
        """
        if file:
            self.name, self._identity = file, files.sha256_of(_sound_file(file))
            self._model = _load(file)
        else:
            with models.arithmetic("float32"):
                xception = keras.applications.Xception(weights=None, classifier_activation=None)
                pictures = keras.Input(xception.input_shape[1:])
                self._model = keras.Model(pictures, xception(models.preprocess("xception", pictures)))
            source = weights.load_imagenet_top(xception)
            self.name, self._identity = f"Xception, {source}", weights.digest(xception.get_weights())
        self.image_size: int = self._model.input_shape[1]

    def scores(self, pictures: PictureFiles) -> np.ndarray:
        """Runs over pictures that can be decoded, or takes what an earlier call found.

        Returns:
            A score for each class, float32 [pictures, 1000]; the higher, the more likely.

        Raises:
            InputError: A picture cannot be decoded any more.
        """
        print(f"classifier: {self.name} at {self.image_size} pixels; float32, TensorFlow {tf.__version__}")

        def network(batch: tf.Tensor) -> tf.Tensor:
            return tf.cast(self._model(tf.cast(batch, tf.float32), training=False), tf.float32)

        return folder_pass.outputs(
            pictures,
            self.image_size,
            lambda: network,
            devices.make_strategy("one_device"),
            {"classifier": self._identity, "engine": devices.describe_engine("tensorflow")},
            "classifying",
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


def _sound_file(file: str) -> Path:
    """The file, if nothing in it could run.

    Raises:
        InputError: It is none, or something could.
    """
    path, hint = Path(file), "give a .keras file of standard layers with 1000 ImageNet outputs"
    if not path.is_file():
        raise InputError(f"--classifier={file}: no such file; {hint}")
    # Keras chooses by the ending how it reads a file, and HDF5 could hold code.
    if path.suffix != ".keras":
        raise InputError(f"--classifier={file}: its name does not end in .keras; {hint}")
    reason = foreign_models.reason(path)
    try:
        if not reason:
            with zipfile.ZipFile(path) as archive:
                reason = _foreign_part(json.loads(archive.read("config.json")))
    except (*foreign_models.DAMAGE, KeyError) as error:
        raise InputError(f"--classifier={file}: is no .keras file ({error}); {hint}") from error
    if reason:
        raise InputError(f"--classifier={file}: {reason}; {hint}")
    return path


def _foreign_part(config: Any) -> str:
    """The first thing in a configuration that is no standard layer and nothing of one; empty if there is none."""
    if isinstance(config, list):
        return next(filter(None, map(_foreign_part, config)), "")
    if not isinstance(config, dict):
        return ""
    if "class_name" in config or "module" in config:
        name, module = config.get("class_name"), config.get("module")
        layer = getattr(keras.layers, str(name), None)
        is_layer = module == "keras.layers" and isinstance(layer, type) and issubclass(layer, keras.layers.Layer)
        is_model = module in _MODELS and name in ("Functional", "Sequential", "Model")
        if not (is_layer or is_model or module in _MODULES):
            return f"has a part {module}.{name}, which is no standard layer of Keras"
    return _foreign_part(list(config.values()))


def _load(file: str) -> keras.Model:
    try:
        model = keras.models.load_model(file, compile=False, safe_mode=True)
    # What Keras raises for a configuration or weights that do not fit.
    except (*foreign_models.DAMAGE, KeyError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"--classifier={file}: cannot be loaded ({said}); give another .keras file") from error
    if len(model.inputs) != 1 or len(model.outputs) != 1 or model.output_shape != (None, CLASSES):
        outputs = [tuple(output.shape[1:]) for output in model.outputs]
        raise InputError(
            f"--classifier={file}: has outputs {outputs}; give a model with one of {CLASSES}, ImageNet's classes"
        )
    shape = model.input_shape
    if len(shape) != 4 or shape[3] != 3 or shape[1] is None or shape[1] != shape[2]:
        raise InputError(f"--classifier={file}: takes {shape}; give a model for square RGB pictures of a fixed size")
    return model
