"""The model: uint8 pictures in, preprocessing inside, backbone, head, probability out; saving and loading.

A saved model is a `.keras` file of Keras' standard layers, which plain Keras loads, with one member more:
`dogcat.json` names backbone and classes. Loading builds the model anew and takes the weights alone from the file, so
nothing that is stored in a file gets to run, and the arithmetic is that of the machine at hand. A SavedModel of
`dogcat.export` has the same `dogcat.json` in its folder, weights in HDF5 have it beside them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat import folders, foreign_models, records
from dogcat.backbones import BACKBONES
from dogcat.config import RESIZE_MODES, InputError
from dogcat.foreign_models import DESCRIPTION

BEST_MODEL = "best.keras"
# How pictures are scaled before a backbone, by `Backbone.preprocessing`: factor and summand, for R, G and B alike or
# each. The figures are Keras' own, of ImageNet's mean and deviation.
_SCALING: dict[str, tuple[float | list[float], float | list[float]]] = {
    "tf": (1 / 127.5, -1.0),
    "torch": (
        [1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)],
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
    ),
    "caffe": (1.0, [-123.68, -116.779, -103.939]),
    "inside": (1.0, 0.0),
}
# The layers of Xception that the usual runs open, by index: should Keras ever number them otherwise, nothing must
# train unnoticed.
_KNOWN_LAYERS = {96: "block11_sepconv1_act", 116: "block13_sepconv1_act"}
# Share of the layers that `auto` keeps frozen: of Xception all up to its last four blocks.
_FROZEN_SHARE = 96 / 132
_FEATURES = "features"
_LOGITS = "logits"
_PROBABILITY = "probability"


@dataclasses.dataclass(frozen=True)
class Description:
    """What a model was made for.

    Attributes:
        classes: Names of the classes, two or more, in the order of their labels.
        image_size: Height and width of its pictures, in pixels.
        resize: How its pictures were made square: stretch, crop or pad.
        backbone: Name of its backbone, of `backbones.BACKBONES`.
        temperature: What its logits are divided by for calibrated probabilities, above 0.
    """

    classes: list[str]
    image_size: int
    resize: str
    backbone: str
    temperature: float = 1.0


def make_backbone(name: str, image_size: int) -> keras.Model:
    """A backbone without its top, with random weights; `dogcat.weights` sets others.

    Returns:
        A model from float [batch, image_size, image_size, 3], preprocessed, to feature maps.
    """
    constructor = getattr(keras.applications, BACKBONES[name].constructor)
    backbone = constructor(include_top=False, weights=None, input_shape=(image_size, image_size, 3))
    for layer in backbone.layers:
        # EfficientNetV2's would draw from a generator that is in no checkpoint, and a resumed run would be another one.
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return backbone


def preprocess(backbone: str, pictures: tf.Tensor) -> tf.Tensor:
    """Turns pictures into what a backbone wants, as `preprocess_input` of it in Keras does; nothing of it trains.

    Args:
        backbone: Name of the backbone.
        pictures: uint8 [batch, height, width, 3], RGB.

    Returns:
        Float of the same shape, in the arithmetic of the precision policy.
    """
    kind = BACKBONES[backbone].preprocessing
    scale, offset = _SCALING[kind]
    scaled = keras.layers.Rescaling(scale, offset, name="preprocessing")(pictures)
    if kind != "caffe":
        return scaled
    # RGB to BGR. A slice with a negative step does the same, but is no layer of Keras.
    reverse = keras.initializers.Constant(np.eye(3)[::-1].tolist())
    to_bgr = keras.layers.Conv2D(3, 1, use_bias=False, kernel_initializer=reverse, trainable=False, name="to_bgr")
    return to_bgr(scaled)


@contextlib.contextmanager
def arithmetic(policy: str) -> Iterator[None]:
    """A block in which models are built under another Keras policy of precision."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def build_model(backbone: str, image_size: int, classes: int) -> keras.Model:
    """Builds the model with random weights, under the current precision policy.

    The last layers compute in float32 under any policy: in float16 the nearest probability below 1 is
    0.9995.

    Args:
        backbone: Name of the backbone.
        image_size: Height and width of the pictures, in pixels.
        classes: Number of classes, 2 or more.

    Returns:
        A model from uint8 [batch, image_size, image_size, 3], RGB, to float32 probabilities: of the second of
        two classes, [batch, 1]; of each of more, [batch, classes].
    """
    pictures = keras.Input((image_size, image_size, 3), dtype="uint8", name="pictures")
    maps = make_backbone(backbone, image_size)(preprocess(backbone, pictures))
    features = keras.layers.GlobalAveragePooling2D(name=_FEATURES, dtype="float32")(maps)
    units, activation = (1, "sigmoid") if classes == 2 else (classes, "softmax")
    logits = keras.layers.Dense(units, name=_LOGITS, dtype="float32")(features)
    probability = keras.layers.Activation(activation, name=_PROBABILITY, dtype="float32")(logits)
    return keras.Model(pictures, probability, name="dogcat")


