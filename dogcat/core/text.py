"""Text for a person: what came from files, made fit for a terminal; what a mistyped word may have been meant as."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# Of a line that tells of an error; its middle goes, since the beginning names what is wrong and the end what is right.
_LONGEST_LINE = 300
_LEFT_OUT = " ... "
# No name that there is to choose from is longer.
_LONGEST_NAME = 100


def printable(text: str) -> str:
    r"""Text on one line that any terminal shows: bytes that are no UTF-8 as \xff, control characters escaped."""
    if text.isprintable():
        # At once, as for each picture of a page, which is text of many thousand characters.
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def escaped(name: str) -> str:
    """A name as `printable` makes it, with each backslash doubled, so that no two names become the same."""
    return printable(name.replace("\\", "\\\\"))


def shortened(text: str, longest: int = _LONGEST_LINE) -> str:
    """Text as `printable` makes it, of `longest` characters at most: of more the middle is left out."""
    # No more than that of it is escaped, in which each character may become ten.
    text = printable(text if len(text) <= 2 * longest else text[:longest] + text[-longest:])
    if len(text) <= longest:
        return text
    kept = (longest - len(_LEFT_OUT)) // 2
    return text[:kept] + _LEFT_OUT + text[-kept:]


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of the known words that a mistyped one is most like; empty: it is like none of them."""
    of_folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word[:_LONGEST_NAME].lower(), of_folded, 1)
    return of_folded[found[0]] if found else ""


def one_of(word: str, known: Iterable[str]) -> str:
    """What to use in place of a word that is none of the known ones."""
    known = list(known)
    return f"use one of {', '.join(known)}{did_you_mean(word, known)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error about a word that is none of the known ones: which one is like it; empty: none is."""
    meant = nearest(word, known)
    return f"; did you mean {meant}?" if meant else ""


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        # A byte of a file name that is not UTF-8.
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
