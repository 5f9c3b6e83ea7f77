"""Runs Xception forward and in training steps, under one choice of settings, whenever it is told to.

A process of `tools.benchmarks.settings`: oneDNN and the allocator are settings of a whole process. Called with
backbone, precision, --jit_compile and whether `runtime.prepare` is to set the process up; says that it is ready, then
reads `forward` or `trained` by line from standard input and answers each with a line of JSON, what `Work` holds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from dogcat.core import runtime
from dogcat.training.options import TrainingOptions

from .peer_writers import SIZE

BATCH_SIZE = 32
# Of a run, at least.
_SECONDS = 4.0


def work_of(backbone: str, precision: str, jit_compile: str) -> dict[str, Callable[[], Any]]:
    """A batch forward, and a step of training the last quarter, by the words that ask for them; each gives a tensor."""
    import tensorflow as tf
    from tensorflow import keras

    from dogcat.models import architecture, devices
    from dogcat.training.step import Trainer

    options = TrainingOptions.from_given(
        {
            "preset": "best",
            "backbone": backbone,
            "unfreeze_from": "auto",
            "augment": "none",
            "jit_compile": jit_compile,
            "batch_size": BATCH_SIZE,
        }
    )
    keras.mixed_precision.set_global_policy(devices.choose_precision(precision)[0])
    strategy = devices.make_strategy("one_device")
    with strategy.scope():
        model = architecture.build_model(options.backbone, SIZE, 2)
        architecture.open_layers(model, architecture.find_layer(architecture.backbone_of(model), options.unfreeze_from))
    trainer = Trainer(model, strategy, options, steps=10**6)
    logits = architecture.logits_model(model)
    forward = tf.function(lambda pictures: logits(pictures, training=False), jit_compile=jit_compile == "on")
    pictures = tf.constant(np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, SIZE, SIZE, 3), np.uint8))
    labels = tf.constant(np.arange(BATCH_SIZE, dtype=np.int32) % 2)
    return {"forward": lambda: forward(pictures), "trained": lambda: trainer.step((pictures, labels), 0, 0)}


def main(backbone: str, precision: str, jit_compile: str, prepared: str) -> None:
    """Answers until standard input ends."""
    if prepared == "prepared":
        runtime.prepare()
    import tensorflow as tf

    work = work_of(backbone, precision, jit_compile)
    print("ready", flush=True)
    compiled = set()
    for line in sys.stdin:
        word = line.strip()
        do = work[word]
        if word not in compiled:
            do().numpy()
            compiled.add(word)
        started = time.perf_counter()
        pictures = 0
        while pictures == 0 or time.perf_counter() - started < _SECONDS:
            do().numpy()
            pictures += BATCH_SIZE
        seconds = time.perf_counter() - started
        print(json.dumps({"pictures": pictures, "bytes": 0, "seconds": seconds, "version": tf.__version__}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
