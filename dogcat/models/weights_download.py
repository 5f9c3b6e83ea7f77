"""Downloads files of weights, and says why none came."""

from __future__ import annotations

import http.client
import time
import urllib.request
from pathlib import Path

# A server that gives less in a second, from so many seconds on, gives too little.
SECONDS_TO_ANSWER, _SLOWEST_BYTES, _BLOCK = 10, 1024, 2**16


class Unavailable(Exception):
    """A source that has no weights, or not the right ones; the message says why."""


def download(url: str, folder: Path) -> Path:
    """Fetches a file into a folder.

    Raises:
        Unavailable: It does not come, or too slowly.
    """
    path = folder / "weights.h5"
    started = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=SECONDS_TO_ANSWER) as answer, open(path, "wb") as file:
            for block in iter(lambda: answer.read1(_BLOCK), b""):
                file.write(block)
                seconds = time.monotonic() - started
                if seconds > SECONDS_TO_ANSWER and file.tell() < seconds * _SLOWEST_BYTES:
                    raise Unavailable(f"too slow: {file.tell():,} bytes came in {seconds:.0f} s")
            # What the server announced and did not send.
            if answer.length:
                raise Unavailable(f"broke off: {answer.length:,} bytes are missing")
    except (OSError, http.client.HTTPException) as error:
        # urllib wraps what the system said.
        said = getattr(error, "reason", error)
        raise Unavailable(f"not reached: {getattr(said, 'strerror', None) or said}") from error
    return path
