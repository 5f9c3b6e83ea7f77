"""Something that is wrong with a data set, told on one line."""

from __future__ import annotations

from typing import NamedTuple

from dogcat.core.text import printable


class Problem(NamedTuple):
    """Something that is wrong, at one place.

    Attributes:
        shard: Name of the file; the manifest's where a whole split is concerned.
        what: What is wrong.
        record: Place of the record in the shard, from 0; None where the whole file is concerned.
        offset: Where that record begins in the file, in bytes.
        filename: Key of the record's picture, where it can be read.
    """

    shard: str
    what: str
    record: int | None = None
    offset: int | None = None
    filename: str | None = None

    def __str__(self) -> str:
        """The problem on one line."""
        place = [printable(self.shard)]
        if self.record is not None:
            place.append(f"record {self.record} at byte {self.offset}")
        if self.filename is not None:
            place.append(printable(self.filename))
        return f"{', '.join(place)}: {printable(self.what)}"
