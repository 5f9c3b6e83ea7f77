"""Pictures of any source made into batches, read in threads ahead of the device."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from dogcat.core import runtime
from dogcat.dataset.encoding import Rejection

_Item = TypeVar("_Item")


def read_ahead(
    items: Iterable[_Item],
    read: Callable[[_Item], np.ndarray | Rejection],
    size: int,
    batch_size: int,
    rejections: dict[str, Rejection],
) -> Iterator[np.ndarray]:
    """Reads pictures in parallel, two batches ahead, and leaves black ones in place of those that cannot be read.

    Args:
        items: What stands for the pictures, in order.
        read: Makes an item uint8 [size, size, 3], or tells why it cannot; called from several threads.
        size: Height and width.
        batch_size: Pictures of each batch but the last.
        rejections: Gets the pictures that cannot be read, by key.

    Yields:
        uint8 [up to batch_size, size, size, 3].
    """
    black = np.zeros((size, size, 3), np.uint8)
    # Threads, since the decoders and the resizer run without the interpreter's lock.
    with concurrent.futures.ThreadPoolExecutor(runtime.available_cores()) as executor:
        waiting = iter(items)
        pending = collections.deque(executor.submit(read, item) for item in itertools.islice(waiting, 2 * batch_size))
        batch = []
        while pending:
            picture = pending.popleft().result()
            for item in itertools.islice(waiting, 1):
                pending.append(executor.submit(read, item))
            if isinstance(picture, Rejection):
                rejections[picture.key] = picture
                picture = black
            batch.append(picture)
            if len(batch) == batch_size or not pending:
                yield np.stack(batch)
                batch = []