def backbone_of(model: keras.Model) -> keras.Model:
    """The backbone inside a model, whose own layers `--unfreeze_from` counts."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def head_of(model: keras.Model) -> keras.layers.Dense:
    """The dense layer that gives the logits."""
    return model.get_layer(_LOGITS)


def pooling_of(model: keras.Model) -> keras.layers.Layer:
    """The layer between backbone and head, which takes the mean of each feature map."""
    return model.get_layer(_FEATURES)


def features_model(model: keras.Model) -> keras.Model:
    """The part from pictures to features, float32 [batch, channels]; shares the weights."""
    return keras.Model(model.input, pooling_of(model).output)


def logits_model(model: keras.Model) -> keras.Model:
    """The part from pictures to logits, float32 [batch, 1 or classes]; shares the weights."""
    return keras.Model(model.input, head_of(model).output)


def find_layer(backbone: keras.Model, unfreeze_from: str) -> int:
    """Index of a layer of the backbone.

    Args:
        backbone: The backbone.
        unfreeze_from: An index, or a layer's name; `auto`: the first of the last quarter; empty: no layer, which gives
            their number.

    Raises:
        InputError: There is no such layer.
    """
    names = [layer.name for layer in backbone.layers]
    examples = [len(names) * 3 // 4, len(names) * 7 // 8]
    if backbone.name == "xception":
        for index, name in _KNOWN_LAYERS.items():
            assert names[index] == name, f"layer {index} is {names[index]}, not {name}"
        examples = list(_KNOWN_LAYERS)
    if not unfreeze_from:
        return len(names)
    if unfreeze_from == "auto":
        return round(_FROZEN_SHARE * len(names))
    if unfreeze_from in names:
        return names.index(unfreeze_from)
    if unfreeze_from.isdecimal() and int(unfreeze_from) < len(names):
        return int(unfreeze_from)
    like = " and ".join(f"{names[index]} ({index})" for index in examples)
    raise InputError(
        f"--unfreeze_from={unfreeze_from}: {backbone.name} has the layers 0 to {len(names) - 1}, named like {like}"
    )


def open_layers(model: keras.Model, first: int) -> None:
    """Lets the head and the backbone's layers from index `first` on train, and no others.

    A frozen BatchNorm also stops collecting statistics and runs in inference mode. To be followed by compile.
    """
    for index, layer in enumerate(backbone_of(model).layers):
        layer.trainable = index >= first


def description_json(description: Description) -> str:
    """A description as it is kept with a model."""
    return json.dumps(dataclasses.asdict(description))


def save(model: keras.Model, path: Path, description: Description) -> None:
    """Writes a model as `.keras`, whole or not at all."""
    with records.naming(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
        temporary = Path(folder) / path.name
        model.save(temporary, save_format="keras")
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(DESCRIPTION, description_json(description))
        os.replace(temporary, path)


def store_temperature(path: Path, temperature: float) -> None:
    """Gives a `.keras` file another temperature, whole or not at all; its weights stay as they are.

    Raises:
        InputError: The file is no such model of this program.
        OSError: It cannot be written; then it is as it was.
    """
    require_archive(path)
    description = dataclasses.replace(describe(path), temperature=temperature)
    copied = io.BytesIO()
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copied, "w") as copy:
        for member in archive.infolist():
            if member.filename != DESCRIPTION:
                copy.writestr(member, archive.read(member))
        copy.writestr(DESCRIPTION, description_json(description))
    records.write_atomically(path, copied.getvalue())


def require_archive(path: Path) -> None:
    """Raises InputError for a model that `store_temperature` cannot change."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: a temperature is stored in a .keras file alone; give that of the run")


