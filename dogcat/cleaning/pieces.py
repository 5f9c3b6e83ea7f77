"""What is found out about the pictures of a folder: in threads of this process, or in pieces by others that see it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, TypeVar

from dogcat.core import threads
from dogcat.core.calls import Calls
from dogcat.core.progress import pictures_bar
from dogcat.pictures import elsewhere
from dogcat.pictures.elsewhere import Seen

Found = TypeVar("Found")

# Pictures for each call of a worker elsewhere: a second's work, and some 20 KB of names.
_PICTURES = 256


def of_each(
    look: Callable[[Path, str, int], Found],
    folder: Path,
    keys: Sequence[str],
    max_pixels: int,
    workers: int | Calls[Any],
    what: str,
) -> Iterator[Found]:
    """What a function finds in each picture, in the order of the pictures, with a progress bar.

    Args:
        look: Of a folder, a key and `max_pixels`; a module's.
        folder: The folder that keys are relative to.
        keys: The pictures.
        max_pixels: Pictures of more pixels are rejected.
        workers: Number of threads; what takes its time leaves Python's lock. Or what calls `do_piece`.
        what: What the bar says.

    Raises:
        WorkLostError: A worker does not see the folder, or has other versions.
    """
    if isinstance(workers, int):
        yield from threads.of_each(lambda key: look(folder, key, max_pixels), keys, workers, what)
    else:
        for found in of_pieces(functools.partial(_look_at_all, look, max_pixels), folder, keys, workers, what):
            yield from found


def of_pieces(
    function: Callable[[Path, Sequence[str]], Found],
    folder: Path,
    keys: Sequence[str],
    calls: Calls[Any],
    what: str,
    size: int = 0,
) -> Iterator[Found]:
    """What a function gives of each piece of the pictures, in order, with a progress bar.

    Args:
        function: Of a folder and keys; it can be pickled.
        folder: The folder that keys are relative to.
        keys: The pictures; none: the function is called once, without any.
        calls: Call `do_piece`.
        what: What the bar says.
        size: Pictures of a piece; 0: as many as are looked at in a second.

    Raises:
        WorkLostError: A worker does not see the folder, or has other versions.
    """
    seen = elsewhere.seen_here(folder, list(keys))
    calls.check_each(seen.require)
    size = size or _PICTURES
    pieces = [keys[begin : begin + size] for begin in range(0, max(1, len(keys)), size)]
    with pictures_bar(len(keys), what) as progress:
        for found, piece in zip(calls.starmap((seen, function, piece) for piece in pieces), pieces):
            yield found
            progress.update(len(piece))


def do_piece(seen: Seen, function: Callable[[Path, Sequence[str]], Found], keys: Sequence[str]) -> Found:
    """Calls a function with some pictures in this process.

    Args:
        seen: What the command has and sees of the folder.
        function: As of `of_pieces`.
        keys: The pictures.

    Raises:
        WorkLostError: This process does not see the folder, or has other versions.
    """
    seen.require()
    found = function(Path(seen.folder), keys)
    # Had it gone meanwhile, all the rest would be unreadable.
    seen.require()
    return found


def _look_at_all(
    look: Callable[[Path, str, int], Found], max_pixels: int, folder: Path, keys: Sequence[str]
) -> list[Found]:
    return [look(folder, key, max_pixels) for key in keys]
