"""Text that came from files, made fit for a terminal."""

from __future__ import annotations

# Of a line that tells of an error; its middle goes, since the beginning names what is wrong and the end what is right.
_LONGEST_LINE = 300
_LEFT_OUT = " ... "


def printable(text: str) -> str:
    r"""Text on one line that any terminal shows: bytes that are no UTF-8 as \xff, control characters escaped."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def shortened(text: str, longest: int = _LONGEST_LINE) -> str:
    """Text as `printable` makes it, of `longest` characters at most: of more the middle is left out."""
    # No more than that of it is escaped, in which each character may become ten.
    text = printable(text if len(text) <= 2 * longest else text[:longest] + text[-longest:])
    if len(text) <= longest:
        return text
    kept = (longest - len(_LEFT_OUT)) // 2
    return text[:kept] + _LEFT_OUT + text[-kept:]


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        # A byte of a file name that is not UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
