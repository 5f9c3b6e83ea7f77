"""Options that the commands with a network share."""

from __future__ import annotations

from typing import Any

from dogcat.core.bounds import Bounds
from dogcat.core.options import option
from dogcat.models.backbones import BACKBONES

# The views of a picture that a prediction is averaged over.
TTA = ("none", "flip")
# Numbers of an export.
QUANTIZE = ("none", "float16", "int8")


def backbone_option(help: str, positional: bool = False) -> Any:
    """Declares the network below a head."""
    return option("xception", help, choices=tuple(BACKBONES), positional=positional)


def model_option(more: str = "", several: bool = False, positional: bool = False) -> Any:
    """Declares a trained model, or `several`; `more` says what these become."""
    help = f"A run's folder or a .keras file.{more}"
    return option("runs/latest", help, several=several, positional=positional, path=True)


def tta_option(help: str) -> Any:
    """Declares the views of a picture that a prediction is averaged over."""
    return option("none", help, choices=TTA)


def batch_size_option(default: int, help: str) -> Any:
    """Declares how many pictures go through the network together."""
    return option(default, help, bounds=Bounds(at_least=1))


def precision_option() -> Any:
    """Declares the precision that a model computes in, and begins what tells of devices."""
    return option(
        "auto",
        "Precision to compute in; auto takes one that is fast on this machine.",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
        heading="Devices",
    )


def engine_option() -> Any:
    """Declares what runs inference and feature extraction."""
    return option(
        "auto",
        "What runs inference and feature extraction; auto takes OpenVINO on a machine without GPUs if it is installed.",
        choices=("auto", "tensorflow", "openvino"),
    )


def strategy_option() -> Any:
    """Declares the devices of a command that runs in one process."""
    return option(
        "auto",
        "Devices to run on; auto is mirrored if there are several GPUs.",
        choices=("auto", "one_device", "mirrored"),
    )
