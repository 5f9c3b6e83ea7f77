"""What all options classes share: frozen dataclasses that check themselves, a command each.

A field holds its default, its type and its help text; `dogcat.core.flags` turns the fields into flags, so
an option is written down once.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from typing import Any, TypeVar

from dogcat.core.bounds import Bounds
from dogcat.core.text import nearest, one_of

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
    bounds: Bounds | None = None,
    if_empty: str = "",
    positional: bool = False,
    several: bool = False,
    path: bool = False,
    remote: bool = False,
    heading: str = "",
) -> Any:
    """Declares a field of an options class; its choices or bounds and its default are added to `help`.

    Where a value may not be empty, `if_empty` says what to give. The value of a `positional` field, at most one in a
    class, may also stand on the command line as a bare word. The flag of a field for `several` words may be given more
    than once, which is the same as commas between the words. A `path` is one of this machine, `~` at its beginning a
    home folder; a `remote` one may be an address as well, like gs://bucket/folder. A `heading` stands above the field
    and those that follow in --helpfull; --help ends before the first.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "bounds": bounds,
        "if_empty": if_empty,
        "positional": positional,
        "several": several,
        "path": path,
        "remote": remote,
        "heading": heading,
    }
    return dataclasses.field(default=default, metadata=metadata)


def output_folder_option(default: str, help: str, positional: bool = False) -> Any:
    """Declares the folder that a command writes into."""
    return option(default, help, if_empty="give a folder", positional=positional, path=True)


def seed_option(help: str, at_most: float = math.inf) -> Any:
    """Declares the seed of what a command draws."""
    return option(0, help, bounds=Bounds(at_least=0, at_most=at_most))


def workers_option(help: str) -> Any:
    """Declares the number of threads or processes that share a command's work."""
    return option(0, help, bounds=Bounds(at_least=1, at_most=MOST_WORKERS, zero="for one per processor core"))


# What options are called elsewhere, in timm, fastai, Keras and others, where the name is not like that of ours.
_CALLED_ELSEWHERE = {
    "lr": ("learning_rate",),
    **dict.fromkeys(("b", "bs"), ("batch_size",)),
    **dict.fromkeys(("j", "num_workers"), ("workers",)),
    **dict.fromkeys(("model", "arch"), ("backbone",)),
    **dict.fromkeys(("data", "dataset", "data_dir", "path"), ("images", "tfrecords", "folder")),
    **dict.fromkeys(("ckpt", "checkpoint"), ("model", "init_from")),
    **dict.fromkeys(("amp", "dtype"), ("precision",)),
    **dict.fromkeys(("device", "gpus"), ("strategy",)),
    "aug": ("augment",),
    "imgsz": ("image_size",),
    "opt": ("optimizer",),
    "pretrained": ("weights",),
    "wd": ("weight_decay",),
}

# How an address of a bucket or a server begins.
_SCHEME = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")


def is_address(place: str) -> bool:
    """Whether a place is an address, like gs://bucket/folder, and not a path of this machine."""
    return _SCHEME.match(place) is not None


def words(value: str) -> list[str]:
    """The words of a flag's value, with commas between them; none of an empty one."""
    return value.split(",") if value else []


def local_path(place: str, said: str) -> str:
    """A path with the home folder in the place of `~` or `~user` at its beginning, as a shell puts it.

    Args:
        place: The path; empty: none.
        said: What gave it, for errors.

    Raises:
        InputError: There is no such home folder, or it is an address or text that is not a path.
    """
    try:
        is_name = b"\0" not in os.fsencode(place)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise InputError(f"{said}: has characters in it that no file's name can have")
    if is_address(place):
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
            raise InputError(f"{as_flag(name, given[name])}: {why}")


def as_flag(name: str, value: Any) -> str:
    """A field with its value as it is given on the command line, like --epochs=3 or --noreport."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value}"


def in_words(value: Any) -> str:
    """A value of a field in words."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "empty" if value == "" else str(value)


AnyOptions = TypeVar("AnyOptions", bound="Options")


class Options:
    """Base of all options classes: checks every field against its declaration, and expands paths."""

    def __post_init__(self) -> None:
        """Puts home folders in the place of `~`.

        Raises:
            InputError: A field cannot have its value, or a path is not one of this machine.
        """
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            wanted = self.wanted(field.name, value)
            self.require(field.name, not wanted, wanted)
            if field.metadata["path"] and not (field.metadata["remote"] and is_address(value)):
                said = f"--{field.name}={value}"
                places = value.split(",") if field.metadata["several"] else [value]
                object.__setattr__(self, field.name, ",".join(local_path(place, said) for place in places))

    @classmethod
    def wanted(cls, name: str, value: Any) -> str:
        """What would be right for a field in place of a value that it cannot have; empty: it can."""
        [declared] = [field.metadata for field in dataclasses.fields(cls) if field.name == name]  # type: ignore[arg-type]
        choices = declared["choices"]
        bounds: Bounds | None = declared["bounds"]
        if_empty: str = declared["if_empty"]
        if choices and value not in choices:
            return one_of(str(value), choices)
        if isinstance(value, int) and abs(value) >= 2**63:
            return "use a number of fewer digits"
        if bounds and not bounds.hold(value):
            return bounds.advice(value)
        return if_empty if value == "" else ""

    @classmethod
    def from_given(cls: type[AnyOptions], given: dict[str, Any]) -> AnyOptions:
        """The options of a user who gave these fields and no others."""
        return cls(**given)

    @classmethod
    def said_default(cls, name: str) -> str:
        """The value of a field, in words, of a user who gives nothing."""
        return in_words(getattr(cls.from_given({}), name))

    @classmethod
    def meant(cls, name: str) -> str:
        """The field that a name which is none may have been meant as; empty: it is like none."""
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        elsewhere = (known for known in _CALLED_ELSEWHERE.get(name, ()) if known in names)
        return next(elsewhere, "") or nearest(name, names)

    def require(self, name: str, right: bool, wanted: str) -> None:
        """Raises InputError, quoting the value of field `name`, unless `right`."""
        if not right:
            raise InputError(f"{as_flag(name, getattr(self, name))}: {wanted}")
