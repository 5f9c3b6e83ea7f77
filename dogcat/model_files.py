"""Files of models: saved, found, described, loaded.

A saved model is a `.keras` file of Keras' standard layers, which plain Keras loads, with one member more:
`dogcat.json` names backbone and classes. Loading builds the model anew and takes the weights alone from the file, so
nothing that is stored in a file gets to run, and the arithmetic is that of the machine at hand. A SavedModel of
`dogcat.export` has the same `dogcat.json` in its folder, weights in HDF5 have it beside them.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import tempfile
import zipfile
from pathlib import Path

import tensorflow as tf
from tensorflow import keras

from dogcat import files, finished_runs, folders, foreign_models
from dogcat.backbones import BACKBONES
from dogcat.config import RESIZE_MODES, InputError
from dogcat.foreign_models import DESCRIPTION
from dogcat.model import build_model

BEST_MODEL = "best.keras"


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


def description_json(description: Description) -> str:
    """A description as it is kept with a model."""
    return json.dumps(dataclasses.asdict(description))


def save(model: keras.Model, path: Path, description: Description) -> None:
    """Writes a model as `.keras`, whole or not at all."""
    with files.naming(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
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
    files.write_atomically(path, copied.getvalue())


def require_archive(path: Path) -> None:
    """Raises InputError for a model that `store_temperature` cannot change."""
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: a temperature is stored in a .keras file alone; give that of the run")


def find_file(place: str, flag: str) -> Path:
    """The model's file: `place` itself, the best model of the run folder `place`, or the newest version exported to it.

    Raises:
        InputError: There is none.
    """
    path = finished_runs.resolve(place)
    if path.is_dir():
        path = max(_versions(path), key=lambda version: int(version.name), default=path)
        _refuse_foreign(path)
        if is_exported(path):
            return path
        path = path / BEST_MODEL
    if not path.is_file():
        raise InputError(
            f"--{flag}={place}: no model there; give a run's folder with {BEST_MODEL} in it, or a .keras file"
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
    return finished_runs.may_be_run(path) or path.endswith((".keras", ".h5"))


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
