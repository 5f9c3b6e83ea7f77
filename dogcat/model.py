"""The model: uint8 pictures in, preprocessing inside, backbone, head, probability out; saving and loading.

A saved model is a `.keras` file of Keras' standard layers, which plain Keras loads, with one member more:
`dogcat.json` names the classes. Loading builds the model anew and takes the weights alone from the file, so
nothing that is stored in a file gets to run, and the arithmetic is that of the machine at hand.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.config import RESIZE_MODES, InputError
from dogcat.progress import pictures_bar

BEST_MODEL = "best.keras"
# Side of the smallest picture that Xception takes, in pixels.
SMALLEST_IMAGE = 71
# The layers that the usual runs open, by index: should Keras ever number them otherwise, nothing must train unnoticed.
_KNOWN_LAYERS = {96: "block11_sepconv1_act", 116: "block13_sepconv1_act"}
_DESCRIPTION = "dogcat.json"
_BACKBONE = "xception"
_LOGITS = "logits"
_PROBABILITY = "probability"


@dataclasses.dataclass(frozen=True)
class Description:
    """What a model was made for.

    Attributes:
        classes: Names of the classes; the model gives the probability of the second.
        image_size: Height and width of its pictures, in pixels.
        resize: How its pictures were made square: stretch, crop or pad.
    """

    classes: list[str]
    image_size: int
    resize: str


def make_backbone(image_size: int | None = None) -> keras.Model:
    """Xception without its top, with random weights; `load_imagenet` of `dogcat.weights` sets them."""
    shape = (image_size, image_size, 3)
    return keras.applications.Xception(include_top=False, weights=None, input_shape=shape)


def build_model(image_size: int) -> keras.Model:
    """Builds the model with random weights, under the current precision policy.

    The last layers compute in float32 under any policy: in float16 the nearest probability below 1 is
    0.9995.

    Returns:
        A model from uint8 [batch, image_size, image_size, 3], RGB, to the probability of the second class,
        float32 [batch, 1].
    """
    pictures = keras.Input((image_size, image_size, 3), dtype="uint8", name="pictures")
    # What `keras.applications.xception.preprocess_input` does: [0, 255] to [-1, 1].
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(pictures)
    maps = make_backbone(image_size)(scaled)
    features = keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(maps)
    logits = keras.layers.Dense(1, name=_LOGITS, dtype="float32")(features)
    probability = keras.layers.Activation("sigmoid", name=_PROBABILITY, dtype="float32")(logits)
    return keras.Model(pictures, probability, name="dogcat")


def backbone_of(model: keras.Model) -> keras.Model:
    """The backbone inside a model, whose own layers `--unfreeze_from` counts."""
    return model.get_layer(_BACKBONE)


def head_of(model: keras.Model) -> keras.layers.Dense:
    """The dense layer that gives the logits."""
    return model.get_layer(_LOGITS)


def features_model(model: keras.Model) -> keras.Model:
    """The part from pictures to features, float32 [batch, 2048]; shares the weights."""
    return keras.Model(model.input, model.get_layer("features").output)


def logits_model(model: keras.Model) -> keras.Model:
    """The part from pictures to logits, float32 [batch, 1]; shares the weights."""
    return keras.Model(model.input, head_of(model).output)


def find_layer(backbone: keras.Model, unfreeze_from: str) -> int:
    """Index of a layer of the backbone.

    Args:
        backbone: The backbone.
        unfreeze_from: An index, or a layer's name; empty: no layer, which gives their number.

    Raises:
        InputError: There is no such layer.
    """
    layers = backbone.layers
    names = [layer.name for layer in layers]
    for index, name in _KNOWN_LAYERS.items():
        assert names[index] == name, f"layer {index} is {names[index]}, not {name}"
    if not unfreeze_from:
        return len(layers)
    if unfreeze_from in names:
        return names.index(unfreeze_from)
    if unfreeze_from.isdecimal() and int(unfreeze_from) < len(layers):
        return int(unfreeze_from)
    raise InputError(
        f"--unfreeze_from={unfreeze_from}: {backbone.name} has the layers 0 to {len(layers) - 1}, named like "
        f"{names[96]} (96) and {names[116]} (116)"
    )


def open_layers(model: keras.Model, first: int) -> None:
    """Lets the head and the backbone's layers from index `first` on train, and no others.

    A frozen BatchNorm also stops collecting statistics and runs in inference mode. To be followed by compile.
    """
    for index, layer in enumerate(backbone_of(model).layers):
        layer.trainable = index >= first


def forward(
    model: keras.Model,
    dataset: tf.data.Dataset,
    pictures: int,
    strategy: tf.distribute.Strategy,
    what: str,
) -> np.ndarray:
    """Runs a model over padded batches, in inference mode.

    Args:
        model: A model of pictures, made under `strategy`.
        dataset: Batches whose elements are, or begin with, pictures; padding only at the end.
        pictures: Number of pictures; what comes after them is padding.
        strategy: Each batch is split between its replicas.
        what: What the progress bar says.

    Returns:
        float32 [pictures, ...], in the order of the dataset.
    """

    @tf.function
    def run(batch: tf.Tensor) -> tf.Tensor:
        return strategy.run(lambda part: model(part, training=False), (batch,))

    if isinstance(dataset.element_spec, tuple):
        dataset = dataset.map(lambda batch, *rest: batch)
    outputs: list[np.ndarray] = []
    done = 0
    with pictures_bar(pictures, what) as progress:
        for batch in strategy.experimental_distribute_dataset(dataset):
            outputs.extend(part.numpy() for part in strategy.experimental_local_results(run(batch)))
            before, done = done, min(pictures, sum(len(output) for output in outputs))
            progress.update(done - before)
    return np.concatenate(outputs)[:pictures]


def save(model: keras.Model, path: Path, description: Description) -> None:
    """Writes a model as `.keras`, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
        temporary = Path(folder) / path.name
        model.save(temporary, save_format="keras")
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(_DESCRIPTION, json.dumps(dataclasses.asdict(description)))
        os.replace(temporary, path)


def find_file(place: str, flag: str) -> Path:
    """The model's file: `place` itself, or the best model of the run folder `place`.

    Raises:
        InputError: There is none.
    """
    path = Path(place)
    if path.is_dir():
        path = path / BEST_MODEL
    if not path.is_file():
        raise InputError(
            f"--{flag}={place}: no model there; give a run's folder with {BEST_MODEL} in it, or a .keras file"
        )
    return path


def describe(path: Path) -> Description:
    """Reads what a saved model was made for.

    Raises:
        InputError: The file is no model of this program.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            description = Description(**json.loads(archive.read(_DESCRIPTION)))
        if not _is_sound(description):
            raise ValueError(f"{_DESCRIPTION} says {dataclasses.asdict(description)}")
        return description
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no model that dogcat.train wrote; give a .keras file of a run ({error})"
        ) from error


def _is_sound(description: Description) -> bool:
    return (
        isinstance(description.classes, list)
        and len(description.classes) == 2
        and all(isinstance(name, str) for name in description.classes)
        and type(description.image_size) is int
        and SMALLEST_IMAGE <= description.image_size <= 4096
        and description.resize in RESIZE_MODES
    )


def load(path: Path) -> tuple[keras.Model, Description]:
    """Builds the model that a file describes and loads its weights.

    Raises:
        InputError: The file is no model of this program, or is damaged.
    """
    description = describe(path)
    model = build_model(description.image_size)
    try:
        model.load_weights(path)
    # What zipfile, h5py and Keras raise for an archive that is damaged or holds another model.
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())[:200]}") from error
    return model, description
