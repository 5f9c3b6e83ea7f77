"""What a stream leads to: whether it is a terminal that draws, how wide that is, and whether in colour."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

# Lines of prose that are longer are hard to read.
_WIDEST, _NARROWEST = 100, 30

BOLD, RED = "1", "1;31"


def draws(stream: TextIO) -> bool:
    """Whether a stream leads to a terminal that knows its width, and can move back in a line."""
    if not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return os.get_terminal_size(stream.fileno()).columns > 0


def width() -> int:
    """Columns of text for a person: those of the terminal, within what can be read; without one, the most."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 1)).columns))


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """Text in `BOLD` or `RED`, where the stream is a terminal and NO_COLOR (no-color.org) is not set."""
    return f"\033[{colour}m{text}\033[0m" if draws(stream) and not os.environ.get("NO_COLOR") else text
