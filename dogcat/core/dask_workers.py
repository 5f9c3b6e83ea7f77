"""Workers of a Dask cluster that is there already. Nothing but `core.cluster` imports this, where it is asked for."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any, Callable

import dogcat
from dogcat.core import log
from dogcat.core.calls import Calls, Result, WorkLostError
from dogcat.core.options import InputError

# Calls in flight for each thread of the cluster: no worker waits for the next, nor all for the slowest.
_CALLS_IN_FLIGHT = 4
# Pickled by nothing but names of Python itself, so that a worker with any dogcat, or none, can answer.
_VERSION = "__import__('dogcat').__version__"
# Those of Dask's loggers that have a level of their own, and that of the library below. What they tell of comes as an
# exception.
_LOGGERS = ("distributed", "distributed.client", "distributed.core", "tornado.application")


@contextlib.contextmanager
def connect(place: str, function: Callable[..., Result]) -> Iterator[Calls[Result]]:
    """Connects to a scheduler, waits for the first worker, and compares the workers' dogcat with this one.

    Time limits, TLS and the rest are those of Dask's own configuration.

    Args:
        place: The scheduler's address, or its scheduler file.
        function: To call, of a module.

    Raises:
        InputError: Dask is not installed, no scheduler answers, or a worker has another dogcat.
    """
    said = f"--cluster=dask:{place}"
    try:
        import distributed
    except ImportError as error:
        raise InputError(f"{said}: Dask cannot be imported ({error}); pip install 'dogcat[cluster]'") from error
    is_address = "://" in place
    if not is_address and not os.path.isfile(place):
        # Dask would wait for it.
        raise InputError(f"{said}: there is no such file; give a scheduler file, or an address like tcp://host:8786")
    with contextlib.ExitStack() as block:
        for name in _LOGGERS:
            block.enter_context(log.at_level(logging.CRITICAL, name))
        try:
            where = {"address": place} if is_address else {"scheduler_file": place}
            client = block.enter_context(distributed.Client(**where, set_as_default=False))
        except (OSError, ValueError) as error:
            reason = str(error).split("\n", 1)[0]
            raise InputError(f"{said}: no scheduler answers ({reason}); start one, or give its address") from error
        if not client.nthreads():
            log.tell(f"waiting for a worker of {place}")
            client.wait_for_workers(1)
        _require_same_version(client, said)
        calls = _DaskCalls(client, function, said)
        # Before the client closes: what has not begun is cancelled.
        block.callback(calls.end)
        yield calls


def _require_same_version(client: Any, said: str) -> None:
    for worker, found in _ask_each(client, eval, _VERSION):
        if found != dogcat.__version__:
            has = f"cannot import dogcat ({found})" if isinstance(found, Exception) else f"has dogcat {found}"
            raise InputError(f"{said}: worker {worker} {has}; give it dogcat {dogcat.__version__}, as here, or end it")


def _ask_each(client: Any, function: Callable[..., Any], *arguments: object) -> list[tuple[str, Any]]:
    """What a function gives, or raises, in each worker; of one that dies meanwhile, nothing."""
    found = client.run(function, *arguments, on_error="return")
    return [(worker, found[worker]) for worker in sorted(found) if not isinstance(found[worker], OSError)]


class _DaskCalls(Calls[Result]):
    """Calls a function in the workers that there are at the time."""

    def __init__(self, client: Any, function: Callable[..., Result], said: str) -> None:
        # Dask gives the result of an equal call before, unless calls are not pure.
        super().__init__(client.get_executor(pure=False), function, 1)
        self._client = client
        self._said = said

    def end(self) -> None:
        """Cancels what has not begun."""
        self._executor.shutdown(wait=False)

    def starmap(self, calls: Iterator[tuple]) -> Iterator[Result]:
        """See `Calls`.

        Raises:
            WorkLostError: The scheduler is gone, or workers die of a call or cannot do it.
        """
        from distributed.scheduler import KilledWorker

        try:
            yield from super().starmap(calls)
        except concurrent.futures.CancelledError as error:
            raise self._lost() from error
        except KilledWorker as error:
            raise WorkLostError(
                f"{self._said}: workers were killed again and again by the same piece, most likely for want of memory; "
                "give them more, or fewer threads"
            ) from error
        except ImportError as error:
            raise WorkLostError(
                f"{self._said}: a worker that has come since cannot run this dogcat ({error}); give it dogcat "
                f"{dogcat.__version__}, or end it"
            ) from error

    def check_each(self, check: Callable[..., None], *arguments: object) -> None:
        """See `Calls`."""
        for worker, found in _ask_each(self._client, check, *arguments):
            if isinstance(found, Exception):
                raise WorkLostError(f"{self._said}: worker {worker}: {found}") from found

    def _begin(self, calls: Iterator[tuple], pending: collections.deque[concurrent.futures.Future[Result]]) -> None:
        try:
            # Asked each time, since workers come and go.
            threads = sum(self._client.nthreads().values())
        except OSError as error:
            raise self._lost() from error
        if self._client.status != "running":
            # Else calls would wait for a new connection, until Dask's time limit.
            raise self._lost()
        self._at_once = _CALLS_IN_FLIGHT * max(1, threads)
        super()._begin(calls, pending)

    def _lost(self) -> WorkLostError:
        return WorkLostError(f"{self._said}: the scheduler is gone or began anew; start it, then this command again")
