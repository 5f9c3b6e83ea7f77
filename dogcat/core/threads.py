"""A function of many pictures in threads, and the one thread for networks."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Iterator, Sequence
from typing import Callable, TypeVar

from dogcat.core.progress import pictures_bar

Found = TypeVar("Found")

# Pictures for each call of a thread: enough to hide the cost of the call.
_CHUNK = 32


def of_each(function: Callable[[str], Found], keys: Sequence[str], workers: int, what: str) -> Iterator[Found]:
    """What a function gives of each picture, in the order of the pictures, with a progress bar.

    Args:
        function: Of a picture's key; what takes its time leaves Python's lock.
        keys: The pictures.
        workers: Number of threads.
        what: What the bar says.
    """
    chunks = (keys[at : at + _CHUNK] for at in range(0, len(keys), _CHUNK))
    with pictures_bar(len(keys), what) as progress, concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for found in pool.map(lambda chunk: list(map(function, chunk)), chunks):
            yield from found
            progress.update(len(found))


@functools.cache
def of_networks() -> concurrent.futures.ThreadPoolExecutor:
    """The one thread of a worker process for networks, whichever thread is asked for a piece.

    Precision is one of a thread in Keras 3, and one piece has all cores already.
    """
    return concurrent.futures.ThreadPoolExecutor(1)
