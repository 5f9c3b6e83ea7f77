"""CSV files in which names of files may stand."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


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
