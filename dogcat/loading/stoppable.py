"""Iterators of Python's that TensorFlow's threads ask for batches: they end before the interpreter does."""

from __future__ import annotations

import atexit
import ctypes
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

# At the end of the interpreter: in which a thread asks for the next batch if it is going to, and in which it is back
# from Python once it was told that there is none.
_SECONDS_TO_ASK = 2.0
_SECONDS_TO_RETURN = 0.05


class Stoppable:
    """An iterator that ends when the interpreter does, and that keeps the first error.

    TensorFlow's threads ask for batches ahead, and one that waits for a Python that is no longer there would keep the
    process from ending. Of an error TensorFlow passes on no more than the text.

    Attributes:
        failure: The first error of any of these iterators since `damage.naming_damage` began.
    """

    failure: Exception | None = None
    _unfinished: weakref.WeakSet[Stoppable] = weakref.WeakSet()
    # Of the two above; each iterator has a lock of its own, so that data sets that are read at once do not wait.
    _lock_of_all = threading.Lock()

    def __init__(self, iterator: Iterator[Any]) -> None:
        """Takes the iterator whose elements it gives."""
        self._iterator = iterator
        self._lock = threading.Lock()
        self._ended = False
        with self._lock_of_all:
            self._unfinished.add(self)

    def __iter__(self) -> Iterator[Any]:
        """Itself."""
        return self

    def __next__(self) -> Any:
        """The next element."""
        with self._lock:
            if self._ended:
                raise StopIteration
            try:
                return next(self._iterator)
            except StopIteration:
                self._leave()
                raise
            except Exception as error:
                self._leave(error)
                raise

    def _leave(self, error: Exception | None = None) -> None:
        with self._lock_of_all:
            self._unfinished.discard(self)
            if Stoppable.failure is None:
                Stoppable.failure = error

    @classmethod
    def end_all(cls) -> None:
        """Ends every iterator, when it is not being asked."""
        with cls._lock_of_all:
            unfinished = list(cls._unfinished)
        for one in unfinished:
            with one._lock:
                one._ended = True
        # An error's frames may still have TensorFlow's iterators. Now these wait for their threads and let them have
        # Python meanwhile; at the end of the interpreter such a thread dies, and is waited for without end.
        gc.collect()
        # TensorFlow drops one when it has been told of the end, unless it has batches enough and does not ask.
        deadline = time.monotonic() + _SECONDS_TO_ASK
        while cls._unfinished and time.monotonic() < deadline:
            time.sleep(_SECONDS_TO_RETURN)
        if unfinished:
            time.sleep(_SECONDS_TO_RETURN)
        # One that is still in use stays as it is: the end of the interpreter would wait for its thread.
        for iterator in [one for one in gc.get_objects() if isinstance(one, tf.data.Iterator)]:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(iterator))


atexit.register(Stoppable.end_all)
