"""Why a file or folder is not a model that this program loads, told from its bytes: nothing in it is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dogcat.core import files, typed_json
from dogcat.models import hdf5, keras_files
from dogcat.models.keras_files import Archive

# Name of the file with which this program says what a model is for; of a member in earlier .keras files.
DESCRIPTION = "dogcat.json"
# Room for 50,000 classes of the length of a word.
MOST_DESCRIPTION_BYTES = 2**20
# With what Keras writes itself.
MOST_METADATA_BYTES = MOST_DESCRIPTION_BYTES + 2**12
# The largest network of Keras has half a MiB.
_MOST_CONFIG_BYTES = 2**22

_ARCHIVE = b"PK\3\4"
# The opcode with which pickles of protocol 2 and later begin, and the protocol.
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_PICKLE_ENDINGS = (".pkl", ".pickle", ".joblib", ".pt", ".pth")


def reason(path: Path) -> str:
    """Why a model is not loaded, as words that follow its name; empty if it may be one of this program.

    Raises:
        InputError: It is neither a folder nor a regular file.
        OSError: It cannot be read.
    """
    if path.is_dir():
        # With a description it is loaded, which takes its variables alone.
        is_saved_model = (path / "saved_model.pb").is_file() and not (path / DESCRIPTION).is_file()
        return "is a SavedModel, a program that could read and write files when it is run" if is_saved_model else ""
    with files.open_regular(path) as file:
        start = file.read(len(hdf5.SIGNATURE))
    if start == hdf5.SIGNATURE:
        return _of_hdf5(path)
    if _PICKLE.match(start) or path.suffix in _PICKLE_ENDINGS:
        return "is a pickle, which runs what is stored in it when it is loaded"
    if not start.startswith(_ARCHIVE):
        return ""
    try:
        with Archive(path) as archive:
            return _of_archive(archive)
    except keras_files.DAMAGE as error:
        return f"is a damaged archive: {keras_files.said(error)}"


def config_of(archive: Archive) -> Any:
    """The configuration in a `.keras` file.

    Raises:
        keras_files.DAMAGE: There is none, or it is damaged.
    """
    return typed_json.parse(archive.read(keras_files.CONFIG, _MOST_CONFIG_BYTES), Any)


def keras_version_of(archive: Archive) -> str:
    """The version of Keras that wrote a `.keras` file.

    Raises:
        keras_files.DAMAGE: It does not say, or is damaged.
    """
    metadata = archive.read(keras_files.METADATA, MOST_METADATA_BYTES)
    return typed_json.parse(metadata, {"keras_version": str})["keras_version"]


def _of_hdf5(path: Path) -> str:
    try:
        with files.open_regular(path) as file:
            is_whole_model = "model_config" in hdf5.File(file).root.attributes
    except keras_files.DAMAGE as error:
        return f"is a damaged HDF5 file ({keras_files.said(error)})"
    if is_whole_model:
        return "is a whole model in HDF5, which can hold code that runs when it is loaded"
    if path.with_name(DESCRIPTION).is_file():
        return ""
    return f"holds weights in HDF5 and tells neither classes nor size of the pictures: {DESCRIPTION} is not beside it"


def _of_archive(archive: Archive) -> str:
    for name in archive:
        if name.endswith(".pkl"):
            return f"holds a pickle, {name[:100]!r}, which runs what is stored in it when it is loaded"
    if keras_files.CONFIG not in archive:
        return ""
    names = _lambda_layers(config_of(archive))
    return f"has a Lambda layer, {names[0][:100]!r}, which is code" if names else ""


def _lambda_layers(config: Any) -> list[str]:
    """Names of the Lambda layers in a Keras configuration, at any depth."""
    if isinstance(config, list):
        return [name for item in config for name in _lambda_layers(item)]
    if not isinstance(config, dict):
        return []
    # Layers of a model have their names twice, those inside of other parts once.
    inner = config.get("config")
    name = inner.get("name", "Lambda") if isinstance(inner, dict) else "Lambda"
    own = [str(config.get("name", name))] if config.get("class_name") == "Lambda" else []
    return own + _lambda_layers(list(config.values()))
