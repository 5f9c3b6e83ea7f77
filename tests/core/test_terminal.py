"""What is drawn and coloured on a terminal, and what elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import struct
import sys
import termios

import pytest

from dogcat.core import flags, help_text, progress, terminal
from dogcat.core.options import Options, option


@dataclasses.dataclass(frozen=True)
class Some(Options):
    folder: str = option("here", "Folder of all.")


@contextlib.contextmanager
def screen(monkeypatch, columns: int = 80, **variables: str):
    """A terminal in the place of standard output and error; gives what waits for text on it."""
    shown, descriptor = os.openpty()
    os.set_blocking(shown, False)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with open(shown, "rb", buffering=0) as reader, open(descriptor, "w") as stream, monkeypatch.context() as patch:
        patch.delenv("NO_COLOR", raising=False)
        for name, value in {"TERM": "xterm", **variables}.items():
            patch.setenv(name, value)
        # Not in a fixture, after which pytest puts its own there.
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        yield lambda: (reader.read(1000) or b"").decode()


def test_on_a_terminal_the_word_error_is_red_and_headings_are_bold(monkeypatch):
    with screen(monkeypatch) as text:
        assert flags.fail("x") == 2
        assert text() == "\x1b[1;31merror:\x1b[0m x\r\n"
        assert "\n\x1b[1mFlags:\x1b[0m\n" in help_text.help_text(Some, "this", "")


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_coloured_where_the_user_or_the_terminal_wants_none(monkeypatch, variables):
    with screen(monkeypatch, **variables) as text:
        flags.fail("x")
        assert text() == "error: x\r\n"
        assert "\x1b" not in help_text.help_text(Some, "this", "")


def test_nothing_is_coloured_in_a_pipe(capsys):
    flags.fail("x")
    assert capsys.readouterr().err == "error: x\n"
    assert "\x1b" not in help_text.help_text(Some, "this", "")


@pytest.mark.parametrize(
    ("term", "columns", "is_drawn"), [("xterm", 80, True), ("dumb", 80, False), ("xterm", 0, False)]
)
def test_a_bar_is_drawn_where_the_terminal_has_a_width_and_told_in_lines_elsewhere(
    monkeypatch, term, columns, is_drawn
):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 1e-9)
    with screen(monkeypatch, columns, TERM=term) as text:
        with progress.pictures_bar(4, "reading") as bar:
            bar.update(2)
        assert text().startswith("\rreading:" if is_drawn else "reading: 2 of 4 pictures, ")


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("200", 100), ("5", 30), ("0", 100)])
def test_help_is_as_wide_as_the_terminal_within_reason(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.width() == width
    text = help_text.help_text(Some, "this", "many words " * 99)
    assert width - 12 < max(map(len, text.splitlines())) <= max(width, 33)
