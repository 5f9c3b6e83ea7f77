"""Networks in ONNX files that this program exported, run by ONNX Runtime on a processor. No TensorFlow."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Callable

import numpy as np

from dogcat.core import files, runtime
from dogcat.core.options import InputError

ENDING = ".onnx"
# What the other engines are called by in options.
ENGINE = "onnxruntime"
# Names of the input and the output in every export.
PICTURES, PROBABILITIES = "pictures", "probabilities"
# Where a file says what its model is for, among its metadata.
DESCRIPTION_KEY = "dogcat"
INSTALL = "pip install 'dogcat[onnx]' (from Python 3.10 on)"
# Of protobuf, and so of every ONNX file.
_MOST_BYTES = 2**31 - 1
_PROCESSOR = ["CPUExecutionProvider"]
_ONLY_FATAL = 4


def is_onnx(path: Path) -> bool:
    """Whether a path is that of an ONNX file."""
    return path.suffix.lower() == ENDING


def version() -> str:
    """The version of ONNX Runtime, like 1.23.0."""
    import onnxruntime

    return str(onnxruntime.__version__)


def open_session(path: Path) -> Any:
    """Reads a file.

    The operators of ONNX compute, and reach neither files nor the network.

    Raises:
        InputError: ONNX Runtime is not installed, it is not a regular file of at most 2 GiB, or is not a sound ONNX
            file.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise InputError(f"{path}: ONNX files are run by ONNX Runtime, which is not installed; {INSTALL}")
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ONLY_FATAL
    # Else it pins a thread to each core of the machine, whichever this process may use.
    options.intra_op_num_threads = runtime.available_cores()
    # Where it looks for weights in other files: nothing can be there.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    data = files.read_bounded(path, _MOST_BYTES)
    try:
        # Else it prints an error and tries the same again.
        return onnxruntime.InferenceSession(data, options, providers=_PROCESSOR, enable_fallback=0)
    # They have no base of their own; and names in a damaged file need not be text.
    except (
        UnicodeDecodeError,
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NotImplemented,
        errors.RuntimeException,
    ) as error:
        raise _damaged(path) from error


def stored_description(path: Path) -> bytes:
    """What a file says its model is for, unchecked.

    Raises:
        InputError: It cannot be read, or is not one that this program exported.
    """
    session = open_session(path)
    try:
        metadata = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise _damaged(path) from error
    if DESCRIPTION_KEY not in metadata:
        raise InputError(
            f"{path}: is not an ONNX file that dogcat exported, as it tells neither classes nor size of its pictures; "
            "give one of dogcat export-model --format=onnx"
        )
    return bytes(metadata[DESCRIPTION_KEY], "utf-8")


def _damaged(path: Path) -> InputError:
    return InputError(f"{path}: is damaged, or not an ONNX file that ONNX Runtime {version()} reads")


class OnnxNetwork:
    """Models in ONNX files, all for the same pictures and classes."""

    def __init__(self, paths: list[Path], image_size: int, classes: int, mirrors: bool) -> None:
        """Reads the files.

        Args:
            paths: The files.
            image_size: Height and width of the pictures, in pixels.
            classes: Number of classes.
            mirrors: Whether logits are the mean of those of each picture and its mirror image.

        Raises:
            InputError: A file is not there any more, is damaged, or has other inputs or outputs than it tells.
        """
        self._sessions = [open_session(path) for path in paths]
        self._mirrors = mirrors
        for path, session in zip(paths, self._sessions):
            taken = [(value.name, value.type, value.shape[1:]) for value in session.get_inputs()]
            given = [(value.name, value.type, value.shape[1:]) for value in session.get_outputs()]
            wanted = [(PICTURES, "tensor(uint8)", [image_size, image_size, 3])]
            if (taken, given) != (wanted, [(PROBABILITIES, "tensor(float)", [classes])]):
                raise InputError(
                    f"{path}: does not take the pictures or give the classes that it tells; export the model again"
                )

    def start(self, pictures: np.ndarray) -> Callable[[], np.ndarray]:
        """Computes a batch.

        Args:
            pictures: uint8 [batch, image_size, image_size, 3].

        Returns:
            A function that gives the logits, float32 [batch, models, 1 or classes].
        """
        logits = self._logits(pictures)
        if self._mirrors:
            logits = (logits + self._logits(np.ascontiguousarray(pictures[:, :, ::-1]))) / 2
        return lambda: logits

    def _logits(self, pictures: np.ndarray) -> np.ndarray:
        of_models = [session.run([PROBABILITIES], {PICTURES: pictures})[0] for session in self._sessions]
        # A probability that is too small for a number is 0.
        logs = np.log(np.maximum(np.stack(of_models, axis=1), np.finfo(np.float32).tiny))
        return logs[:, :, 1:] - logs[:, :, :1] if logs.shape[2] == 2 else logs
