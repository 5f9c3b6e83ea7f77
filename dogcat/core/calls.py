"""A function called many times through a `concurrent.futures.Executor`, its results in the order of the calls.

The seam between the work and what does it: processes of this machine, an engine of a cluster, or whatever else has such
an executor.
"""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
from collections.abc import Iterator
from typing import Callable, Generic, TypeVar

from dogcat.core.options import InputError

Result = TypeVar("Result")


class WorkLostError(InputError):
    """What did the work was killed, is gone or cannot do it; what is finished stays, and the same call goes on."""


class Calls(Generic[Result]):
    """Calls a function through an executor."""

    def __init__(self, executor: concurrent.futures.Executor, function: Callable[..., Result], at_once: int) -> None:
        """Takes the executor, the function, of a module, and how many calls may be in flight."""
        self._executor = executor
        self._function = function
        self._at_once = at_once

    def starmap(self, calls: Iterator[tuple]) -> Iterator[Result]:
        """Calls the function with each tuple of arguments, in parallel; gives the results in order.

        Where the caller stops early, calls that have not begun are cancelled.
        """
        pending: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
        try:
            while True:
                self._begin(calls, pending)
                if not pending:
                    return
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def check_each(self, check: Callable[..., None], *arguments: object) -> None:
        """Calls a function in each worker that there is, which raises WorkLostError where the worker does not fit.

        An executor does not know its workers; then nothing is called, and they tell when they are called.
        """

    def _begin(self, calls: Iterator[tuple], pending: collections.deque[concurrent.futures.Future[Result]]) -> None:
        for arguments in itertools.islice(calls, max(0, self._at_once - len(pending))):
            pending.append(self._executor.submit(self._function, *arguments))