def find_file(place: str, flag: str) -> Path:
    """The model's file: `place` itself, or the best model of the run folder `place`.

    Raises:
        InputError: There is none.
    """
    path = Path(place)
    if path.is_dir():
        _refuse_foreign(path)
        if is_exported(path):
            return path
        path = path / BEST_MODEL
    if not path.is_file():
        raise InputError(
            f"--{flag}={place}: no model there; give a run's folder with {BEST_MODEL} in it, or a .keras file"
        )
    return path


def is_exported(path: Path) -> bool:
    """Whether a path is the folder of a SavedModel of this program."""
    return (path / DESCRIPTION).is_file() and (path / "saved_model.pb").is_file()


def weights_file(path: Path) -> Path:
    """The file in which a model's weights are."""
    return path / "variables" / "variables.data-00000-of-00001" if is_exported(path) else path


def find_files(places: str, flag: str) -> list[Path]:
    """The files of models, each once.

    Args:
        places: Run folders, files, or patterns for them like `runs/*-best`, with commas between them.
        flag: The flag that they were given with.

    Raises:
        InputError: One of them is no model's place, or a pattern fits none.
    """
    found: dict[str, Path] = {}
    for place, matches in folders.expand(places, _may_be_model):
        if not matches:
            raise InputError(f"--{flag}={place}: fits no file and no folder; give a run's folder or a .keras file")
        for match in matches:
            path = find_file(match, flag)
            # A pattern like runs/* fits a run and the link runs/latest to it.
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _may_be_model(path: str) -> bool:
    return os.path.isdir(path) or path.endswith((".keras", ".h5"))


def describe(path: Path) -> Description:
    """Reads what a saved model was made for.

    Raises:
        InputError: The file is no model of this program, or one with something in it that could run.
    """
    _refuse_foreign(path)
    if path.suffix == ".tflite":
        raise InputError(f"{path} is a TensorFlow Lite file, for other programs; give the .keras file it was made of")
    try:
        # Files from before there was a choice of backbones name none.
        description = Description(**{"backbone": "xception", **json.loads(_stored_description(path))})
        if not _is_sound(description):
            raise ValueError(f"{DESCRIPTION} says {dataclasses.asdict(description)}")
        return description
    except (*foreign_models.DAMAGE, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no model that dogcat.train wrote; give a .keras file of a run ({error})"
        ) from error


def _stored_description(path: Path) -> bytes:
    if is_exported(path):
        return (path / DESCRIPTION).read_bytes()
    if path.suffix == ".h5":
        return path.with_name(DESCRIPTION).read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(DESCRIPTION)


def _refuse_foreign(path: Path) -> None:
    reason = foreign_models.reason(path)
    if reason:
        raise InputError(f"{path} {reason}; give a .keras file that dogcat.train wrote, or its run's folder")


def _is_sound(description: Description) -> bool:
    return (
        isinstance(description.classes, list)
        and len(description.classes) >= 2
        and all(isinstance(name, str) for name in description.classes)
        and isinstance(description.backbone, str)
        and description.backbone in BACKBONES
        and type(description.image_size) is int
        and BACKBONES[description.backbone].smallest_image <= description.image_size <= 4096
        and description.resize in RESIZE_MODES
        and isinstance(description.temperature, float)
        and 0 < description.temperature < math.inf
    )


def load(path: Path) -> tuple[keras.Model, Description]:
    """Builds the model that a file describes and loads its weights.

    Raises:
        InputError: The file is no model of this program, or is damaged.
    """
    description = describe(path)
    model = build_model(description.backbone, description.image_size, len(description.classes))
    try:
        if is_exported(path):
            reader = tf.train.load_checkpoint(str(path / "variables" / "variables"))
            keys = [f"saved_weights/{index}/.ATTRIBUTES/VARIABLE_VALUE" for index in range(len(model.weights))]
            model.set_weights([reader.get_tensor(key) for key in keys])
        else:
            model.load_weights(path)
    # What Keras and h5py raise besides for an archive that is damaged or holds another model.
    except (*foreign_models.DAMAGE, KeyError, tf.errors.OpError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is damaged, or its weights are of another model than it tells: {said}") from error
    return model, description
