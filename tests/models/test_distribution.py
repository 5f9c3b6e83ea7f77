from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dogcat.models.distribution import distribute

ONE = tf.distribute.OneDeviceStrategy("CPU:0")
TWO = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def shares(context):
    """Three steps of shares for each replica: pairs of numbers that tell step and replica."""
    assert (context.num_input_pipelines, context.input_pipeline_id) == (1, 0)
    numbers = np.arange(3 * context.num_replicas_in_sync)
    return tf.data.Dataset.from_tensor_slices((numbers, {"negative": -numbers}))


@pytest.mark.parametrize("strategy", [ONE, TWO], ids=["one", "two"])
def test_each_replica_gets_its_shares_on_its_device(strategy):
    replicas = strategy.num_replicas_in_sync
    got = []
    for number, extra in distribute(strategy, shares):
        of_replicas = strategy.experimental_local_results(number)
        assert [tensor.device[-5:] for tensor in of_replicas] == ["CPU:0", "CPU:1"][:replicas]
        got += [int(tensor) for tensor in of_replicas]
        negative = strategy.experimental_local_results(extra["negative"])
        assert [int(tensor) for tensor in negative] == [-n for n in got[-replicas:]]
    assert got == list(range(3 * replicas))


@pytest.mark.parametrize("strategy", [ONE, TWO], ids=["one", "two"])
def test_a_compiled_step_runs_on_them_without_tracing_again(strategy):
    traced = []

    @tf.function
    def step(number, extra):
        traced.append(1)
        doubled = strategy.run(lambda of_one, more: of_one - more["negative"], (number, extra))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, doubled, axis=None)

    sums = [int(step(*element)) for element in distribute(strategy, shares)]
    numbers = np.arange(3 * strategy.num_replicas_in_sync).reshape(3, -1)
    assert sums == (2 * numbers.sum(axis=1)).tolist()
    assert len(traced) == 1
