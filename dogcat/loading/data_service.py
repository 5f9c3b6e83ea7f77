"""Epochs of training whose pictures are decoded by the workers of a tf.data service, on other machines.

The epoch's order is cut into blocks. The dispatcher gives each block to one worker, so no picture comes twice in an
epoch; what a worker holds when it ends is lost for the epoch. Which block comes when depends on who is fast.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, NoReturn

import tensorflow as tf
from tensorflow.python.eager import cancellation, context, execute

from dogcat.core import places
from dogcat.core.interrupts import Terminated
from dogcat.core.options import InputError, is_address
from dogcat.dataset.manifest import RAW, Manifest
from dogcat.loading import damage, dispatcher, pipeline
from dogcat.loading.encoded_pictures import EncodedPictures
from dogcat.loading.foreign_set import ForeignSet
from dogcat.loading.pipeline import Position, TrainingOrder

# Pictures that a worker takes at a time, and that go over the network together.
BLOCK = 32
# Stands behind the last place of the last block.
_NONE = -1
# Seconds between two looks for the end of a thread, and those that it has for it.
_MOMENT, _LONGEST_END = 0.05, 5.0


class DataServiceLost(Terminated):
    """The data service gives nothing more."""

    def __init__(self, what: str) -> None:
        """Takes what happened, for a person."""
        super().__init__()
        self.what = f"stopped, since {what}"


class DataService:
    """A tf.data service, of which training asks for pictures."""

    def __init__(self, address: str, patience: float, pictures: EncodedPictures) -> None:
        """Takes the dispatcher's address, the longest wait for a batch in seconds, and the training split."""
        self._address = address
        self._patience = patience
        self._pictures = pictures
        paths = [path if is_address(path) else os.path.abspath(path) for path in pictures.records.paths]
        self._elsewhere = pictures.elsewhere(paths, BLOCK)

    def epoch(self, order: TrainingOrder, start: Position, worker: tf.distribute.InputContext) -> Iterator[Any]:
        """Batches of an epoch.

        Of those pictures that `pipeline.train_dataset` would give from the step on, and of the epoch's remainder, each
        comes at most once, in an order that no seed tells.

        Args:
            order: The order of the pictures, which are handed out in it.
            start: Step to begin with.
            worker: The one process that asks.

        Yields:
            (pictures uint8 [batch, size, size, 3], labels int32 [batch]), each a replica's share of a global batch;
            fewer than the epoch has steps for where workers ended.

        Raises:
            InputError: A record is damaged, or a worker does not see the data set.
            DataServiceLost: No batch came in time, or the service has failed.
        """

        def batches() -> tf.data.Dataset:
            dataset = self._served(order, start).apply(
                tf.data.experimental.service.distribute(
                    tf.data.experimental.service.ShardingPolicy.DYNAMIC,
                    self._address,
                    # Pixels hardly shrink, and both ends would have to work for it.
                    compression=None,
                )
            )
            dataset = dataset.rebatch(order.batch_size, drop_remainder=True).take(order.steps - start.step)
            replicas = worker.num_replicas_in_sync
            if replicas > 1:
                dataset = dataset.rebatch(order.batch_size // replicas, drop_remainder=True)
            return pipeline.finish(dataset)

        # To register an epoch, TensorFlow would wait for ever, and not be stopped.
        if failure := dispatcher.failure_to_answer(self._address, self._patience):
            raise DataServiceLost(f"no dispatcher answers at {self._address} ({failure})")
        try:
            yield from _asked_in_thread(batches, self._patience)
        except queue.Empty:
            raise DataServiceLost(f"no batch came from {self._address} for {self._patience:g} s") from None
        except tf.errors.OpError as error:
            self._raise_named(error)

    def _served(self, order: TrainingOrder, start: Position) -> tf.data.Dataset:
        """What the workers compute together: blocks of pictures and labels; a block of places is what each takes."""
        in_order = pipeline.order_of_epoch(self._pictures, order, start.epoch).places[start.step * order.batch_size :]
        missing = -len(in_order) % BLOCK
        padded = tf.pad(in_order, [[0, missing]], constant_values=_NONE)
        # Of `Dataset.range` a dispatcher that starts again does not find the place (TensorFlow 2.15).
        blocks = tf.data.Dataset.from_tensor_slices(tf.reshape(padded, (-1, BLOCK)))
        return self._elsewhere.dataset(blocks.map(_without_padding), BLOCK, whole_batches=False)

    def _raise_named(self, error: tf.errors.OpError) -> NoReturn:
        folder = os.path.dirname(self._elsewhere.records.paths[0])
        reason = places.reason(error)
        if folder not in error.message:
            if not isinstance(error, (tf.errors.DataLossError, tf.errors.InvalidArgumentError)):
                raise DataServiceLost(f"the data service {self._address} failed ({reason})") from error
            damage.name(self._elsewhere, error)
        raise InputError(
            f"--data_service={self._address}: a worker cannot read the data set ({reason}); it must see the same files "
            f"as this machine, at {folder}"
        ) from error


@tf.autograph.experimental.do_not_convert
def _without_padding(block: tf.Tensor) -> tf.Tensor:
    return tf.boolean_mask(block, block != _NONE)


def require_servable(address: str, data: Manifest) -> None:
    """Raises InputError for a data set whose pictures a data service does not decode."""
    if isinstance(data, ForeignSet):
        raise InputError(
            f"--data_service={address}: TFRecords of another program are read on this machine alone; leave it out, or "
            "make a data set of the pictures"
        )
    if data.encoding == RAW:
        raise InputError(
            f"--data_service={address}: the data set has raw pixels, which nobody needs to decode; leave it out"
        )


def _next(elements: Any, manager: cancellation.CancellationManager) -> Any:
    """The next element of a dataset's iterator, for which nobody waits any longer once the manager cancels.

    The manager's own way makes a function of it, and has the functions of all threads cancelled meanwhile.

    Raises:
        tf.errors.OutOfRangeError: There is none.
    """
    specs = tf.nest.flatten(elements.element_spec)
    types = [spec.dtype.as_datatype_enum for spec in specs]
    shapes = [execute.make_shape(spec.shape, "output_shapes") for spec in specs]
    flat = execute.execute_with_cancellation(
        "IteratorGetNext",
        num_outputs=len(specs),
        inputs=[elements._iterator_resource],
        attrs=("output_types", types, "output_shapes", shapes),
        ctx=context.context(),
        cancellation_manager=manager,
    )
    return tf.nest.pack_sequence_as(elements.element_spec, flat)


def _asked_in_thread(make: Callable[[], tf.data.Dataset], seconds: float) -> Iterator[Any]:
    """The elements of a dataset that another thread makes and asks, so that signals and the clock are heard.

    Yields:
        The elements.

    Raises:
        queue.Empty: The next one takes longer than some seconds.
        Exception: What the dataset raises.
    """
    answers: queue.Queue[tuple[Any, ...] | Exception] = queue.Queue(1)
    # TensorFlow itself would wait for ever for a worker that does not come back, and the process' end for TensorFlow.
    manager = cancellation.CancellationManager()

    def ask() -> None:
        try:
            elements = iter(make())
            with contextlib.suppress(tf.errors.OutOfRangeError):
                while not manager.is_cancelled:
                    answers.put((_next(elements, manager),))
            # Before the iterator is given up, which may take its time.
            answers.put(())
        except Exception as error:
            answers.put(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        while answer := answers.get(timeout=seconds):
            if isinstance(answer, Exception):
                raise answer
            yield answer[0]
    finally:
        manager.start_cancel()
        deadline = time.monotonic() + _LONGEST_END
        while thread.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                answers.get(timeout=_MOMENT)
