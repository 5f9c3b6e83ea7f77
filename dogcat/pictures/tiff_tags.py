"""The tags of a TIFF file, and how much of them is too much."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from dogcat.pictures.file_pieces import TooComplex

# The sizes of TIFF's types of values, and the tags of a picture that lead to further tags.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_FURTHER = (34665, 34853, 40965)
_OFFSETS = (273, 324)
MOST_TAGS = 4096
MOST_STRIPS = 2**18
_SPARE_BYTES = 2**20


def check(file: BinaryIO) -> None:
    """Refuses a TIFF whose tags claim more than the file holds, as tags that share their values do."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"\x2b\0", b"\0\x2b")
    count_form, entry_form, place_form = ("Q", "HHQ8s", "Q") if big else ("H", "HHL4s", "L")
    inline = struct.calcsize(order + place_form)
    place_at = 8 if big else 4
    if len(head) < place_at + inline:
        return
    pending = [struct.unpack(order + place_form, head[place_at : place_at + inline])[0]]
    seen, claimed, tags = set(), 0, 0
    while pending:
        place = pending.pop()
        if place in seen or place >= size:
            continue
        seen.add(place)
        file.seek(place)
        counted = file.read(struct.calcsize(order + count_form))
        if len(counted) < struct.calcsize(order + count_form):
            continue
        (count,) = struct.unpack(order + count_form, counted)
        tags += count
        if tags > MOST_TAGS:
            raise TooComplex(f"more than {MOST_TAGS} tags")
        entries = file.read(count * struct.calcsize(order + entry_form))
        whole = len(entries) // struct.calcsize(order + entry_form) * struct.calcsize(order + entry_form)
        for tag, kind, number, value in struct.iter_unpack(order + entry_form, entries[:whole]):
            length = number * _SIZES.get(kind, 0)
            if length > inline:
                claimed += max(0, min(length, size - struct.unpack(order + place_form, value)[0]))
            elif tag in _FURTHER and kind in (4, 13, 16, 18):
                pending.append(struct.unpack(order + place_form, value)[0])
            if tag in _OFFSETS and number > MOST_STRIPS:
                raise TooComplex(f"{number} strips or tiles, more than {MOST_STRIPS}")
        if claimed > 2 * size + _SPARE_BYTES:
            raise TooComplex("tags of more bytes than the file has")
