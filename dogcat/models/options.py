"""Options that every command with a network has: views, precision, engine, devices."""

from __future__ import annotations

from typing import Any

from dogcat.core.options import option

# The views of a picture that a prediction is averaged over.
TTA = ("none", "flip", "zoom")


def precision_option() -> Any:
    """Declares the arithmetic of a model."""
    return option(
        "auto",
        "Arithmetic; auto takes what this machine does fast.",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    )


def engine_option() -> Any:
    """Declares what passes without training go through."""
    return option(
        "auto",
        "What passes without training go through; auto takes OpenVINO on a processor without GPUs if it is installed.",
        choices=("auto", "tensorflow", "openvino"),
    )


def strategy_option() -> Any:
    """Declares the devices of a command that runs in one process."""
    return option(
        "auto", "Devices; auto is mirrored where there are several GPUs.", choices=("auto", "one_device", "mirrored")
    )
