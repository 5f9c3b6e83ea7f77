"""What the system tells of NVIDIA GPUs without TensorFlow: driver, installed libraries, what generations can do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from pathlib import Path

from dogcat.core import runtime

# The oldest driver that runs any CUDA 12, by which TensorFlow 2.15 and 2.21 are built (docs/gpu.md).
OLDEST_DRIVER = (525, 60, 13)
# The device that every program opens first.
_CONTROL = Path("/dev/nvidiactl")
# Compute capability from which tensor cores multiply float16 (Volta) and bfloat16 (Ampere).
_FLOAT16_CAPABILITY = (7, 0)
_BFLOAT16_CAPABILITY = (8, 0)
# The version of cuDNN from which on generations before Turing are left out.
_NEW_CUDNN, _OLDEST_OF_NEW_CUDNN = (9, 11), (7, 5)


def policy_of(capability: tuple[int, int]) -> str:
    """The Keras policy in which a GPU of a compute capability is fastest."""
    if capability >= _BFLOAT16_CAPABILITY:
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= _FLOAT16_CAPABILITY else "float32"


def cudnn_misfit(capability: tuple[int, int]) -> str:
    """What is wrong where pip's cuDNN no longer computes on a GPU of a compute capability; empty: it does."""
    version = packages().get("nvidia-cudnn-cu12", "")
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if capability >= _OLDEST_OF_NEW_CUDNN or numbers < _NEW_CUDNN:
        return ""
    return (
        f"cuDNN {version} computes on GPUs of compute capability 7.5 or later alone, this one has {capability[0]}."
        f"{capability[1]}; pip install 'nvidia-cudnn-cu12<9.11'"
    )


def has_driver() -> bool:
    """Whether the kernel has NVIDIA's driver."""
    return runtime.NVIDIA_DRIVER.exists()


def driver_version() -> str:
    """The driver's version, like 535.183.01; empty: there is none, or it does not say."""
    path = runtime.NVIDIA_DRIVER / "version"
    match = re.search(r"NVRM version:.*?\s(\d+\.[\d.]+)\s", path.read_text()) if path.is_file() else None
    return match[1] if match else ""


def is_driver_too_old(version: str) -> bool:
    """Whether a driver is older than what CUDA 12 needs."""
    return tuple(map(int, version.split("."))) < OLDEST_DRIVER


def are_hidden() -> bool:
    """Whether the user's environment keeps every GPU from this process."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip() in ("", "-1")


def packages() -> dict[str, str]:
    """The versions of pip's packages of NVIDIA's libraries, by name."""
    found = importlib.metadata.distributions()
    names = {(one.metadata["Name"] or "").lower(): one.version for one in found}
    return {name: names[name] for name in sorted(names) if name.startswith("nvidia-")}


def compiler_folder() -> Path | None:
    """The folder of pip's package that holds ptxas and libdevice, which XLA needs; None: it is not installed."""
    # Not `nvidia.cuda_nvcc` itself, since looking for that imports its parent, which need not be there.
    spec = importlib.util.find_spec("nvidia")
    places = spec.submodule_search_locations or () if spec else ()
    return next((path for path in (Path(place, "cuda_nvcc") for place in places) if path.is_dir()), None)


def why_unused(is_built_with_cuda: bool) -> str:
    """Why TensorFlow sees no GPU on a machine that has NVIDIA's driver, and what to do; empty: nothing is wrong.

    Args:
        is_built_with_cuda: Whether this TensorFlow could use one.
    """
    if not has_driver() or are_hidden():
        return ""
    version = driver_version()
    begin = f"this machine has an NVIDIA driver ({version or 'of unknown version'}), but TensorFlow sees no GPU"
    if not is_built_with_cuda:
        return f"{begin}: it is built without CUDA; pip uninstall tensorflow-cpu and pip install '.[gpu]'"
    if not _CONTROL.exists():
        return f"{begin}: {_CONTROL} is missing, as in a container without GPUs; docker run --gpus all"
    if version and is_driver_too_old(version):
        return f"{begin}: CUDA 12 needs driver {'.'.join(map(str, OLDEST_DRIVER))} or later; update it"
    if "nvidia-cudnn-cu12" not in packages():
        return f"{begin}: CUDA's libraries were not found; pip install '.[gpu]'"
    return f"{begin}, although pip's CUDA libraries are installed; dogcat doctor shows their versions"
