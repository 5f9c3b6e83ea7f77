"""Features of a frozen backbone, kept on disk under a hash of all that made them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from dogcat.core import cache
from dogcat.core.cache import Entry
from dogcat.core.options import InputError
from dogcat.models import keras_files

# What the folder may hold; beyond it, the files that were used longest ago go. 25,000 pictures take 200 MB.
LARGEST_BYTES = 8 * 2**30

_ENDING = ".features"
# Before the features, which are little-endian float32: sha256 of all that follows it, and the number of channels.
_HASH_BYTES = 32
_CHANNELS = struct.Struct("<Q")
_BLOCK = 2**22

# Version 0.1.0 kept an archive of NumPy's under the same hash: the features, and what they were made from as text.
_FORMER_ENDING = ".npz"
_FORMER_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '<f4', 'fortran_order': False, 'shape': \((\d{1,12}), ([1-9]\d{0,11})\), \} *\n",
    re.DOTALL,
)


def load(folder: Path, made_from: dict[str, Any]) -> np.ndarray | None:
    """The features made from exactly this, float32 [pictures, channels], or None.

    What is damaged counts as none, and is said.
    """
    entry = Entry(folder, made_from, _ENDING)
    file = entry.open()
    if file is None:
        former = Entry(folder, made_from, _FORMER_ENDING)
        return _load_former(former, made_from) if os.path.isfile(former.path) else None
    try:
        with file:
            features = _read(file)
    except OSError as error:
        entry.say_unreadable(error)
        return None
    if features is None:
        entry.say_damaged()
    return features


def _read(file: io.BufferedReader) -> np.ndarray | None:
    """The features of an entry, if every bit is right; memory is asked for only then."""
    start = file.tell()
    size = os.fstat(file.fileno()).st_size - start - _HASH_BYTES - _CHANNELS.size
    if not 0 <= size <= LARGEST_BYTES:
        return None
    expected, hash_ = file.read(_HASH_BYTES), hashlib.sha256()
    for block in iter(lambda: file.read(_BLOCK), b""):
        hash_.update(block)
    if hash_.digest() != expected:
        return None
    file.seek(start + _HASH_BYTES)
    [channels] = _CHANNELS.unpack(file.read(_CHANNELS.size))
    if not channels or size % (4 * channels):
        return None
    features = np.empty((size // (4 * channels), channels), "<f4")
    return features if file.readinto(features.data) == size else None


def _load_former(entry: Entry, made_from: dict[str, Any]) -> np.ndarray | None:
    """The features in an archive of version 0.1.0, if it is of exactly this and its checksums are right."""
    text = io.BytesIO()
    np.save(text, np.array(json.dumps(made_from, sort_keys=True)))
    try:
        # Nothing in it was compressed.
        most_bytes = min(os.path.getsize(entry.path), LARGEST_BYTES)
        with keras_files.Archive(entry.path) as archive:
            if archive.read("made_from.npy", most_bytes) != text.getvalue():
                raise ValueError("it is of something else")
            content = archive.read("features.npy", most_bytes)
        head = _FORMER_HEAD.match(content)
        if not head:
            raise ValueError("it has other numbers than features")
        return np.frombuffer(content, "<f4", offset=head.end()).reshape(int(head[1]), int(head[2]))
    except (InputError, *keras_files.DAMAGE):
        entry.say_damaged()
        return None


def keep(folder: Path, made_from: dict[str, Any], features: np.ndarray) -> None:
    """Keeps features; removes those used longest ago, if there are too many.

    Args:
        folder: The cache's folder, made if need be.
        made_from: What the features follow from: plain values by name.
        features: float32 [pictures, channels].

    Raises:
        OSError: The folder cannot be written.
    """
    channels, content = _CHANNELS.pack(features.shape[1]), np.ascontiguousarray(features, "<f4")
    hash_ = hashlib.sha256(channels)
    hash_.update(content.data)
    with Entry(folder, made_from, _ENDING).writing() as file:
        file.write(hash_.digest() + channels)
        file.write(content.data)
    cache.remove_oldest(folder, _ENDING, LARGEST_BYTES)
