"""Chooses the devices and the precision: what this machine does fast, and why."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from dogcat.core import runtime
from dogcat.core.options import InputError
from dogcat.models import gpus, onnx_network, openvino_network, preflight, workers

# A file in the message of an error, and what the system said of it, where it was not memory that was lacking:
# TensorFlow has one kind of error for all.
_FULL_FILE = re.compile(
    r"^(?:.*\}\} )?(.+?); ("
    + "|".join(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE)))
    + ")",
    re.MULTILINE,
)


def make_strategy(name: str, alone: bool = False) -> tf.distribute.Strategy:
    """Makes the strategy `auto`, `one_device`, `mirrored` or `multi_worker`.

    Mirrored runs on all GPUs or, where there is none, on all logical CPU devices. Multi-worker runs on the devices of
    all workers that the environment variable TF_CONFIG or Slurm's name, in each of which the same command is started.

    Args:
        name: The strategy.
        alone: Whether `auto` stays in this process, whatever TF_CONFIG says.

    Raises:
        InputError: The variables name no workers, or no task of them, or a GPU does not work.
        WorkerLost: Another worker ended before all were there.
    """
    cluster = None
    if name == "multi_worker":
        cluster = workers.require_cluster()
    elif name == "auto" and not alone:
        cluster = workers.cluster_of_tf_config()
    found = len(tf.config.list_physical_devices("GPU"))
    takes_all = bool(cluster) or name == "mirrored" or (name == "auto" and found > 1)
    # A process of its own tries them: workers find each other while TensorFlow is untouched in this one.
    preflight.require_gpus(found if takes_all else 1)
    if cluster:
        return workers.join(cluster)
    kind = "GPU" if found else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if takes_all:
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.OneDeviceStrategy(devices[0])


def compiles(name: str, synchronizes: bool) -> bool:
    """Resolves the flag `jit_compile`: XLA makes Xception slower on a CPU (docs/decisions/precision.md).

    Args:
        name: The flag's value.
        synchronizes: Whether replicas talk to each other within the model, which XLA does not compile.

    Raises:
        InputError: It is asked for where it cannot be.
    """
    if synchronizes:
        if name == "on":
            raise InputError(
                "--jit_compile=on: does not compile BatchNorms that take statistics over several devices; use auto, or "
                "--batch_norm=inference"
            )
        return False
    if name == "off" or (name == "auto" and not tf.config.list_physical_devices("GPU")):
        return False
    failure = preflight.xla_failure()
    if failure and name == "on":
        raise InputError(f"--jit_compile=on: XLA does not compile here ({failure}); mend that, or use auto")
    return not failure


def choose_precision(name: str) -> tuple[str, str]:
    """Resolves `auto` to a Keras policy.

    Returns:
        The policy's name, and the reason in a few words.
    """
    if name != "auto":
        return name, f"--precision={name}"
    found = tf.config.list_physical_devices("GPU")
    if not found:
        if runtime.has_fast_bfloat16():
            return "mixed_bfloat16", "this processor multiplies bfloat16 in hardware"
        return "float32", "this processor has no bfloat16 in hardware"
    details = [tf.config.experimental.get_device_details(gpu) for gpu in found]
    lowest = min(detail.get("compute_capability", (0, 0)) for detail in details)
    return gpus.policy_of(lowest), f"compute capability {lowest[0]}.{lowest[1]}"


def choose_engine(name: str, precision: str, strategy: tf.distribute.Strategy) -> str:
    """Resolves `auto` to what passes without training go through, tensorflow or openvino.

    Args:
        name: The wanted engine.
        precision: The Keras policy that was chosen.
        strategy: The devices that were chosen.

    Raises:
        InputError: OpenVINO is asked for, and it is not installed or does not do this.
    """
    on_one_processor = strategy.num_replicas_in_sync == 1 and not tf.config.list_physical_devices("GPU")
    fits = on_one_processor and precision in openvino_network.PRECISIONS
    installed = openvino_network.is_installed()
    if name == "auto":
        return "openvino" if fits and installed else "tensorflow"
    if name == "openvino" and not installed:
        raise InputError("--engine=openvino: the package is not installed; pip install openvino, or use tensorflow")
    if name == "openvino" and not fits:
        raise InputError(
            f"--engine=openvino: runs on one processor, in {' or '.join(openvino_network.PRECISIONS)}; here are "
            f"{strategy.num_replicas_in_sync} x {precision}, so use tensorflow"
        )
    return name


@contextlib.contextmanager
def naming_full_memory(batch_size: int) -> Iterator[None]:
    """Turns errors about room into a line that says what to do.

    Raises:
        InputError: A device had no room for what the block computes, or a disk for what it writes.
    """
    try:
        yield
    except (tf.errors.OpError, RuntimeError) as error:
        full = _FULL_FILE.search(str(error))
        if full:
            raise InputError(_say_full(*full.groups())) from error
        # What OpenVINO passes on is C++'s word for it.
        if not isinstance(error, tf.errors.ResourceExhaustedError) and "bad_alloc" not in str(error):
            raise
        raise InputError(
            f"--batch_size={batch_size}: a step takes more memory than there is; use a smaller one"
        ) from error


def _say_full(file: str, said: str) -> str:
    temporary = tempfile.gettempdir()
    other = ", or set TMPDIR to another folder" if file.startswith(temporary) else ""
    return f"{file}: {said}; make room there{other}"


def describe_engine(name: str) -> str:
    """An engine in a few words, its version among them."""
    if name == onnx_network.ENGINE:
        return f"ONNX Runtime {onnx_network.version()}"
    return f"OpenVINO {openvino_network.version()}" if name == "openvino" else f"TensorFlow {tf.__version__}"


def describe(strategy: tf.distribute.Strategy) -> str:
    """The devices of a strategy in a few words."""
    count = strategy.num_replicas_in_sync
    found = tf.config.list_physical_devices("GPU")
    if found:
        name = tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU")
    else:
        name = runtime.processor_name()
    return f"{count} x {name}" if count > 1 else name
