"""Options of the commands as keyword arguments."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping
from typing import Any

from dogcat.core.options import AnyOptions


def options_from(options_class: type[AnyOptions], given: Mapping[str, Any]) -> AnyOptions:
    """The options that a command would have with these values in its flags.

    Args:
        options_class: The command's options class.
        given: Values by the name of the flag; paths may be `os.PathLike`, words with commas between them lists.

    Raises:
        TypeError: There is no such option, or its value is of another type.
        InputError: A value cannot be used.
    """
    fields = {field.name: field for field in dataclasses.fields(options_class)}  # type: ignore[arg-type]
    types = typing.get_type_hints(options_class)
    values = {}
    for name, value in given.items():
        if name not in fields:
            meant = options_class.meant(name)
            raise TypeError(f"{name!r} is not an option" + (f"; did you mean {meant!r}?" if meant else ""))
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, (list, tuple)) and types[name] is str:
            value = ",".join(map(str, value))
        if types[name] is float and type(value) is int:
            value = float(value)
        # True is an int to Python.
        if type(value) is not types[name]:
            raise TypeError(f"{name} is {value!r}; it must be of type {types[name].__name__}")
        values[name] = value
    return options_class.from_given(values)
