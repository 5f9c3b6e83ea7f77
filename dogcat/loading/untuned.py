"""Datasets that TensorFlow does not tune."""

from __future__ import annotations

import tensorflow as tf


def untuned(dataset: tf.data.Dataset, threads: int = 0) -> tf.data.Dataset:
    """The same elements in the same order, without a thread that tunes.

    Nothing here is left to be tuned, and whoever gives up an iterator may have to wait for the tuner's thread
    (`models.distribution`), up to a minute.

    Args:
        dataset: The dataset.
        threads: Number of those that work for it alone; 0: those of all datasets, as with `tf.data.AUTOTUNE`.
    """
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    if threads:
        options.experimental_optimization.map_and_batch_fusion = True
    if threads > 0:
        options.threading.private_threadpool_size = threads
    return dataset.with_options(options)
