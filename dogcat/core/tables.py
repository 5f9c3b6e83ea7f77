"""Text files and CSV in which names of files may stand.

Written for programs they are exact, for a person's spreadsheet harmless; read, they may come from any program: blank
lines, other ends of lines, other separators, UTF-16, or a pipe in place of a file.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import hashlib
import io
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dogcat.core import files
from dogcat.core.options import InputError
from dogcat.core.spelling import shortened, shown
from dogcat.core.text import printable

# The largest file that is read: many times the paths of all pictures that a data set can have.
_LARGEST_BYTES, _BLOCK = 2**29, 2**20
# That of UTF-32 begins like that of UTF-16.
_MARKS = (
    *((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")),
    *((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")),
)
# What stands between columns; the first column tells which.
_SEPARATORS = ",;\t|"
# What Excel writes into the first line to tell it.
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<separator>[,;\t|])"?[,;\t|]*', re.IGNORECASE)

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


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A text file that the user gave.

    Attributes:
        place: Flag and name, like --labels=labels.csv, for messages.
        text: Its text; bytes that are no UTF-8 as `os.fsdecode` gives them, so that names keep them.
        sha256: Hash of its bytes, hex.
    """

    place: str
    text: str
    sha256: str


def read_text(path: Path, flag: str) -> TextFile:
    """Reads a text file or, once and to its end, a pipe.

    Args:
        path: The file.
        flag: The flag that it was given with, like --labels.

    Raises:
        InputError: There is no such file, or it is not text.
        OSError: It cannot be read.
    """
    place = f"{flag}={path}"
    data = _read(path, place)
    return TextFile(place, decode(data, place), hashlib.sha256(data).hexdigest())


def _read(path: Path, place: str) -> bytes:
    """The content of a file or a pipe."""
    try:
        kind = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{place}: no such file") from error
    # To open a device may be an act of its own, and some never end.
    if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
        what = "a folder" if stat.S_ISDIR(kind) else "a device"
        raise InputError(f"{place}: is {what}; give a text file or a pipe")
    blocks, size = [], 0
    with files.naming(path), open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            blocks.append(block)
            size += len(block)
            if size > _LARGEST_BYTES:
                raise InputError(f"{place}: has more than {_LARGEST_BYTES:,} bytes, the most that such a file can have")
    return b"".join(blocks)


def decode(data: bytes, place: str) -> str:
    """The text of UTF-8, or of what a byte order mark says.

    Args:
        data: The bytes; those that are no UTF-8 are kept, as `os.fsdecode` keeps them.
        place: Where they come from, for messages.

    Raises:
        InputError: They are no text.
    """
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", ""))
    if mark:
        try:
            text = data[len(mark) :].decode(encoding)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{place}: begins as {encoding[:6].upper()} does, and byte {error.start + len(mark)} is none; save it "
                "as UTF-8"
            ) from error
    else:
        text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    zero = text.find("\0")
    if zero >= 0:
        line = text.count("\n", 0, zero) + 1
        raise InputError(f"{place}: is not text, since line {line} holds a zero byte; save it as text in UTF-8")
    return text


def lines_of(text: str) -> list[str]:
    r"""The lines of a text without their ends: `\n`, `\r\n` of Windows or, where there are no others, `\r`."""
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return [line.removesuffix("\r") for line in text.split("\n")]


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        line: The number of its line, from 1.
        fields: As many as the header has.
    """

    line: int
    fields: list[str]


class Table(NamedTuple):
    """A CSV.

    Attributes:
        header: Names of the columns.
        rows: The rows, blank ones left out.
    """

    header: list[str]
    rows: list[Row]


def read_table(file: TextFile, first: str, example: str) -> Table:
    """Reads a CSV with commas, semicolons, tabs or bars; blank lines and spaces around fields count for nothing.

    Args:
        file: The file.
        first: Name of the first column, whose fields are names and keep their spaces.
        example: What the first line may be, for messages.

    Raises:
        InputError: It is not a CSV, has another first column, or a row of another length.
    """
    # As a file would give them, with their ends.
    lines = iter(io.StringIO(file.text, newline=""))
    top = next((line for line in lines if line.strip()), "")
    told = _SEPARATOR_LINE.fullmatch(top.strip())
    if told:
        top = next((line for line in lines if line.strip()), "")
    separator = told["separator"] if told else _separator(top, first)
    # `id, label`: then spaces follow the separators of all lines, and quotes may follow these.
    is_spaced = f"{separator} " in top
    reader = csv.reader(
        io.StringIO(file.text, newline=""), delimiter=separator, skipinitialspace=is_spaced, strict=True
    )
    header: list[str] = []
    rows: list[Row] = []
    try:
        for row in itertools.islice(filter(_is_filled, reader), 1 if told else 0, None):
            fields = [row[0], *map(str.strip, row[1:])]
            if not header:
                # Spreadsheets end lines with separators of empty columns.
                header = fields[: max(at for at, name in enumerate(fields, 1) if name)]
                if header[0].strip().lower() != first:
                    raise InputError(
                        f"{file.place}: line {reader.line_num} is {shown(separator.join(row))}; the first line must be "
                        f"{example}"
                    )
                header[0] = first
            elif len(fields) < len(header) or any(fields[len(header) :]):
                raise InputError(
                    f"{file.place}: line {reader.line_num} is {shown(separator.join(row))}; write "
                    f"{shortened(separator.join(header))}"
                )
            else:
                rows.append(Row(reader.line_num, fields[: len(header)]))
    except csv.Error as error:
        raise InputError(f"{file.place}: line {reader.line_num}: {error}; write a CSV that begins {example}") from error
    if not header:
        raise InputError(f"{file.place}: is empty; the first line must be {example}")
    return Table(header, rows)


def _is_filled(row: list[str]) -> bool:
    return any(map(str.strip, row))


def _separator(line: str, first: str) -> str:
    """What stands behind the name of the first column in the first line."""
    for separator in _SEPARATORS:
        name, found, _ = line.partition(separator)
        if found and name.strip().strip("\"'").strip().lower() == first:
            return separator
    return ","
