"""Being stopped from outside: SIGTERM, SIGHUP and Ctrl-C become exceptions, and never in the middle of a step."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

# Those that ask a process to end: SIGHUP comes when its terminal goes.
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# A finalizer is over by then.
_SECONDS_UNTIL_SENT_AGAIN = 0.1


class Terminated(BaseException):
    """SIGTERM or SIGHUP came, as on a machine that is taken away; the message says how to go on.

    Attributes:
        what: What happened, for a person.
    """

    what = "terminated"


class WorkerLost(Terminated):
    """Another process that this one works with is gone."""

    what = "stopped, since another worker is gone"


class Interrupts:
    """Raises Terminated for SIGTERM and SIGHUP, and KeyboardInterrupt for Ctrl-C; a context manager.

    A signal that is ignored stays so, as under nohup, or Ctrl-C in a shell's background. One that comes in a finalizer,
    whose exceptions Python drops, comes once more after it. In other threads than the main one, where Python handles
    signals, it does nothing.

    Attributes:
        noted: The exception of a signal that came and was not raised.
    """

    def __init__(self) -> None:
        """Leaves the handlers as they are until the block begins."""
        self.noted: type[BaseException] | None = None
        self._deferring = self._only_noting = False

    def __enter__(self) -> Interrupts:
        """Sets the handlers."""
        self._is_main = threading.current_thread() is threading.main_thread()
        heard = [number for number in SIGNALS if self._is_main and signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._handle) for number in heard}
        if self._is_main:
            self._hook_before, sys.unraisablehook = sys.unraisablehook, self._send_again
        return self

    def __exit__(self, *error: object) -> None:
        """Sets the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._is_main:
            sys.unraisablehook = self._hook_before

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A block that ends before what came in it is raised."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self.noted and not self._only_noting:
            error, self.noted = self.noted, None
            raise error()

    def note_only(self) -> None:
        """From now on raises nothing: whoever asks other processes first looks at `noted`."""
        self._only_noting = True

    def ignore(self) -> None:
        """Lets nothing but SIGKILL come between, up to the end of the block."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def leave(self) -> None:
        """Ends the block where only the process's end is left: Ctrl-C ends it at once, the others change nothing."""
        for number in self._before:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else signal.SIG_IGN)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        error = KeyboardInterrupt if number == signal.SIGINT else Terminated
        if not (self._deferring or self._only_noting):
            self._last = number
            raise error()
        self.noted = error

    def _send_again(self, dropped: sys.UnraisableHookArgs) -> None:
        """Sends a signal once more whose exception Python dropped, as it does with those that a finalizer raises."""
        if dropped.exc_type not in (Terminated, KeyboardInterrupt):
            self._hook_before(dropped)
            return
        main_thread = threading.main_thread().ident
        assert main_thread is not None
        timer = threading.Timer(_SECONDS_UNTIL_SENT_AGAIN, signal.pthread_kill, (main_thread, self._last))
        timer.daemon = True
        timer.start()
