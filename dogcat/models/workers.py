"""The workers of a run: who they are, what each of them knows of all, and the sign that one of them is gone."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator, Sequence
from typing import Callable

import numpy as np
import tensorflow as tf

from dogcat.core import runtime
from dogcat.core.interrupts import WorkerLost
from dogcat.core.options import InputError
from dogcat.models import slurm

_TF_CONFIG_HINT = (
    "set it to the cluster and to this process' task, like "
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)
# How TensorFlow words it when a worker ended, or has been silent for 10 s. What reads files says none of it.
_LOST = re.compile(r"Collective ops is aborted|Coordination ?Service|heartbeat", re.IGNORECASE)

# From numbers of this worker, float64 [numbers], to those of all replicas, float64 [replicas, numbers].
Gather = Callable[[Sequence[float]], np.ndarray]


def cluster_of_tf_config() -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """The workers that the environment variable TF_CONFIG names; None where it names none.

    Raises:
        InputError: It is not a cluster.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        return resolver if resolver.cluster_spec().as_dict() else None
    except (ValueError, TypeError, AttributeError) as error:
        raise _bad_tf_config(error) from error


def require_cluster() -> tf.distribute.cluster_resolver.ClusterResolver:
    """The workers that TF_CONFIG names or, where it names none, those of the step that srun started.

    Raises:
        InputError: There are none, or the variables cannot be.
    """
    resolver = cluster_of_tf_config()
    if resolver:
        return resolver
    if not slurm.is_in_step(os.environ):
        raise InputError(
            "--strategy=multi_worker: neither the environment variable TF_CONFIG nor Slurm's name workers; start the "
            f"command by srun, or set TF_CONFIG: {_TF_CONFIG_HINT}"
        )
    step = slurm.read_step(os.environ)
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": step.addresses}),
        task_type="worker",
        task_id=step.rank,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )


def join(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Waits for the other workers, and makes the strategy of all.

    Raises:
        InputError: TF_CONFIG's cluster has no task of this process, or another program has this worker's port.
        WorkerLost: The others did not come, or one of them ended.
    """
    try:
        # gRPC tells of a port that it does not get, too.
        with naming_lost(), runtime.native_messages_dropped():
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except ValueError as error:
        raise _bad_tf_config(error) from error
    except tf.errors.UnknownError as error:
        if "Could not start gRPC server" not in str(error):
            raise
        address = resolver.cluster_spec().task_address(resolver.task_type, resolver.task_id)
        raise InputError(
            f"{address}: this worker cannot listen on its port; another program may have it, so end that, or give "
            "another port in TF_CONFIG"
        ) from error


def _bad_tf_config(error: Exception) -> InputError:
    said = " ".join(str(error).split())[:200]
    return InputError(
        f"TF_CONFIG={os.environ['TF_CONFIG']}: is not a cluster with a task of it ({said}); {_TF_CONFIG_HINT}"
    )


def are_several(strategy: tf.distribute.Strategy) -> bool:
    """Whether the strategy's replicas are in several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes."""
    if not are_several(strategy):
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def make_gather(strategy: tf.distribute.Strategy) -> Gather:
    """Makes a function that tells each worker the numbers of all; all of them call it at the same point."""
    return _gather_over(strategy) if are_several(strategy) else lambda numbers: np.array([numbers], np.float64)


# One graph for each length, and not one for each who asks.
@functools.cache
def _gather_over(strategy: tf.distribute.Strategy) -> Gather:
    def of_replicas(numbers: tf.Tensor) -> tf.Tensor:
        # The copy is on the replica's device, which a gathered tensor must be.
        return tf.distribute.get_replica_context().all_gather(tf.identity(numbers), axis=0)

    @functools.partial(tf.function, autograph=False)
    def run(numbers: tf.Tensor) -> tf.distribute.DistributedValues:
        return strategy.run(of_replicas, (numbers,))

    def gather(numbers: Sequence[float]) -> np.ndarray:
        [of_all, *_] = strategy.experimental_local_results(run(tf.constant([numbers], tf.float64)))
        return of_all.numpy()

    return gather


def in_all(strategy: tf.distribute.Strategy, holds: bool) -> bool:
    """Whether something holds in every worker of a strategy, all of which ask at the same point."""
    return bool(make_gather(strategy)([holds]).all())


def tells_of_lost(error: Exception) -> bool:
    """Whether an error of TensorFlow comes from another worker's end."""
    return isinstance(error, (tf.errors.OpError, RuntimeError)) and bool(_LOST.search(str(error)))


@contextlib.contextmanager
def naming_lost() -> Iterator[None]:
    """Turns TensorFlow's errors into WorkerLost where they come from another worker's end."""
    try:
        yield
    except (tf.errors.OpError, RuntimeError) as error:
        if not tells_of_lost(error):
            raise
        raise WorkerLost("start all of them again") from error
