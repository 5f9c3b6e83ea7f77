"""Text that came from files, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Text on one line that any terminal shows: bytes that are no UTF-8 as \xff, control characters escaped."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        # A byte of a file name that is no UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
