"""Standard input, output and error that may be closed, full or gone, and yet stop no work."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

# What stands for the file's name in an error of writing to it.
STANDARD_OUTPUT = "standard output"


class _Stream(io.TextIOWrapper):
    """A stream on which printing goes on after a failure, into /dev/null.

    Attributes:
        error: The first failure.
    """

    def __init__(self, descriptor: int, before: Any, closed: OSError | None, must_print: bool) -> None:
        """Takes the descriptor, and whether a failure is raised.

        Args:
            descriptor: The descriptor.
            before: The stream that has it, or None: that of its encoding.
            closed: What every write to it would have given, if it was closed.
            must_print: Whether the failure is raised.
        """
        # Other programs of a terminal may have set it not to wait; a print would then end in the middle.
        os.set_blocking(descriptor, True)
        super().__init__(
            io.BufferedWriter(io.FileIO(descriptor, "wb", closefd=False)),
            encoding=getattr(before, "encoding", None) or "utf-8",
            # Whatever is printed without a thought to it prints.
            errors="backslashreplace",
            # In a pipe or a log file lines come as they are printed, in order with those of the other stream.
            line_buffering=True,
        )
        self._closed = closed
        self._must_print = must_print
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Writes.

        Raises:
            OSError: It is the first write that fails, and the stream must print.
        """
        try:
            if self._closed and not self.error:
                raise self._closed
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Writes what is kept, as `write` does."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        # What is still kept has to go somewhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        error.filename = STANDARD_OUTPUT
        self.error = error
        if self._must_print:
            raise error


class Output:
    """Standard output and standard error of this process, set up so that printing never fails."""

    def __init__(self, must_print: bool) -> None:
        """Puts them in the place of Python's own, and /dev/null in the place of what is closed.

        To be called before a file is opened: one that got the number of a closed stream would be printed into.

        Args:
            must_print: Whether what is printed is what the command is for: then the first print that fails raises
                an OSError that names standard output.
        """
        closed = _open_closed()
        self._stream = _Stream(1, sys.stdout, closed.get(1), must_print)
        sys.stdout = self._stream
        sys.stderr = _Stream(2, sys.stderr, closed.get(2), must_print=False)

    @property
    def error(self) -> OSError | None:
        """Why something that was printed on standard output is lost; None: nothing is."""
        with contextlib.suppress(OSError):
            self._stream.flush()
        return self._stream.error


def _open_closed() -> dict[int, OSError]:
    """Opens /dev/null for each of the three that is closed; returns what writing to it would have given."""
    closed = {}
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError as error:
            closed[descriptor] = OSError(error.errno, error.strerror)
            # The lowest free number is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    return closed
