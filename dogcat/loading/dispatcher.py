"""The address of a data service's dispatcher: as an option, and whether anything answers there."""

from __future__ import annotations

import re
import socket
import time
from typing import Any

from dogcat.core import commands
from dogcat.core.options import InputError, option

PROTOCOL = "grpc"
WANTED = f"give the dispatcher's address, like {PROTOCOL}://host:5050"

_ADDRESS = re.compile(rf"{PROTOCOL}://(\[[0-9A-Fa-f:.]+\]|[^/:\s\[\]]+):([0-9]{{1,5}})")
# Servers that are started together with this process need some seconds.
_SECONDS = 10.0
_BETWEEN = 0.2
# Of one attempt.
_LONGEST_ANSWER = 5.0


def dispatcher_option(help: str, if_empty: str = "", heading: str = "") -> Any:
    """Declares the address of a dispatcher."""
    return option("", help, if_empty=if_empty, heading=heading)


def is_dispatcher(address: str) -> bool:
    """Whether a text is the address of a dispatcher, like grpc://host:5050."""
    match = _ADDRESS.fullmatch(address)
    return match is not None and 0 < int(match[2]) < 2**16


def host_and_port(address: str) -> str:
    """The address without its protocol, like host:5050."""
    return address.partition("://")[2]


def require_answer(address: str, flag: str) -> None:
    """Waits some seconds for a dispatcher to take connections.

    Args:
        address: Its address.
        flag: The flag that gave it, for errors.

    Raises:
        InputError: None does.
    """
    if failure := failure_to_answer(address, _SECONDS):
        raise InputError(
            f"--{flag}={address}: no dispatcher answers there ({failure}); start one by "
            f"{commands.spelled('serve-data')} dispatcher, or give the address of one"
        )


def failure_to_answer(address: str, seconds: float) -> str:
    """Why nothing takes connections at an address for so many seconds; empty as soon as something does."""
    host, _, port = host_and_port(address).rpartition(":")
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_LONGEST_ANSWER).close()
            return ""
        except OSError as error:
            if time.monotonic() > deadline or isinstance(error, socket.gaierror):
                return error.strerror or str(error)
        time.sleep(_BETWEEN)
