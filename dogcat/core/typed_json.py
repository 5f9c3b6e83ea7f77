"""JSON from files, read within a bound and checked field by field."""

from __future__ import annotations

import json
import math
import reprlib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

from dogcat.core import files
from dogcat.core.options import InputError

# Whole numbers of more digits are none that a program counted.
_MOST_DIGITS = 18
_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", list: "a list"}


def read(path: Path, kind: Any, most_bytes: int) -> Any:
    """Reads a file of one JSON value.

    Args:
        path: The file.
        kind: See `parse`.
        most_bytes: The largest size that such a file has.

    Raises:
        InputError: It is larger, no JSON, or of another kind; the message names file and field.
        OSError: It cannot be read.
    """
    data = files.read_bounded(path, most_bytes)
    try:
        return parse(data, kind)
    except ValueError as error:
        raise InputError(f"{path}: is damaged: {error}") from error


def parse(data: bytes, kind: Any) -> Any:
    """A value from JSON.

    Args:
        data: JSON in UTF-8.
        kind: What it must be: a type like `int`, `list[str]`, `dict[str, float]` or `Optional[str]`; or a mapping from
            names to kinds, for an object that has at least these fields.

    Raises:
        ValueError: It is something else; the message names the field.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_whole_number,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except RecursionError as error:
        raise ValueError("its lists are nested too deeply") from error
    return checked(value, kind)


def checked(value: Any, kind: Any, place: str = "") -> Any:
    """A value of JSON as a kind; see `parse`, which names it by `place`."""
    if kind is Any:
        return value
    if isinstance(kind, Mapping):
        if not isinstance(value, dict):
            raise _wrong(value, "an object", place)
        for name, inner in kind.items():
            if name not in value:
                raise ValueError(f"{place or 'it'} lacks {name!r}")
            value[name] = checked(value[name], inner, f"{place}.{name}" if place else name)
        return value
    origin, inner_kinds = typing.get_origin(kind), typing.get_args(kind)
    if origin is Union:
        return None if value is None else checked(value, inner_kinds[0], place)
    if origin is list and isinstance(value, list):
        return [checked(item, inner_kinds[0], f"{place}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(value, "an object", place)
        return {name: checked(item, inner_kinds[1], f"{place}[{reprlib.repr(name)}]") for name, item in value.items()}
    # True is an int to Python, and a whole number is a right float.
    if type(value) is kind or (kind is float and type(value) is int):
        return float(value) if kind is float else value
    raise _wrong(value, _NAMES[origin or kind], place)


def _wrong(value: Any, wanted: str, place: str) -> ValueError:
    return ValueError(f"{place or 'it'} is {reprlib.repr(value)}, not {wanted}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{reprlib.repr(twice)} is there twice")
    return found


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{reprlib.repr(text)} is too large")
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")
