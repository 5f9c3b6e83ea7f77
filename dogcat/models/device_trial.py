"""Small computations of the kinds that training consists of, tried on devices; as a program, in a process of its own.

`python -m dogcat.models.device_trial GPU` tries every GPU: a convolution in float32, one in the mixed precision that
suits the GPU, and a function that XLA compiles. TensorFlow 2.15 ends the process where ptxas fails, so each is
announced by a line of JSON before it begins, and another tells what came of it.
"""

from __future__ import annotations

import json
import sys

import tensorflow as tf

from dogcat.models import gpus

CONVOLUTION, MIXED, XLA = "convolution", "mixed", "xla"
# XLA at the end, since it may end the process.
CHECKS = (CONVOLUTION, MIXED, XLA)


def compile_on(device: str) -> None:
    """Lets XLA compile a function and runs it.

    Args:
        device: A device's name, like GPU:0.

    Raises:
        tf.errors.OpError: XLA cannot compile for the device.
    """
    with tf.device(device):
        # GPUs take this one from libdevice.
        tf.function(lambda numbers: tf.reduce_sum(tf.tanh(numbers)), jit_compile=True)(tf.ones((4, 4))).numpy()


def convolve_on(device: str, dtype: str) -> None:
    """Runs a convolution, one of each channel, a product of matrices and their gradients.

    Args:
        device: A device's name, like GPU:0.
        dtype: The type of numbers.

    Raises:
        tf.errors.OpError: A library is missing or of another version, or there is no memory.
    """
    with tf.device(device), tf.GradientTape() as tape:
        weights = [tf.ones(shape, dtype) for shape in ((3, 3, 3, 4), (3, 3, 4, 1), (4, 2))]
        tape.watch(weights)
        features = tf.nn.conv2d(tf.ones((2, 8, 8, 3), dtype), weights[0], 1, "SAME")
        features = tf.nn.depthwise_conv2d(features, weights[1], (1, 1, 1, 1), "SAME")
        loss = tf.reduce_sum(tf.cast(tf.reduce_mean(features, (1, 2)) @ weights[2], tf.float32))
    for gradient in tape.gradient(loss, weights):
        gradient.numpy()


def _mixed_type(index: int, kind: str) -> str:
    """The type of numbers of the precision that suits a device."""
    if kind != "GPU":
        return "bfloat16"
    details = tf.config.experimental.get_device_details(tf.config.list_physical_devices(kind)[index])
    return gpus.policy_of(details.get("compute_capability", (0, 0))).removeprefix("mixed_")


def main(kind: str) -> None:
    """Tries all devices of a kind, GPU or CPU, and prints what came of it."""
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    # Else what a GPU has no code for would run on the processor.
    tf.config.set_soft_device_placement(False)
    names = [f"{kind}:{index}" for index in range(len(tf.config.list_physical_devices(kind)))]
    for check in CHECKS:
        for index, device in enumerate(names):
            about = {"device": device, "check": check}
            print(json.dumps(about), flush=True)
            said = ""
            try:
                if check == XLA:
                    compile_on(device)
                else:
                    convolve_on(device, "float32" if check == CONVOLUTION else _mixed_type(index, kind))
            except (tf.errors.OpError, RuntimeError) as error:
                said = str(error) or type(error).__name__
            print(json.dumps({**about, "said": said}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
