"""GPUs and their libraries, what dogcat would compute with, and whether it works."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from dogcat.core.options import InputError
from dogcat.models import gpus

from .report import Report

_QUERY = "index,name,memory.total,memory.used,compute_cap"


def look_at_driver(report: Report) -> None:
    """Adds what is there for GPUs, without TensorFlow."""
    report.begin("GPUs, as the system tells")
    version = gpus.driver_version()
    report.add("NVIDIA driver", version or ("of unknown version" if gpus.has_driver() else "none"))
    if version and gpus.is_driver_too_old(version):
        oldest = ".".join(map(str, gpus.OLDEST_DRIVER))
        report.complain(f"the NVIDIA driver {version} is too old for CUDA 12, which needs {oldest} or later")
    for line in _nvidia_smi():
        index, name, *about = (word.strip() for word in line.split(","))
        total, used, capability = about if len(about) == 3 else ("?", "?", "?")
        report.add(f"GPU {index}", f"{name}, {used} used of {total}, compute capability {capability}")
    packages = gpus.packages()
    report.add("pip's nvidia-*", ", ".join(f"{name} {version}" for name, version in packages.items()) or "none")
    compiler = gpus.compiler_folder()
    ptxas = shutil.which("ptxas")
    report.add("ptxas, libdevice", f"{compiler or 'not of pip'}; on PATH: {ptxas or 'no ptxas'}")


def _nvidia_smi() -> list[str]:
    """Lines of index, name, memory and compute capability; none where NVIDIA's program is not there or fails."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    line = [program, f"--query-gpu={_QUERY}", "--format=csv,noheader"]
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    return [line for line in done.stdout.splitlines() if line.count(",") >= 1] if done.returncode == 0 else []


def look_at_tensorflow(report: Report) -> None:
    """Adds what TensorFlow sees, what `auto` chooses, and what came of the trial; TensorFlow can be imported."""
    import tensorflow as tf

    report.begin(f"TensorFlow {tf.__version__}")
    build = tf.sysconfig.get_build_info()
    report.add("built with", _wanted(build))
    found = tf.config.list_physical_devices("GPU")
    report.add("devices", ", ".join(device.name.removeprefix("/physical_device:") for device in _devices(tf)))
    for index, gpu in enumerate(found):
        details = tf.config.experimental.get_device_details(gpu)
        capability = details.get("compute_capability", (0, 0))
        report.add(f"GPU:{index}", f"{details.get('device_name', 'GPU')}, compute capability {_dotted(capability)}")
        if not has_code_for(capability, build.get("cuda_compute_capabilities", [])):
            report.complain(
                f"GPU:{index}: TensorFlow {tf.__version__} has no code for compute capability {_dotted(capability)}; "
                "it compiles its kernels for half an hour, or fails; docs/gpu.md lists what it has"
            )
        misfit = gpus.cudnn_misfit(capability)
        if misfit:
            report.complain(f"GPU:{index}: {misfit}")
    unused = "" if found else gpus.why_unused(tf.test.is_built_with_cuda())
    if unused:
        report.complain(unused)
    _add_choices(report)
    _add_trial(report)


def _devices(tf: Any) -> list[Any]:
    return tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("CPU")


def _wanted(build: dict[str, Any]) -> str:
    if not build.get("is_cuda_build"):
        return "no CUDA: this TensorFlow runs on processors alone"
    capabilities = ", ".join(build.get("cuda_compute_capabilities", []))
    return f"CUDA {build.get('cuda_version')}, cuDNN {build.get('cudnn_version')}, code for {capabilities}"


def has_code_for(capability: tuple[int, int], built: list[str]) -> bool:
    """Whether a TensorFlow that was built for these has code for a GPU, other than what it compiles when it starts.

    Args:
        capability: The GPU's compute capability.
        built: Like sm_80, for all of 8.x from 8.0 on; or compute_90, which has the same and can be compiled for later.
    """
    versions = [(int(name.partition("_")[2][:-1]), int(name[-1])) for name in built if name[-1].isdigit()]
    return not versions or any(major == capability[0] and minor <= capability[1] for major, minor in versions)


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _add_choices(report: Report) -> None:
    """What `auto` chooses, and why."""
    from dogcat.models import devices

    report.begin("what auto chooses")
    policy, reason = devices.choose_precision("auto")
    report.add("--precision", f"{policy}: {reason}")
    try:
        strategy = devices.make_strategy("auto", alone=True)
    except InputError as error:
        # The trial below complains.
        report.add("--strategy", f"none: {error}")
        return
    report.add("--strategy", f"{type(strategy).__name__} on {devices.describe(strategy)}")
    engine = devices.choose_engine("auto", policy, strategy)
    report.add("--engine", f"{engine}: {devices.describe_engine(engine)}")
    report.add("--jit_compile", "on" if devices.compiles("auto", synchronizes=False) else "off")


def _add_trial(report: Report) -> None:
    """What came of small computations, on the GPUs or else on the processor."""
    from dogcat.models import preflight

    report.begin("trial of small computations")
    for finding in preflight.of_gpus() or preflight.try_devices("CPU"):
        for name, said in (
            ("convolution", finding.convolution),
            ("mixed precision", finding.mixed),
            ("XLA", finding.xla),
        ):
            report.add(f"{finding.device} {name}", said or "works")
            if said:
                report.complain(f"{finding.device}: {name} does not work: {said}", stops=name == "convolution")
