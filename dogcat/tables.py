"""CSV files in which names of files may stand: for programs, exact; for a person's spreadsheet, harmless."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dogcat.printing import printable

# What a spreadsheet takes for the beginning of a formula, in full width too.
_FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def for_spreadsheet(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A CSV that a person opens: no text in it runs as a formula, and control characters show as escapes.

    Text that looks like a formula gets an apostrophe in front, which a spreadsheet takes for "this is text"; a program
    would read another name, so nothing is to read this file but a person.
    """
    lines = as_csv([_harmless(name) for name in columns], ([_harmless(value) for value in row] for row in rows))
    # With the mark, since some spreadsheets take it for another encoding otherwise.
    return b"\xef\xbb\xbf" + lines


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return "'" + shown if shown.lstrip().startswith(_FORMULAS) else shown


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A line of column names and one for each row; None is empty, and names keep their bytes, whatever their encoding.

    Args:
        columns: Their names.
        rows: Values in the order of the columns.
    """
    return b"".join(csv_lines(columns, rows))


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The lines of `as_csv`, one after the other."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in itertools.chain([columns], rows):
        writer.writerow(row)
        yield text.getvalue().encode("utf-8", "surrogateescape")
        text.seek(0)
        text.truncate()
