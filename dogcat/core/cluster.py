"""Which engine does the work: processes of this machine, or a cluster that others keep."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any, Callable

from dogcat.core.calls import Calls, Result
from dogcat.core.options import MOST_WORKERS, InputError, option
from dogcat.core.processes import Workers

_LOCAL = "local"
_DASK = "dask"


def cluster_option(pieces: str) -> Any:
    """Declares what does the work of a command; `pieces` are what it is cut into."""
    return option(
        "",
        f"Do the work in pieces, {pieces}, on a cluster: dask:tcp://host:port or dask:file.json, an address or a "
        "scheduler file of Dask; or local:N, in N processes of this machine. All machines must see the folders by the "
        "same paths and have the same dogcat. Empty: in this command's own process and workers.",
    )


def workers(place: str, function: Callable[..., Result]) -> AbstractContextManager[Calls[Result]]:
    """What calls a function, of a module, where the option says.

    Raises:
        InputError: The value names nothing that there is, or a worker of the cluster has another dogcat.
    """
    engine, _, where = place.partition(":")
    if engine == _LOCAL and where.isascii() and where.isdecimal() and 1 <= int(where[:9]) <= MOST_WORKERS:
        return Workers(int(where), function, f"--cluster={place}")
    if engine == _DASK and where:
        # Its import takes seconds, and it may not be installed.
        from dogcat.core import dask_workers

        return dask_workers.connect(where, function)
    raise InputError(
        f"--cluster={place}: use dask:tcp://host:port, dask:scheduler-file.json, or local:N with 1 to {MOST_WORKERS} "
        "processes"
    )


def workers_if(place: str, function: Callable[..., Result]) -> AbstractContextManager[Calls[Result] | None]:
    """The same where the option is given; else None."""
    return workers(place, function) if place else contextlib.nullcontext()
