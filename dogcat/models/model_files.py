"""Files of models: saved, found, described, loaded.

A saved model is a `.keras` file of Keras' standard layers, which plain Keras loads; what it was made for, like backbone
and classes, stands in Keras' `metadata.json` under `dogcat`. Loading builds the model anew and takes the weights alone
from the file, so nothing that is stored in a file gets to run, and the precision is that of the machine at hand. A
SavedModel of `models.export` has the same as `dogcat.json` in its folder, an ONNX file among its metadata, weights in
HDF5 have it beside them, and earlier `.keras` files as a member.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import reprlib
import shutil
import tempfile
import typing
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow import keras

from dogcat.core import files, typed_json
from dogcat.core.options import InputError
from dogcat.models import keras_configs, keras_files, keras_versions, latest_run, model_list, onnx_network, untrusted
from dogcat.models.architecture import build_model
from dogcat.models.backbones import BACKBONES
from dogcat.models.bundle import Bundle
from dogcat.models.keras_files import CONFIG, METADATA, Archive
from dogcat.models.untrusted import DESCRIPTION, MOST_DESCRIPTION_BYTES, MOST_METADATA_BYTES
from dogcat.pictures import folders
from dogcat.pictures.geometry import RESIZE_MODES

BEST_MODEL = "best.keras"
# What exports are called in their folders, of those that are read; `export.FILES` has all.
EXPORTED_FILES = ("model.keras", "model.onnx")

# Where Keras' metadata has the description.
_IN_METADATA = "dogcat"
FIRST_KERAS_3 = "3.0.0"
_LARGEST_IMAGE = 4096
# No backbone gives fewer features to the head.
_FEWEST_FEATURES = 512


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


_DESCRIPTION_FIELDS = typing.get_type_hints(Description)


def description_json(description: Description) -> str:
    """A description as it is kept with a model.

    Raises:
        InputError: The names of the classes take more room than any reader gives them.
    """
    text = json.dumps(dataclasses.asdict(description))
    if len(text) > MOST_DESCRIPTION_BYTES:
        raise InputError(
            f"{len(description.classes):,} classes: their names take {len(text):,} bytes; a model has room for "
            f"{MOST_DESCRIPTION_BYTES:,}, so use fewer or shorter ones"
        )
    return text


def save(model: keras.Model, path: Path, description: Description) -> None:
    """Writes a model as `.keras`, whole or not at all."""
    with _saved(model, path) as temporary:
        _copy(temporary, path, description)


def save_for_keras_3(model: keras.Model, path: Path, description: Description) -> None:
    """Writes a model as `.keras` that plain Keras 3 opens, whichever Keras is there, whole or not at all."""
    with _saved(model, path) as temporary:
        _copy(temporary, path, description, for_keras_3=not keras_versions.opens(FIRST_KERAS_3))


@contextlib.contextmanager
def _saved(model: keras.Model, path: Path) -> Iterator[Path]:
    """A block in which Keras' own file of a model lies beside `path`, whose name errors get."""
    with files.naming(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
        temporary = Path(folder) / path.name
        model.save(temporary)
        yield temporary


def store_temperature(path: Path, temperature: float) -> None:
    """Gives a `.keras` file another temperature, whole or not at all; its weights stay as they are.

    Raises:
        InputError: The file is not such a model of this program.
        OSError: It cannot be written; then it is as it was.
    """
    require_archive(path)
    _copy(path, path, dataclasses.replace(describe(path), temperature=temperature))


def _copy(source: Path, target: Path, description: Description, for_keras_3: bool = False) -> None:
    """Writes a `.keras` file with another description, whole or not at all; one of Keras 2 for Keras 3, if asked.

    The description is no member of its own, since Keras takes any beyond its three for files of layers.
    """
    with Archive(source) as archive, files.open_atomically(target) as file, zipfile.ZipFile(file, "w") as copy:
        metadata = typed_json.parse(archive.read(METADATA, MOST_METADATA_BYTES), dict[str, Any])
        metadata[_IN_METADATA] = json.loads(description_json(description))
        written = {METADATA, DESCRIPTION}
        if for_keras_3:
            metadata["keras_version"] = FIRST_KERAS_3
            copy.writestr(CONFIG, json.dumps(keras_configs.to_keras_3(untrusted.config_of(archive))))
            written.add(CONFIG)
        copy.writestr(METADATA, json.dumps(metadata))
        for name in archive:
            if name not in written:
                with archive.open(name) as member, copy.open(name, "w") as copied:
                    shutil.copyfileobj(member, copied)


def require_archive(path: Path) -> None:
    """Raises InputError for a model that `store_temperature` cannot change."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: a temperature is stored in a .keras file alone; give that of the run")


def find_file(place: str, flag: str) -> Path:
    """The model's file: `place` itself, the best model of the run folder `place`, or the newest version exported to it.

    Raises:
        InputError: There is none.
    """
    path = latest_run.resolve(place)
    if path.is_dir():
        if model_list.is_in(path):
            raise InputError(f"--{flag}={place}: is several models; give one of them, like {model_list.read(path)[0]}")
        path = max(_versions(path), key=lambda version: int(version.name), default=path)
        _refuse_foreign(path)
        if is_exported(path):
            return path
        in_folder = (path / name for name in (BEST_MODEL, *EXPORTED_FILES))
        path = next((file for file in in_folder if file.is_file()), path / BEST_MODEL)
    if not path.is_file():
        raise InputError(
            f"--{flag}={place}: no model there; give a run's folder with {BEST_MODEL} in it, or a .keras or .onnx file"
        )
    return path


def _versions(path: Path) -> list[Path]:
    """The SavedModels in a folder that a server is given, each called by its number."""
    return [file.parent for file in path.glob("*/saved_model.pb") if file.parent.name.isdecimal()]


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
        InputError: One of them is not a model's place, or a pattern fits none.
    """
    found: dict[str, Path] = {}
    for given, matches in folders.expand(places, _may_be_model):
        if not matches:
            raise InputError(f"--{flag}={given}: fits no file and no folder; give a run's folder or a .keras file")
        for match in matches:
            listed = [str(run) for run in model_list.read(latest_run.resolve(match))]
            for place in listed or [match]:
                path = find_file(place, flag)
                # A pattern like runs/* fits a run and the link runs/latest to it.
                found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def _may_be_model(path: str) -> bool:
    return latest_run.may_be_run(path) or path.lower().endswith((".keras", ".h5", onnx_network.ENDING))


def describe(path: Path) -> Description:
    """Reads what a saved model was made for.

    Raises:
        InputError: The file is not a model of this program, or one with something in it that could run.
    """
    _refuse_foreign(path)
    if path.suffix == ".tflite":
        raise InputError(f"{path} is a TensorFlow Lite file, for other programs; give the .keras file it was made of")
    in_onnx = onnx_network.stored_description(path) if onnx_network.is_onnx(path) else None
    try:
        return _sound(_stored_description(path) if in_onnx is None else typed_json.parse(in_onnx, dict[str, Any]))
    except keras_files.DAMAGE as error:
        what = "give a .keras file of a run" if in_onnx is None else "give one of dogcat export-model --format=onnx"
        raise InputError(
            f"{path} is not a model that dogcat.train wrote; {what} ({keras_files.said(error)})"
        ) from error


def _stored_description(path: Path) -> dict[str, Any]:
    """The description of a model, unchecked.

    Raises:
        ValueError: There is none that could be checked.
    """
    if is_exported(path) or path.suffix == ".h5":
        file = path / DESCRIPTION if is_exported(path) else path.with_name(DESCRIPTION)
        return typed_json.parse(files.read_bounded(file, MOST_DESCRIPTION_BYTES), dict[str, Any])
    with Archive(path) as archive:
        if DESCRIPTION in archive:
            return typed_json.parse(archive.read(DESCRIPTION, MOST_DESCRIPTION_BYTES), dict[str, Any])
        metadata = typed_json.parse(archive.read(METADATA, MOST_METADATA_BYTES), dict[str, Any])
    return typed_json.checked(metadata, {_IN_METADATA: dict[str, Any]})[_IN_METADATA]


def _refuse_foreign(path: Path) -> None:
    reason = untrusted.reason(path)
    if reason:
        raise InputError(f"{path} {reason}; give a .keras file that dogcat.train wrote, or its run's folder")


def _sound(stored: dict[str, Any]) -> Description:
    """A description, checked field by field.

    Raises:
        ValueError: A field is wrong; the message names it.
    """
    # Files from before there was a choice of backbones name none, and those from before calibration no temperature.
    values = {"backbone": "xception", "temperature": 1.0, **stored}
    odd = sorted(values.keys() - _DESCRIPTION_FIELDS.keys())
    if odd:
        raise ValueError(f"its description has the unknown field {reprlib.repr(odd[0])}")
    made = Description(**typed_json.checked(values, _DESCRIPTION_FIELDS))
    backbone = BACKBONES.get(made.backbone)
    smallest = backbone.smallest_image if backbone else 1
    rules = {
        "classes": (len(made.classes) >= 2 and len(set(made.classes)) == len(made.classes), "two or more names"),
        "backbone": (backbone is not None, f"one of {len(BACKBONES)} that dogcat.train offers"),
        "image_size": (smallest <= made.image_size <= _LARGEST_IMAGE, f"from {smallest} to {_LARGEST_IMAGE}"),
        "resize": (made.resize in RESIZE_MODES, f"one of {', '.join(RESIZE_MODES)}"),
        "temperature": (0 < made.temperature < math.inf, "above 0"),
    }
    for name, (is_right, wanted) in rules.items():
        if not is_right:
            raise ValueError(f"{name} in its description is {reprlib.repr(getattr(made, name))}, not {wanted}")
    return made


def load(path: Path) -> tuple[keras.Model, Description]:
    """Builds the model that a file describes and loads its weights.

    Raises:
        InputError: The file is not a model of this program, or is damaged.
    """
    description = describe(path)
    if onnx_network.is_onnx(path):
        raise InputError(
            f"{path} is an ONNX file, which predicts and nothing else; give the .keras file it was made of"
        )
    try:
        # Before a head is made, of which the description alone would say how large it is.
        if 4 * _FEWEST_FEATURES * len(description.classes) > _bytes_of_weights(path):
            raise ValueError(f"it has not the weights for {len(description.classes):,} classes")
        model = build_model(description.backbone, description.image_size, len(description.classes))
        load_weights(model, path)
    except keras_files.DAMAGE as error:
        raise InputError(
            f"{path} is damaged, or its weights are of another model than it tells: {keras_files.said(error)}"
        ) from error
    return model, description


def load_weights(model: keras.Model, path: Path) -> None:
    """Sets a model's weights to those in a file of this program.

    Raises:
        InputError: A file is not a regular one.
        keras_files.DAMAGE: The file is damaged, or has other weights.
    """
    if is_exported(path):
        _load_variables(model, path / "variables")
    elif path.suffix == ".h5":
        with files.open_regular(path) as file:
            keras_files.set_weights(model, file)
    else:
        with Archive(path) as archive:
            weights = archive.read(keras_files.WEIGHTS, keras_files.most_bytes_of(model))
        keras_files.set_weights(model, io.BytesIO(weights))


def _bytes_of_weights(path: Path) -> int:
    if is_exported(path) or path.suffix == ".h5":
        return weights_file(path).stat().st_size
    with Archive(path) as archive:
        return archive.size(keras_files.WEIGHTS)


def _load_variables(model: keras.Model, folder: Path) -> None:
    """Sets a model's weights to the variables of a SavedModel."""
    shapes = {
        f"saved_weights/{index}/.ATTRIBUTES/VARIABLE_VALUE": tuple(weight.shape)
        for index, weight in enumerate(model.weights)
    }
    stored = Bundle(folder / "variables", largest=4 * max(map(math.prod, shapes.values())))
    # All of them, before the first is read.
    for key, shape in shapes.items():
        entry = stored.entries.get(key)
        if entry is None or (entry.dtype, entry.shape) != ("float32", shape):
            raise ValueError(f"the variable {key.partition('/.')[0]} is not there in the shape {shape}")
    arrays = [np.frombuffer(stored.data(key), "<f4").reshape(shape) for key, shape in shapes.items()]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("a variable has an element that is infinite or not a number")
    model.set_weights(arrays)
