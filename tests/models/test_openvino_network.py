from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT
from tensorflow import keras

from dogcat.models.openvino_network import OpenVinoNetwork

# Two networks of a process that hears signals; then what is done with them.
TWO_NETWORKS = """
import signal, threading
from dogcat.core import runtime
runtime.prepare()
from dogcat.models.openvino_network import OpenVinoNetwork

networks = [OpenVinoNetwork(lambda pictures: pictures[:, 0, 0], [], 2, 2, "float32") for _ in range(2)]
signal.signal(signal.SIGTERM, lambda number, frame: print("heard"))
{ends}
signal.raise_signal(signal.SIGTERM)
"""


def test_openvino_computes_what_keras_does():
    model = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
    # As built, every BatchNorm would do nothing.
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])

    def network(pictures):
        return model(tf.cast(pictures, tf.float32) / 127.5 - 1, training=False)

    batches = [random.integers(0, 256, (4, 96, 96, 3), np.uint8) for _ in range(3)]
    compiled = OpenVinoNetwork(network, [model], batch_size=4, image_size=96, precision="float32")
    # Two at once, as `make_forward` runs them.
    started = [compiled.start(batch) for batch in batches[:2]]
    results = [result() for result in started] + [compiled.start(batches[2])()]
    for batch, result in zip(batches, results):
        wanted = network(batch).numpy()
        np.testing.assert_allclose(result, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "ends",
    [
        "del networks[0]; del networks[0]",
        "thread = threading.Thread(target=networks.clear); thread.start(); thread.join()",
    ],
    ids=["the first before the second", "in another thread"],
)
def test_signals_are_heard_whichever_way_networks_end(ends):
    done = subprocess.run(
        [sys.executable, "-c", TWO_NETWORKS.format(ends=ends)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
