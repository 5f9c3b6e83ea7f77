"""`python -m tiny_backbone two_devices MODULE FLAGS...` runs a command with two logical CPU devices."""

from __future__ import annotations

import runpy
import sys

from dogcat.core import runtime


def split_the_processor() -> None:
    """Makes the CPU two logical devices for MirroredStrategy, before TensorFlow starts."""
    runtime.prepare()
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


if __name__ == "__main__":
    split_the_processor()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
