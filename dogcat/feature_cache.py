"""Features of a frozen backbone, kept on disk under a hash of all that made them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dogcat import cache_files, files

# What the folder may hold; beyond it, the files that were used longest ago go. 25,000 pictures take 200 MB.
LARGEST_BYTES = 8 * 2**30


def load(folder: Path, made_from: dict[str, Any]) -> np.ndarray | None:
    """The features made from exactly this, float32 [pictures, channels], or None.

    A damaged file counts as none.
    """
    path = _path(folder, made_from)
    if not path.is_file():
        return None
    try:
        # The archive checks its own sums.
        with np.load(path) as archive:
            if str(archive["made_from"]) != _text(made_from):
                return None
            features = archive["features"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return None
    os.utime(path)
    return features


def keep(folder: Path, made_from: dict[str, Any], features: np.ndarray) -> None:
    """Keeps features; removes those used longest ago, if there are too many.

    Args:
        folder: The cache's folder, made if need be.
        made_from: What the features follow from: plain values by name.
        features: float32 [pictures, channels].

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A folder for each writer, since several may compute the same; no second copy in memory.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".keeping-") as temporary:
        written = Path(temporary) / "features.npz"
        with files.naming(folder):
            np.savez(written, features=features, made_from=_text(made_from))
        os.replace(written, _path(folder, made_from))
    cache_files.remove_oldest(folder, "*.npz", LARGEST_BYTES)


def _path(folder: Path, made_from: dict[str, Any]) -> Path:
    return folder / (hashlib.sha256(_text(made_from).encode()).hexdigest()[:32] + ".npz")


def _text(made_from: dict[str, Any]) -> str:
    return json.dumps(made_from, sort_keys=True)
