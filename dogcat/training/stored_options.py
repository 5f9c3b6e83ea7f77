"""The options that a run's config.json holds."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

from dogcat.core import files, typed_json
from dogcat.core.options import InputError, Options

# Options that there were, each with the value by which it did nothing.
FORMER = {"magnify": 0.0}

# What is read of a config.json, and the largest that it may be.
_OF_CONFIG: dict[str, Any] = {"options": dict[str, Any]}
_MOST_BYTES = 2**25


def read(path: Path, options_class: type[Options]) -> dict[str, Any]:
    """Reads the options of a run from its config.json.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    try:
        stored: dict[str, Any] = typed_json.parse(files.read_bounded(path, _MOST_BYTES), _OF_CONFIG)["options"]
    except OSError as error:
        raise InputError(f"--config={path}: {error.strerror}; give the config.json of a run") from error
    except ValueError as error:
        raise InputError(f"--config={path}: is not a config.json of a run: {error}") from error
    types = typing.get_type_hints(options_class)
    for name in FORMER.keys() & stored.keys():
        if stored.pop(name) != FORMER[name]:
            raise InputError(f"--config={path}: {name} is no longer an option; take the line out to train without it")
    for name, value in stored.items():
        if name not in types:
            raise InputError(f"--config={path}: {name} is not an option")
        # A whole number is a right float.
        if type(value) is not types[name] and not (types[name] is float and type(value) is int):
            raise InputError(f"--config={path}: {name} is {value!r}; it must be of type {types[name].__name__}")
        if wanted := options_class.wanted(name, value):
            raise InputError(f"--config={path}: {name} is {value!r}; {wanted}")
    return stored
