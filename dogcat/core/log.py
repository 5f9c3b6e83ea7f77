"""Lines in which the library tells of its work: the logger `dogcat`, which a program may silence or take over."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from dogcat.core.text import printable

_LOGGER = logging.getLogger("dogcat")


class _Printer(logging.Handler):
    """Prints each line on what is standard output at the time; where that fails, its error is raised as by `print`."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record))


_LOGGER.addHandler(_Printer())
_LOGGER.setLevel(logging.INFO)
# What is printed here would be printed again by a program whose own logging takes everything.
_LOGGER.propagate = False


def tell(line: str) -> None:
    """Logs a line about the work, in printable characters."""
    _LOGGER.info("%s", printable(line))


@contextlib.contextmanager
def at_level(level: int, name: str = _LOGGER.name) -> Iterator[None]:
    """A block in which a logger, this library's or another's, passes on what is of a level or above."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
