"""Files of Keras read as plain data: members of `.keras` archives and arrays in HDF5.

Nothing is inflated or allocated beyond a bound that the caller knows, no link is followed, and nothing of a file is
run.
"""

from __future__ import annotations

import collections
import itertools
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from dogcat.core import files
from dogcat.models import hdf5
from dogcat.models.hdf5 import Array, Group

# What is raised for damaged bytes, by zipfile and by the functions here.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, struct.error)

# Most characters of a library's message that are passed on.
_MOST_SAID = 160

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"

# A list of members longer than this belongs to something else than a model.
_MOST_DIRECTORY_BYTES = 2**18
# Weights do not deflate to a hundredth; zeros, of which a bomb is made, do to a thousandth.
_MOST_INFLATION = 100
_ALWAYS_ALLOWED = 2**20
_END_OF_DIRECTORY = struct.Struct("<4s4H2LH")
# Keras writes a group for each layer, of less than 3 KiB with what is in it but the arrays.
_BYTES_OF_LAYER = 2**13

# Attribute with the names of the layers in the older layout.
_LAYER_NAMES = "layer_names"


def said(error: BaseException) -> str:
    """What an error says, in a short line."""
    return " ".join(str(error).split())[:_MOST_SAID] or type(error).__name__


class Archive:
    """A `.keras` file opened for reading, which is a zip archive; a context manager."""

    def __init__(self, path: Path) -> None:
        """Opens the archive and looks at its list of members.

        Raises:
            InputError: It is not a regular file.
            ValueError, zipfile.BadZipFile: It is damaged, or a member is not one that Keras writes.
            OSError: It cannot be read.
        """
        self._file = files.open_regular(path)
        try:
            _require_small_directory(self._file)
            self._zip = zipfile.ZipFile(self._file)
            self._members: dict[str, zipfile.ZipInfo] = {}
            for member in self._zip.infolist():
                _require_sound(member)
                if member.filename in self._members:
                    raise ValueError(f"the member {member.filename!r} is there twice")
                self._members[member.filename] = member
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        """Begins the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file."""
        self._file.close()

    def __contains__(self, name: str) -> bool:
        """Whether there is a member of this name."""
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        """The names of the members."""
        return iter(self._members)

    def size(self, name: str) -> int:
        """The size of a member in bytes, inflated, as the archive says; 0 if there is none."""
        return self._members[name].file_size if name in self._members else 0

    def open(self, name: str) -> BinaryIO:
        """Opens a member, which gives no more bytes than `size` says."""
        return self._zip.open(self._members[name])  # type: ignore[return-value]

    def read(self, name: str, most_bytes: int) -> bytes:
        """Reads a member.

        Raises:
            ValueError, zipfile.BadZipFile, zlib.error: There is none, it is larger than `most_bytes`, or damaged.
        """
        if name not in self._members:
            raise ValueError(f"the member {name!r} is missing")
        size = self.size(name)
        if size > most_bytes:
            raise ValueError(f"the member {name!r} has {size:,} bytes, {most_bytes:,} is the most that it can have")
        with self.open(name) as member:
            data = member.read(size)
            # The check of the hash comes with the end.
            if len(data) < size or member.read(1):
                raise ValueError(f"the member {name!r} has not the {size:,} bytes that it should")
        return data


def _require_small_directory(file: BinaryIO) -> None:
    """Raises ValueError for an archive whose list of members is too long, before it is read."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END_OF_DIRECTORY.size))
    end = file.read()
    if len(end) < _END_OF_DIRECTORY.size:
        raise ValueError("it is cut off")
    signature, _, _, _, members, directory_bytes, _, comment_bytes = _END_OF_DIRECTORY.unpack(end)
    if signature != b"PK\5\6" or comment_bytes:
        raise ValueError("it has no end, or something behind it")
    # Where something else counts than these fields, the sizes are above 4 GiB.
    file.seek(max(0, size - _END_OF_DIRECTORY.size - 20))
    if directory_bytes > _MOST_DIRECTORY_BYTES or file.read(4) == b"PK\6\7":
        raise ValueError(f"it lists {members} members or more, too many for a model")
    file.seek(0)


def _require_sound(member: zipfile.ZipInfo) -> None:
    name = member.filename
    # Windows' separator and drives count too, whatever the machine.
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or parts[:1] == ("/",) or re.match("[A-Za-z]:", name):
        raise ValueError(f"it has a member {name[:100]!r} outside of it")
    if member.flag_bits & 1:
        raise ValueError(f"the member {name[:100]!r} is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"the member {name[:100]!r} is compressed otherwise than by deflate")
    if member.file_size > _MOST_INFLATION * member.compress_size + _ALWAYS_ALLOWED:
        raise ValueError(
            f"the member {name[:100]!r} would inflate from {member.compress_size:,} bytes to {member.file_size:,}"
        )


def most_bytes_of(model: Any) -> int:
    """The largest size of a file in HDF5 that Keras writes of a model's weights."""
    arrays = sum(4 * int(np.prod(weight.shape)) for weight in model.weights)
    return arrays + _BYTES_OF_LAYER * sum(1 for _ in _layers(model)) + 2**20


