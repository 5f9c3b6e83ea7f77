"""What all options classes share: frozen dataclasses that check themselves, a command each.

A field holds its default, its type and its help text; `dogcat.core.flags` turns the fields into flags, so
an option is written down once.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any, TypeVar

# More than any machine has cores; each takes memory.
MOST_WORKERS = 1024


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one line that names the file or option, the value, and what would be right.
    Commands print it and end with exit code 2.
    """


def option(
    default: Any,
    help: str,
    choices: tuple[str, ...] | None = None,
    positional: bool = False,
    several: bool = False,
    path: bool = False,
) -> Any:
    """Declares a field of an options class; `help` names the unit, the default is added to it.

    The value of a `positional` field, at most one in a class, may also stand on the command line as a bare word. The
    flag of a field for `several` words may be given more than once, which is the same as commas between the words. A
    `path` is one of this machine, `~` at its beginning a home folder.
    """
    metadata = {"help": help, "choices": choices, "positional": positional, "several": several, "path": path}
    return dataclasses.field(default=default, metadata=metadata)


# How an address of a bucket or a server begins.
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")


def words(value: str) -> list[str]:
    """The words of a flag's value, with commas between them; none of an empty one."""
    return value.split(",") if value else []


def local_path(place: str, said: str) -> str:
    """A path with the home folder in the place of `~` or `~user` at its beginning, as a shell puts it.

    Args:
        place: The path; empty: none.
        said: What gave it, for errors.

    Raises:
        InputError: There is no such home folder, or it is an address or text that is no path.
    """
    try:
        is_name = b"\0" not in os.fsencode(place)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise InputError(f"{said}: has characters in it that no file's name can have")
    if _SCHEME.match(place):
        raise InputError(f"{said}: addresses are not supported; give a path of this machine: mount it there or copy it")
    if place.startswith("./~"):
        # Else it would be a home folder to whoever leaves `./` out, like pathlib.
        return os.path.abspath(place)
    if not place.startswith("~"):
        return place
    user = place[1:].partition("/")[0]
    expanded = os.path.expanduser(place)
    # An empty HOME would lead to the root folder.
    if expanded.startswith("~") or not (user or os.environ.get("HOME", "unset")):
        why = f"there is no user {user}" if user else "the home folder is unknown, since HOME is not set"
        raise InputError(f"{said}: {why}; give the whole path, or ./{place} for what is called so here")
    return expanded


def is_utf8(text: str) -> bool:
    """Whether a text, like the name of a file, is UTF-8 and no other bytes: TensorFlow writes no other names."""
    return text == text.encode("utf-8", "replace").decode()


def refuse_unused(given: dict[str, Any], names: tuple[str, ...], why: str) -> None:
    """Raises InputError for the first of the flags `names` that the user gave, since it would do nothing."""
    for name in names:
        if name in given:
            raise InputError(f"--{name}={given[name]}: {why}")


AnyOptions = TypeVar("AnyOptions", bound="Options")


class Options:
    """Base of all options classes: checks every field that has a list of choices, and expands paths."""

    def __post_init__(self) -> None:
        """Puts home folders in the place of `~`.

        Raises:
            InputError: A value is none of its field's choices, a path is not one of this machine, or a number is beyond
                all that can be computed with.
        """
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            choices = field.metadata["choices"]
            value = getattr(self, field.name)
            if choices and value not in choices:
                raise InputError(f"--{field.name}={value}: use one of {', '.join(choices)}")
            if field.metadata["path"]:
                said = f"--{field.name}={value}"
                places = value.split(",") if field.metadata["several"] else [value]
                object.__setattr__(self, field.name, ",".join(local_path(place, said) for place in places))
            if isinstance(value, int):
                self.require(field.name, abs(value) < 2**63, "use a number of fewer digits")

    @classmethod
    def from_given(cls: type[AnyOptions], given: dict[str, Any]) -> AnyOptions:
        """The options of a user who gave these fields and no others."""
        return cls(**given)

    def require(self, name: str, right: bool, wanted: str) -> None:
        """Raises InputError, quoting the value of field `name`, unless `right`."""
        if not right:
            raise InputError(f"--{name}={getattr(self, name)}: {wanted}")
