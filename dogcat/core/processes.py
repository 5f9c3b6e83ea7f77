"""A function called many times in worker processes, its results in the order of the calls."""

from __future__ import annotations

import collections
import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.context import ForkContext, ForkServerContext
from typing import Callable

from dogcat.core import files, runtime
from dogcat.core.calls import Calls, Result, WorkLostError
from dogcat.core.interrupts import SIGNALS

# Calls in flight for each worker: no worker waits, and memory does not grow with the number of calls.
_CALLS_IN_FLIGHT = 4


class Workers(Calls[Result]):
    """Worker processes that call a function; a context manager, after whose block there are none.

    Where the system has no locks for processes they are threads.

    Begin it early: a worker starts with what its parent has in memory by then.
    """

    def __init__(self, count: int, function: Callable[..., Result], flag: str = "") -> None:
        """Takes the number of processes, the function, of a module, and the flag that gives the number, for errors."""
        super().__init__(_executor(count, function.__module__), function, count * _CALLS_IN_FLIGHT)
        self._flag = flag or f"--workers={count}"

    def __enter__(self) -> Workers[Result]:
        """Starts the processes or threads."""
        with _interrupts_held():
            # The first call does, whatever it is.
            self._executor.submit(int)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Ends the processes; after an error in the middle of a call, which may have much left to do."""
        if kind:
            for worker in multiprocessing.active_children():
                worker.terminate()
        self._executor.shutdown(cancel_futures=True)

    def starmap(self, calls: Iterator[tuple]) -> Iterator[Result]:
        """See `Calls`.

        Raises:
            WorkLostError: A worker was killed.
        """
        try:
            yield from super().starmap(calls)
        except concurrent.futures.process.BrokenProcessPool as error:
            raise WorkLostError(
                f"{self._flag}: a worker was killed, most likely for want of memory; use fewer"
            ) from error

    def _begin(self, calls: Iterator[tuple], pending: collections.deque[concurrent.futures.Future[Result]]) -> None:
        with _interrupts_held():
            super()._begin(calls, pending)


def _executor(count: int, module: str) -> concurrent.futures.Executor:
    """What calls functions of a module: processes, or threads where the system has no semaphores for them to share."""
    try:
        return concurrent.futures.ProcessPoolExecutor(count, _context(module), initializer=_prepare_worker)
    # Semaphores are files of /dev/shm, which is missing or full; a Python built without them raises the others.
    except (OSError, ImportError, NotImplementedError) as error:
        files.note(
            f"no worker processes, since /dev/shm cannot be used ({error}); threads of this process do their work"
        )
        return concurrent.futures.ThreadPoolExecutor(count)


def _context(module: str) -> ForkContext | ForkServerContext:
    """How workers that need a module are started.

    Forked from this process they are there at once. Where it has threads, whose locks a fork would leave as they are,
    or libraries of macOS, which do not survive one, they are forked from a fresh process, whose imports take a quarter
    of a second.
    """
    if sys.platform == "linux" and threading.active_count() == 1 and "tensorflow" not in sys.modules:
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Holds back what asks a process to end: workers that start meanwhile leave it to the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker() -> None:
    """Sets up the allocator, and ends the worker when the parent dies or ends it, but not with the terminal."""
    runtime.keep_large_blocks()
    # By it the parent ends workers; the others stay held back.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait_and_end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_end, daemon=True).start()