def set_weights(model: Any, file: BinaryIO) -> None:
    """Sets a model's weights to those in an HDF5 file that Keras wrote.

    Args:
        model: A built model of layers and models of layers.
        file: The file, `model.weights.h5` of an archive, a `.weights.h5`, or a `.h5` of weights in the older layout.

    Raises:
        ValueError: The weights are of another model, or the file is damaged.
    """
    stored = hdf5.File(file)
    if stored.root.attributes.keys() & {_LAYER_NAMES, f"{_LAYER_NAMES}0"}:
        found = _older_layout(model, stored.root)
    else:
        found = [
            (weight, stored.root.find(f"{path}/vars/{number}"))
            for path, layer in _layers(model)
            for number, weight in enumerate(layer.weights)
        ]
    # All of them, before the first is read.
    for weight, array in found:
        if not isinstance(array, Array):
            raise ValueError(f"the weights {weight.name} are missing")
        if array.shape != tuple(weight.shape):
            raise ValueError(f"{array.path[-100:]} has the shape {array.shape}, {weight.name} has {weight.shape}")
    for weight, array in found:
        weight.assign(stored.numbers(array))


def arrays_of_older_layout(root: Group) -> list[list[Array]]:
    """The arrays of each layer that has some, in Keras' layout of HDF5 before that of `.keras` files.

    Raises:
        ValueError: It is in another layout.
    """
    found = []
    for layer in _names(root, _LAYER_NAMES):
        group = root.find(layer)
        if not isinstance(group, Group):
            raise ValueError(f"the layer {layer[:100]!r} is missing")
        arrays = [(name, group.find(name)) for name in _names(group, "weight_names")]
        for name, array in arrays:
            if not isinstance(array, Array):
                raise ValueError(f"the weights {name[:100]!r} are missing")
        if arrays:
            found.append([array for _, array in arrays if isinstance(array, Array)])
    return found


def _older_layout(model: Any, root: Group) -> list[tuple[Any, Any]]:
    """The weights of a model with their arrays: of each layer those that train first, as Keras orders them there."""
    weights = [layer.trainable_weights + layer.non_trainable_weights for layer in model.layers if layer.weights]
    arrays = arrays_of_older_layout(root)
    counts = [[len(of_layer) for of_layer in layers] for layers in (weights, arrays)]
    if counts[0] != counts[1]:
        raise ValueError(f"it has weights of {len(arrays)} layers, not those of the {len(weights)} of the model")
    return [pair for layers in zip(weights, arrays) for pair in zip(*layers)]


def _names(group: Group, attribute: str) -> list[str]:
    """The names that an attribute lists, which Keras splits where they are many."""
    parts = [attribute]
    if attribute not in group.attributes:
        numbered = (f"{attribute}{number}" for number in itertools.count())
        parts = list(itertools.takewhile(group.attributes.__contains__, numbered))
    lists = [group.attributes[part] for part in parts]
    if not lists or None in lists:
        raise ValueError(f"the list {attribute!r} is missing")
    return [name for names in lists for name in names or []]


def _layers(model: Any, group: str = "layers") -> Iterator[tuple[str, Any]]:
    """The layers of a model, in models inside of it too, with the names of their groups in a file of Keras."""
    seen: collections.Counter[str] = collections.Counter()
    for layer in model.layers:
        name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
        path = f"{group}/{name}_{seen[name]}" if seen[name] else f"{group}/{name}"
        seen[name] += 1
        if hasattr(layer, "layers"):
            yield from _layers(layer, f"{path}/layers")
        else:
            yield path, layer
