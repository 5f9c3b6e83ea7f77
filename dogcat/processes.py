"""A function called many times in worker processes, its results in the order of the calls.

Each worker has a pipe for the calls and one for the results, and its parent serves all in one thread.
"""

from __future__ import annotations

import collections
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, ForkServerContext
from typing import Any, Callable, Generic, TypeVar

from dogcat import runtime
from dogcat.config import InputError

Result = TypeVar("Result")

# Calls that a worker has at a time: the one that it is in, and the next.
_CALLS_OF_A_WORKER = 2
# Calls begun whose results are not yet given, for each worker: no worker waits for a slower one soon, and memory does
# not grow with the number of calls.
_CALLS_IN_FLIGHT = 4


class WorkerKilledError(InputError):
    """A worker process was killed from outside."""


class Workers(Generic[Result]):
    """Worker processes that call a function; a context manager, after whose block there are none.

    Begin it early: a worker starts with what its parent has in memory by then.
    """

    def __init__(self, count: int, function: Callable[..., Result]) -> None:
        """Takes the number of processes, and the function, of a module."""
        self._count = count
        self._function = function
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers[Result]:
        """Starts the processes; Ctrl-C, which they would see too, is left to the parent."""
        context = _context(self._function.__module__)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for _ in range(self._count):
                self._workers.append(_Worker(context, self._function))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the processes, whatever they do."""
        for worker in self._workers:
            worker.end()

    def starmap(self, calls: Iterator[tuple]) -> Iterator[Result]:
        """Calls the function with each tuple of arguments, in parallel; gives the results in order.

        Take all of them before the next `starmap`.

        Raises:
            WorkerKilledError: A worker was killed.
            RuntimeError: The function raised an exception, which is printed.
        """
        numbered = enumerate(calls)
        finished: dict[int, Result] = {}
        given = 0
        while True:
            self._begin(numbered, self._count * _CALLS_IN_FLIGHT - len(finished))
            busy = [worker for worker in self._workers if worker.begun]
            if not busy:
                return
            ready = multiprocessing.connection.wait([worker.results for worker in busy])
            for worker in busy:
                if worker.results in ready:
                    number, result = worker.take()
                    finished[number] = result
            while given in finished:
                yield finished.pop(given)
                given += 1

    def _begin(self, numbered: Iterator[tuple[int, tuple]], in_flight: int) -> None:
        """Gives the workers calls, up to `in_flight` at a time."""
        while sum(len(worker.begun) for worker in self._workers) < in_flight:
            worker = min(self._workers, key=lambda worker: len(worker.begun))
            if len(worker.begun) == _CALLS_OF_A_WORKER:
                return
            following = next(numbered, None)
            if following is None:
                return
            worker.begin(*following)


def _context(module: str) -> ForkContext | ForkServerContext:
    """How workers that need a module are started.

    Forked from this process they are there at once. Where it has threads, whose locks a fork would leave as they are,
    they are forked from a fresh process, whose imports take a quarter of a second.
    """
    if threading.active_count() == 1 and "tensorflow" not in sys.modules:
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


class _Worker:
    """A worker process, as its parent sees it.

    Attributes:
        begun: Numbers of the calls that it has, in order.
        results: Where their results come from.
    """

    def __init__(self, context: ForkContext | ForkServerContext, function: Callable[..., Any]) -> None:
        """Starts the process."""
        self.begun: collections.deque[int] = collections.deque()
        its_calls, self._calls = context.Pipe(duplex=False)
        self.results, its_results = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(function, its_calls, its_results), daemon=True)
        self._process.start()
        # Open in the process alone, so that its parent learns of its end.
        its_calls.close()
        its_results.close()

    def begin(self, number: int, arguments: tuple) -> None:
        """Sends it a call."""
        with self._alive():
            self._calls.send(arguments)
        self.begun.append(number)

    def take(self) -> tuple[int, Any]:
        """Receives the result of the call that it has had for longest, and the call's number."""
        with self._alive():
            result = self.results.recv()
        return self.begun.popleft(), result

    def end(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.join()
        self._calls.close()
        self.results.close()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        """Turns the end of a pipe into the reason for it."""
        try:
            yield
        except (EOFError, OSError) as error:
            self._process.join()
            if self._process.exitcode and self._process.exitcode > 0:
                raise RuntimeError("a worker failed, as standard error tells") from error
            raise WorkerKilledError(
                "--workers: a worker was killed, most likely for want of memory; use fewer"
            ) from error


def _serve(function: Callable[..., Any], calls: Connection, results: Connection) -> None:
    """What a worker process does until it is ended, or its parent is."""
    runtime.keep_large_blocks()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            results.send(function(*calls.recv()))


def _end_with_parent() -> None:
    # The ends of pipes tell it only where they were not inherited.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
