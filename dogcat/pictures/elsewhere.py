"""Whether a process on another machine has the same program and sees the same files as this one."""

from __future__ import annotations

import importlib.metadata
import os
import socket
from pathlib import Path
from typing import Callable, NamedTuple, Union

import dogcat
from dogcat.core import places
from dogcat.core.calls import WorkLostError
from dogcat.core.places import Place, place_of

# Gives the bytes of a file of a folder; None of what is not a regular file.
SizeOf = Callable[[Place, str], Union[int, None]]

# What decides the pixels and bytes of pictures besides this program.
_LIBRARIES = ("pillow", "simplejpeg", "cykooz.resizer")


def _size_in(folder: Place, name: str) -> int | None:
    return places.size_of(folder / name)


class Seen(NamedTuple):
    """What a process has and sees, for another to compare itself with.

    Attributes:
        versions: Versions of what decides the result, by name, as pairs.
        folder: A folder, absolute, or an address.
        name: A file in it, by which it is known; empty: there is none.
        size: The file's size in bytes; None of what is not a regular file.
    """

    versions: tuple[tuple[str, str], ...]
    folder: str
    name: str
    size: int | None

    def require(self, size_of: SizeOf = _size_in) -> None:
        """Raises WorkLostError where this process has other versions, or does not see the folder."""
        for name, version in self.versions:
            here = _version(name)
            if here != version:
                raise WorkLostError(f"{this_process()} has {name} {here}, the command {version}; install that there")
        try:
            folder = place_of(self.folder)
            is_same = size_of(folder, self.name) == self.size if self.name else os.path.isdir(self.folder)
        except OSError:
            is_same = False
        if not is_same:
            raise WorkLostError(
                f"{this_process()} does not see {self.name} in {self.folder}; mount the folder there by the same path"
            )


def seen_here(folder: Place, names: list[str], size_of: SizeOf = _size_in) -> Seen:
    """What this process has and sees: of the files, the first that is there."""
    versions = tuple((name, _version(name)) for name in ("dogcat", *_LIBRARIES))
    for name in names:
        try:
            return Seen(versions, everywhere(folder), name, size_of(folder, name))
        except OSError:
            # A link that leads nowhere.
            continue
    return Seen(versions, everywhere(folder), "", None)


def everywhere(folder: Place) -> str:
    """The folder as another process can name it."""
    return str(folder.absolute() if isinstance(folder, Path) else folder)


def this_process() -> str:
    """Which process this is, for people."""
    return f"process {os.getpid()} of {socket.gethostname()}"


def _version(name: str) -> str:
    return dogcat.__version__ if name == "dogcat" else importlib.metadata.version(name)
