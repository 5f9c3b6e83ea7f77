"""Whether the devices do what the work needs, found out once a process, before the work begins.

GPUs are tried in a process of their own, since TensorFlow may end the one in which a library of CUDA is not as it
should be. On a processor only XLA is tried, when it is first needed.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import tensorflow as tf

import dogcat
from dogcat.core import files, runtime
from dogcat.core.options import InputError
from dogcat.models import device_trial, gpu_remedies, gpus

# A trial takes some seconds, most of it for importing TensorFlow.
_LONG_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """What came of the trial of a device; each text is empty where it went well.

    Attributes:
        device: Its name, like GPU:0.
        convolution: What is wrong, and what would be right, where it does not convolve.
        mixed: The same in mixed precision.
        xla: The same where XLA does not compile for it.
    """

    device: str
    convolution: str = ""
    mixed: str = ""
    xla: str = ""


@functools.cache
def of_gpus() -> list[Finding]:
    """What came of the trial of each GPU; none: there is no GPU."""
    return try_devices("GPU") if tf.config.list_physical_devices("GPU") else []


def require_gpus(count: int) -> None:
    """Tries the GPUs, and says once what does not stop the work; without GPUs, why an NVIDIA driver is not used.

    Args:
        count: How many of them will be used, the first ones.

    Raises:
        InputError: One of these cannot be used.
    """
    if not tf.config.list_physical_devices("GPU"):
        unused = gpus.why_unused(tf.test.is_built_with_cuda())
        if unused:
            files.note(unused)
        return
    for finding in of_gpus()[:count]:
        if finding.convolution:
            raise InputError(f"{finding.device}: {finding.convolution}; CUDA_VISIBLE_DEVICES=-1 runs on the processor")
        if finding.mixed:
            files.note(
                f"{finding.device}: does not compute in mixed precision: {finding.mixed}; use --precision=float32"
            )
    xla_failure()


@functools.cache
def xla_failure() -> str:
    """Why XLA does not compile on this machine's devices, said once; empty: it does."""
    said = _xla_failure_of_gpus() or _try_xla_here()
    _say(said)
    return said


def _xla_failure_of_gpus() -> str:
    return next((f"{finding.device}: {finding.xla}" for finding in of_gpus() if finding.xla), "")


def _say(xla_failure: str) -> None:
    if xla_failure:
        files.note(f"works without XLA, more slowly: {xla_failure}")


def _try_xla_here() -> str:
    """Lets XLA compile in this process, where it chats when it does for the first time; gives what it said."""
    device = "GPU:0" if tf.config.list_physical_devices("GPU") else "CPU:0"
    try:
        with runtime.native_messages_dropped(), tf.init_scope():
            device_trial.compile_on(device)
    except tf.errors.OpError as error:
        return f"{device}: {gpu_remedies.first_line(str(error))}"
    return ""


def try_devices(kind: str) -> list[Finding]:
    """Tries all devices of a kind in a process of its own.

    Args:
        kind: GPU or CPU.
    """
    folder = str(Path(dogcat.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", device_trial.__name__, kind],
        # Warnings and errors tell more than the exceptions do.
        env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "1", "KERAS_HOME": runtime.NO_KERAS_HOME},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        try:
            printed, logged = _wait(process)
        finally:
            # Where this process is told to stop.
            process.kill()
    return _findings(kind, printed, logged, process.returncode)


def _wait(process: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return process.communicate(timeout=_LONG_SECONDS)
    except subprocess.TimeoutExpired:
        files.note("the trial of the devices takes long; a TensorFlow without code for a GPU may be compiling it")
        return process.communicate()


def _findings(kind: str, printed: str, logged: str, code: int) -> list[Finding]:
    """What a trial that printed and logged this found, and ended with this code."""
    said: dict[tuple[str, str], str] = {}
    for line in printed.splitlines():
        about = json.loads(line)
        # Until it is told what came of it, it ended the process.
        said[about["device"], about["check"]] = about.get("said", _last_words(logged, code))
    if not said:
        said[f"{kind}:0", device_trial.CONVOLUTION] = _last_words(logged, code)
    by_device: dict[str, dict[str, str]] = {}
    for (device, check), words in said.items():
        texts = by_device.setdefault(device, {})
        # What was logged belongs to any of the checks.
        texts[check] = words and _meaning(check, f"{words}\n{logged}")
    return [Finding(device, **texts) for device, texts in by_device.items()]


def _meaning(check: str, said: str) -> str:
    if check == device_trial.XLA:
        return gpu_remedies.of_xla(said, gpus.compiler_folder())
    return gpu_remedies.of_convolution(said)


def _last_words(logged: str, code: int) -> str:
    """What a process that ended too early said last."""
    lines = [line for line in logged.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("F") or ": F " in line]
    return (fatal or lines or [f"the process that tried it ended with code {code}"])[-1]
