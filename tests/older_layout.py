"""Files in the layout that Keras had before `.keras`, as its downloads of weights are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py


def save_in_older_layout(model: Any, path: Path, whole: bool = False) -> Path:
    """Writes a model's weights, or a whole model, as `.h5` in Keras' layout before `.keras` files; returns the path."""
    from dogcat.models.keras_versions import IS_KERAS_3

    if not IS_KERAS_3:
        (model.save if whole else model.save_weights)(path, save_format="h5")
        return path
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        write = legacy_h5_format.save_model_to_hdf5 if whole else legacy_h5_format.save_weights_to_hdf5_group
        write(*((model, file) if whole else (file, model)))
    return path
