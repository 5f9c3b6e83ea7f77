"""Whether GPUs have a kernel for every operation of a training step: TensorFlow's register tells, without a GPU.

Only a TensorFlow that is built with CUDA has it; tensorflow-cpu has not.
"""

from __future__ import annotations

import functools

import pytest
import tensorflow as tf
from tensorflow import keras
from tensorflow.python.framework import kernels

from dogcat.models import architecture, preflight
from dogcat.training.augmentations import AUGMENTATIONS
from dogcat.training.options import TrainingOptions
from dogcat.training.step import Trainer

pytestmark = pytest.mark.skipif(not tf.test.is_built_with_cuda(), reason="this TensorFlow is built without CUDA")

# These are not run as kernels, or on the processor whatever the device.
_WITHOUT_KERNEL = {
    *("NoOp", "Placeholder", "PartitionedCall", "StatefulPartitionedCall", "If", "While", "StatelessIf", "Assert"),
    *("StatelessWhile", "SymbolicGradient", "PreventGradient"),
}


def nodes_of(graph):
    """The nodes of a graph and of the functions that it calls."""
    definition = graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


@functools.cache
def kernels_of(operation: str):
    """What is registered for an operation; to look it up takes some milliseconds."""
    return kernels.get_registered_kernels_for_op(operation).kernel


def has_gpu_kernel(node) -> bool:
    for kernel in kernels_of(node.op):
        fits = all(
            node.attr[constraint.name].type in constraint.allowed_values.list.type for constraint in kernel.constraint
        )
        if kernel.device_type in ("GPU", "DEFAULT") and fits and not kernel.label:
            return True
    return False


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float32"])
def test_every_operation_of_a_step_has_a_gpu_kernel(policy, monkeypatch):
    monkeypatch.setattr(preflight, "xla_failure", lambda: "so that all operations are in the graph")
    keras.mixed_precision.set_global_policy(policy)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    ranges = AUGMENTATIONS["strong"]
    options = TrainingOptions.from_given(
        {"preset": "best", "batch_size": 2, "shear": ranges.shear, "rotate": ranges.rotate, "brightness": 0.3}
    )
    with strategy.scope():
        model = architecture.build_model("xception", 128, 2)
        architecture.open_layers(model, 96)
    trainer = Trainer(model, strategy, options, steps=10)
    batch = (tf.zeros((2, 128, 128, 3), tf.uint8), tf.zeros(2, tf.int32))
    nodes = [node for node in nodes_of(trainer.graph(batch)) if node.op not in _WITHOUT_KERNEL]
    assert {"ImageProjectiveTransformV3", "DepthwiseConv2dNative", "Conv2DBackpropFilter"} <= {
        node.op for node in nodes
    }
    assert {f"{node.name}: {node.op}" for node in nodes if not has_gpu_kernel(node)} == set()


def test_an_operation_of_processors_alone_is_noticed():
    graph = tf.function(lambda: tf.strings.length("x")).get_concrete_function().graph
    assert "StringLength" in {node.op for node in nodes_of(graph) if not has_gpu_kernel(node)}
