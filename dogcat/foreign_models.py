"""Why a file or folder is no model that this program loads, told from its bytes: nothing in it is run."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import h5py

# What zipfile and json raise for damaged bytes: RuntimeError for encryption, for methods of compression that nobody
# has, and for lists nested too deeply.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)

# Name of the file, or of the member of a .keras file, with which this program says what a model is for.
DESCRIPTION = "dogcat.json"

_HDF5 = b"\x89HDF\r\n\x1a\n"
# The opcode with which pickles of protocol 2 and later begin, and the protocol.
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_PICKLE_ENDINGS = (".pkl", ".pickle", ".joblib", ".pt", ".pth")


def reason(path: Path) -> str:
    """Why a model is not loaded, as words that follow its name; empty if it may be one of this program."""
    if path.is_dir():
        # With a description it is loaded, which takes its variables alone.
        is_saved_model = (path / "saved_model.pb").is_file() and not (path / DESCRIPTION).is_file()
        return "is a SavedModel, a program that could read and write files when it is run" if is_saved_model else ""
    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
    if start == _HDF5:
        return _of_hdf5(path)
    if _PICKLE.match(start) or path.suffix in _PICKLE_ENDINGS:
        return "is a pickle, which runs what is stored in it when it is loaded"
    if not zipfile.is_zipfile(path):
        return ""
    try:
        with zipfile.ZipFile(path) as archive:
            return _of_archive(archive)
    except DAMAGE as error:
        return f"is a damaged archive ({error})"


def _of_hdf5(path: Path) -> str:
    try:
        with h5py.File(path) as file:
            is_whole_model = "model_config" in file.attrs
    except OSError as error:
        return f"is a damaged HDF5 file ({error})"
    if is_whole_model:
        return "is a whole model in HDF5, which can hold code that runs when it is loaded"
    if path.with_name(DESCRIPTION).is_file():
        return ""
    return f"holds weights in HDF5 and tells neither classes nor size of the pictures: {DESCRIPTION} is not beside it"


def _of_archive(archive: zipfile.ZipFile) -> str:
    for name in archive.namelist():
        # Windows' separator and drives count too, whatever the machine.
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or parts[:1] == ("/",) or re.match("[A-Za-z]:", name):
            return f"is an archive with a member {name!r} outside of it"
        if name.endswith(".pkl"):
            return f"holds a pickle, {name!r}, which runs what is stored in it when it is loaded"
    if "config.json" not in archive.namelist():
        return ""
    names = _lambda_layers(json.loads(archive.read("config.json")))
    return f"has a Lambda layer, {names[0]!r}, which is code" if names else ""


def _lambda_layers(config: Any) -> list[str]:
    """Names of the Lambda layers in a Keras configuration, at any depth."""
    if isinstance(config, list):
        return [name for item in config for name in _lambda_layers(item)]
    if not isinstance(config, dict):
        return []
    own = [str(config.get("name", "Lambda"))] if config.get("class_name") == "Lambda" else []
    return own + _lambda_layers(list(config.values()))
