"""Being stopped from outside: SIGTERM and Ctrl-C become exceptions, and never in the middle of a step."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Terminated(BaseException):
    """SIGTERM came, as on a machine that is taken away; the message says how to go on."""


class Interrupts:
    """Raises Terminated for SIGTERM and KeyboardInterrupt for Ctrl-C; a context manager.

    For use in the main thread, where Python handles signals.
    """

    def __init__(self) -> None:
        """Leaves the handlers as they are until the block begins."""
        self._waiting: type[BaseException] | None = None
        self._deferring = False

    def __enter__(self) -> Interrupts:
        """Sets the handlers."""
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *error: object) -> None:
        """Sets the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that ends before what came in it is raised."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._waiting:
            error, self._waiting = self._waiting, None
            raise error()

    def ignore(self) -> None:
        """Lets nothing but SIGKILL come between, up to the end of the block."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        error = Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if not self._deferring:
            raise error()
        self._waiting = error
