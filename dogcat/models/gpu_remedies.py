"""What an error of CUDA, cuDNN or XLA means, and what the user can do: known texts, most telling first."""

from __future__ import annotations

import re
from pathlib import Path

_INSTALL = "pip install '.[gpu]'"
_MEMORY = (
    r"out of memory|OUT_OF_MEMORY|OOM when allocating|[Ff]ailed to allocate|RESOURCE_EXHAUSTED|"
    r"CUBLAS_STATUS_(?:NOT_INITIALIZED|ALLOC_FAILED)|CUDNN_STATUS_ALLOC_FAILED"
)
_GENERATION = r"CUDA_ERROR_INVALID_(?:PTX|HANDLE)|CUDA_ERROR_NO_BINARY_FOR_GPU|no kernel image is available"
_OF_MEMORY = "it has no memory left, which another process may hold: see nvidia-smi"
_OF_GENERATION = "this TensorFlow has no code for a GPU of its generation; docs/gpu.md lists those that it has"
# Of the line of an error, what serves those who wrote the graph.
_NOISE = re.compile(r"\{\{[^}]*\}\} ?| ?\[Op:[^]]*\]|^.*?\.cc:\d+\] ?")
_LONGEST = 120

# What the convolution says, and what that means; groups of the pattern stand in the braces.
_CONVOLUTION = (
    (
        r"Loaded runtime CuDNN library: ([\d.]*\d) but source was compiled with: ([\d.]*\d)",
        f"cuDNN {{}} was loaded, and TensorFlow needs {{}} or later of the same major version; {_INSTALL} in an "
        "environment without PyTorch, which brings its own",
    ),
    (_MEMORY, _OF_MEMORY),
    (
        r"insufficient driver version: ([\d.]*\d)|driver version is insufficient",
        "the NVIDIA driver {} is too old; update it",
    ),
    (
        "ARCH_MISMATCH",
        "cuDNN does not compute on a GPU of its generation; before Turing take pip install 'nvidia-cudnn-cu12<9.11'",
    ),
    (_GENERATION, _OF_GENERATION),
    (r"libcudnn\S*?\.so\.(\d+)", f"cuDNN {{}} was not found; {_INSTALL}"),
    (
        r"CUDNN_STATUS_NOT_INITIALIZED|[Cc]ould not create cudnn handle|CUDNN_STATUS_INTERNAL_ERROR",
        "cuDNN cannot start: another process holds the memory, or the driver is too old; see nvidia-smi",
    ),
    (
        r"DNN library is not found|No DNN in stream executor|DNN library initialization failed|"
        r"Failed to get convolution algorithm",
        f"cuDNN was not found, or is of another version than TensorFlow needs; {_INSTALL}",
    ),
)
# The same of XLA; whether its compiler helps is the third.
_XLA = (
    (r"libdevice", "libdevice.10.bc was not found", True),
    (r"ptxas ([\d.]*\d) has a bug", "ptxas {} is refused, since it computes wrongly", True),
    (
        r"requires ptxas version ([\d.]*\d)|Unsupported \.version ([\d.]*\d)",
        "the ptxas that was found is too old, {} is needed",
        True,
    ),
    (r"ptxas|PTX compilation provider", "ptxas was not found, or does not run", True),
    (_GENERATION, _OF_GENERATION, False),
    (_MEMORY, _OF_MEMORY, False),
)


def of_convolution(said: str) -> str:
    """What is wrong and what would be right where a GPU does not convolve.

    Args:
        said: The error, and all that the libraries logged.
    """
    for pattern, meaning in _CONVOLUTION:
        match = re.search(pattern, said)
        if match:
            return _filled(meaning, match)
    return first_line(said)


def of_xla(said: str, compiler: Path | None) -> str:
    """What is missing and how to get it where XLA does not compile for a GPU.

    Args:
        said: The error, and all that the libraries logged.
        compiler: The folder of an installed ptxas and libdevice; None: it is not known.
    """
    for pattern, meaning, of_compiler in _XLA:
        match = re.search(pattern, said)
        if not match:
            continue
        wrong = _filled(meaning, match)
        if not of_compiler:
            return wrong
        if not compiler:
            return f"{wrong}; {_INSTALL} brings it"
        return f"{wrong}; set XLA_FLAGS=--xla_gpu_cuda_data_dir={compiler} and put {compiler / 'bin'} first in PATH"
    return first_line(said)


def _filled(meaning: str, match: re.Match[str]) -> str:
    return meaning.format(*[group for group in match.groups() if group], *[""] * 2).replace("  ", " ")


def first_line(said: str) -> str:
    """The first line of an error, without what serves those who wrote the graph."""
    lines = [_NOISE.sub("", line).strip() for line in said.splitlines()]
    return next((line[:_LONGEST] for line in lines if line), "it gives no reason")
