"""What the library does to the process it is used in: as little as TensorFlow lets it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dogcat.core import runtime
from dogcat.core.options import InputError


def prepare() -> None:
    """Readies the process for TensorFlow, as the commands do; harmless where that has been done.

    Raises:
        InputError: Keras was imported before, and computes with another library than TensorFlow.
    """
    runtime.prepare(for_library=True)
    from tensorflow import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise InputError(
            f"KERAS_BACKEND={backend}: dogcat computes with TensorFlow; import dogcat before Keras, or set tensorflow"
        )


@contextlib.contextmanager
def own_precision() -> Iterator[None]:
    """A block that may set the precision of Keras, which afterwards is what it was."""
    from tensorflow import keras

    before = keras.mixed_precision.global_policy()
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
