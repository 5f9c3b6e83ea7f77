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
from dogcat.models import gpus, openvino_network, preflight

# A file in the message of an error, and what the system said of it, where it was not memory that was lacking:
# TensorFlow has one kind of error for all.
_FULL_FILE = re.compile(
    r"^(?:.*\}\} )?(.+?); ("
    + "|".join(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE)))
    + ")",
    re.MULTILINE,
)
_TF_CONFIG_HINT = (
    "set it to the cluster and to this process' task, like "
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


def make_strategy(name: str, alone: bool = False) -> tf.distribute.Strategy:
    """Makes the strategy `auto`, `one_device`, `mirrored` or `multi_worker`.

    Mirrored runs on all GPUs or, where there is none, on all logical CPU devices. Multi-worker runs on the devices of
    all workers that the environment variable TF_CONFIG names, in each of which the same command is started.

    Args:
        name: The strategy.
        alone: Whether `auto` stays in this process, whatever TF_CONFIG says.

    Raises:
        InputError: TF_CONFIG names no workers, or no task of them, or a GPU does not work.
    """
    in_cluster = (name == "multi_worker" or (name == "auto" and not alone)) and _has_cluster()
    if name == "multi_worker" and not in_cluster:
        raise InputError(
            f"--strategy=multi_worker: the environment variable TF_CONFIG names no workers; {_TF_CONFIG_HINT}"
        )
    found = len(tf.config.list_physical_devices("GPU"))
    takes_all = in_cluster or name == "mirrored" or (name == "auto" and found > 1)
    # A process of its own tries them: workers find each other while TensorFlow is untouched in this one.
    preflight.require_gpus(found if takes_all else 1)
    if in_cluster:
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except ValueError as error:
            raise _bad_cluster(error) from error
    kind = "GPU" if found else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if takes_all:
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.OneDeviceStrategy(devices[0])


def _has_cluster() -> bool:
    try:
        return bool(tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec().as_dict())
    except (ValueError, TypeError, AttributeError) as error:
        raise _bad_cluster(error) from error


def _bad_cluster(error: Exception) -> InputError:
    said = " ".join(str(error).split())[:200]
    return InputError(
        f"TF_CONFIG={os.environ['TF_CONFIG']}: is not a cluster with a task of it ({said}); {_TF_CONFIG_HINT}"
    )


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether the strategy's replicas are in several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes."""
    if not is_multi_worker(strategy):
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def in_all_workers(strategy: tf.distribute.Strategy, holds: bool) -> bool:
    """Whether something holds in every worker of a strategy, all of which ask at the same point."""
    if not is_multi_worker(strategy):
        return holds

    def of_replicas() -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(tf.constant([float(holds)]), axis=0)

    [held, *_] = strategy.experimental_local_results(tf.function(lambda: strategy.run(of_replicas))())
    return bool(tf.reduce_all(held > 0))


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
