"""What tests of both Keras versions do in each: `python -m in_other_keras FUNCTION FOLDER`, in either environment.

Everything a function gives is in files of the folder, so that the two can be held together.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_backbone  # noqa: F401, before the options that name the backbones

from dogcat.core import runtime


def build_few_blocks(patch: pytest.MonkeyPatch) -> None:
    """Has Keras' InceptionResNetV2 repeat none of its three kinds of blocks, which are 39 otherwise."""
    from tensorflow import keras

    module = sys.modules[keras.applications.InceptionResNetV2.__module__]
    patch.setattr(module, "range", lambda first, last: range(first, first + 1), raising=False)


def predict(folder: Path) -> None:
    """Probabilities of each model in the folder, by its name."""
    from dogcat.models import model_files

    for path in sorted(folder.glob("*.keras")):
        model, description = model_files.load(path)
        np.save(path.with_suffix(".npy"), model.predict(pictures(description.image_size), verbose=0))


def lamb(folder: Path) -> None:
    """Weights after each of 20 steps of LAMB with weight decay, along gradients that are the same everywhere."""
    import tensorflow as tf
    from tensorflow import keras

    from dogcat.models import keras_versions
    from dogcat.training import optimizers
    from dogcat.training.options import TrainingOptions

    options = TrainingOptions(optimizer="lamb", learning_rate=0.05, weight_decay=0.1, warmup_steps=5)
    optimizer = optimizers.make_optimizer(options, optimizers.make_rate(options, 20))
    generator = np.random.default_rng(0)
    layer = keras.layers.Dense(3)
    layer.build((None, 5))
    # A bias of zeros has no length, by which its steps would be scaled.
    layer.set_weights([generator.normal(size=(5, 3)), np.zeros(3)])
    keras_versions.build_optimizer(optimizer, layer.trainable_weights)
    steps = []
    for _ in range(20):
        wanted = tf.constant(generator.normal(size=(4, 3)), tf.float32)
        inputs = tf.constant(generator.normal(size=(4, 5)), tf.float32)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(inputs) - wanted) ** 2)
        keras_versions.minimize(optimizer, loss, layer.trainable_weights, tape)
        steps.append(np.concatenate([array.ravel() for array in layer.get_weights()]))
    np.save(folder / "lamb.npy", steps)


def shards(folder: Path) -> None:
    """A data set of the folder's pictures."""
    from dogcat.dataset.options import ShardOptions
    from tools.make_tfrecords import make_data_set

    for form in ("jpeg", "raw"):
        make_data_set(ShardOptions(str(folder / "train"), str(folder / form), image_size=64, shards=3, encoding=form))


def pictures(size: int) -> np.ndarray:
    """Smooth random pictures, uint8 [8, size, size, 3]."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 206, (8, 1, 1, 3))
    return (coarse + generator.integers(0, 50, (8, size, size, 3))).astype(np.uint8)


if __name__ == "__main__":
    runtime.prepare()
    build_few_blocks(pytest.MonkeyPatch())
    {"predict": predict, "lamb": lamb, "shards": shards}[sys.argv[1]](Path(sys.argv[2]))
