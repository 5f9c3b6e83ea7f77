"""Lines of JSON with a checksum each, in files of unfinished work: what was damaged is told from what was written."""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

_END = re.compile(rb', "crc32": (\d{1,10})\}\n\Z')


def line(content: dict[str, Any]) -> bytes:
    """An object, not an empty one, as a line of JSON that holds its own checksum too."""
    body = json.dumps(content).encode()[:-1]
    return body + b', "crc32": %d}\n' % zlib.crc32(body)


def parse(data: bytes) -> dict[str, Any]:
    """The object that `line` was given.

    Raises:
        ValueError: It is not a whole line as `line` made it.
    """
    end = _END.search(data)
    if not end or zlib.crc32(data[: end.start()]) != int(end[1]):
        raise ValueError("the checksum does not match")
    try:
        return json.loads(data[: end.start()] + b"}")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
