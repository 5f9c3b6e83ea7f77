"""Reads the part of HDF5 in which Keras stores weights: groups, float arrays in one piece, and lists of names.

HDF5's own library follows whatever a file says: to other files, and on some damaged ones it never ends or takes all
memory. Here every address is inside the file, and nothing is read twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Far above what the deepest network of Keras takes, which has 4,000 groups and arrays: one that is made to take long
# refers to the same bytes many times.
_MOST_READS, _DEEPEST = 2_000_000, 20
_LONGEST_NAME = 255

# Kinds of messages in the header of an object.
_DATASPACE, _DATATYPE, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE, _CONTINUATION, _MEMBERS = 1, 3, 7, 8, 11, 12, 16, 17
_IS_SHARED = 2
_COMPACT, _CONTIGUOUS = 0, 1
_SOFT_LINK = 2
# Classes of types, and the two kinds of texts: of one length, and each of its own length in a heap.
_STRING, _OF_ANY_LENGTH, _IS_TEXT = 3, 9, 1

# The bytes of the types, little-endian.
_FLOATS: dict[bytes, np.dtype[Any]] = {
    struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 31, 0, 4, 0, 32, 23, 8, 0, 23, 127): np.dtype("<f4"),
    struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 15, 0, 2, 0, 16, 10, 5, 0, 10, 15): np.dtype("<f2"),
}


class Array(NamedTuple):
    """An array: its path, shape and type, where its numbers are in the file, and why they are not read, if so."""

    path: str
    shape: tuple[int, ...]
    dtype: Any
    start: int
    problem: str


class Group(NamedTuple):
    """A group: its members, and the attributes of it that are lists of names; of others the names alone, and None."""

    members: dict[str, Group | Array]
    attributes: dict[str, list[str] | None]

    def find(self, path: str) -> Group | Array | None:
        """A member, or a member of one, by the names on the way."""
        found: Group | Array | None = self
        for name in path.split("/"):
            found = found.members.get(name) if isinstance(found, Group) else None
        return found


class _Message(NamedTuple):
    kind: int
    flags: int
    start: int
    size: int


class File:
    """An HDF5 file.

    Attributes:
        root: All that is in it, but the numbers.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Reads which arrays an open file has.

        Raises:
            ValueError: It is damaged, or has links or groups of other kinds than Keras stores.
        """
        self._file = file
        self._size = file.seek(0, 2)
        self._reads = 0
        self._seen: set[int] = set()
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        versions = self._read(0, 16)
        # Addresses and sizes of 8 bytes, groups as before HDF5 1.8: h5py's default, and so what Keras writes.
        if versions[:8] != SIGNATURE or versions[8:11] + versions[12:15] != b"\0\0\0\0\x08\x08":
            raise ValueError("it is not stored as Keras stores weights")
        [base] = self._unpack("<Q", 24)
        _, root = self._unpack("<QQ", 56)
        if base:
            raise ValueError("it does not begin at its beginning")
        found = self._object(root, "", 0)
        if not isinstance(found, Group):
            raise ValueError("it has no groups")
        self.root = found

    def numbers(self, array: Array) -> np.ndarray:
        """The numbers of an array, float32.

        Raises:
            ValueError: They are not float32 in one piece in this file, or one is infinite or not a number.
        """
        if array.problem:
            raise ValueError(f"{array.path[-100:]!r} {array.problem}")
        count = int(np.prod(array.shape, dtype=object))
        data = np.frombuffer(self._read(array.start, count * array.dtype.itemsize), array.dtype)
        if not np.isfinite(data).all():
            raise ValueError(f"{array.path} has an element that is infinite or not a number")
        return data.astype(np.float32, copy=False).reshape(array.shape)

    def _read(self, start: int, size: int) -> bytes:
        self._reads += 1
        if self._reads > _MOST_READS:
            raise ValueError("it has more in it than any network of Keras")
        if start + size > self._size:
            raise ValueError("it is damaged or cut off")
        self._file.seek(start)
        data = self._file.read(size)
        if len(data) != size:
            raise ValueError("it is damaged or cut off")
        return data

    def _unpack(self, form: str, start: int) -> tuple[Any, ...]:
        return struct.unpack(form, self._read(start, struct.calcsize(form)))

    def _visit(self, address: int, place: str) -> int:
        if address in self._seen:
            raise ValueError(f"{place[-100:]!r} is there twice")
        self._seen.add(address)
        return address

    def _object(self, address: int, place: str, depth: int) -> Group | Array:
        if depth > _DEEPEST:
            raise ValueError(f"its groups are nested more than {_DEEPEST} deep")
        messages = list(self._messages(self._visit(address, place)))
        by_kind = {message.kind: message for message in messages}
        if _MEMBERS in by_kind:
            attributes = dict(self._attribute(message) for message in messages if message.kind == _ATTRIBUTE)
            members = {
                name: self._object(member, f"{place}/{name}", depth + 1)
                for name, member in self._names(by_kind[_MEMBERS], place)
            }
            return Group(members, attributes)
        needed = {_DATASPACE, _DATATYPE, _LAYOUT}
        if not needed <= by_kind.keys() or any(by_kind[kind].flags & _IS_SHARED for kind in needed):
            raise ValueError(f"{place[-100:]!r} is neither a group nor an array of the kinds that Keras stores")
        shape = self._shape(by_kind[_DATASPACE])
        dtype = _FLOATS.get(self._read(by_kind[_DATATYPE].start, 20))
        if dtype is None:
            return Array(place, shape, None, 0, "does not hold float32 numbers")
        version, layout = self._unpack("<BB", by_kind[_LAYOUT].start)
        at, form = by_kind[_LAYOUT].start + 2, {_COMPACT: "<H", _CONTIGUOUS: "<QQ"}.get(layout)
        if version != 3 or form is None or by_kind.keys() & {_EXTERNAL, _FILTERS}:
            return Array(place, shape, dtype, 0, "is compressed, in pieces, or in another file")
        stored = self._unpack(form, at)
        start = stored[0] if layout == _CONTIGUOUS else at + 2
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        is_whole = stored[-1] == size and start + size <= self._size
        return Array(place, shape, dtype, start, "" if is_whole else f"lacks a part of its {size:,} bytes")

    def _messages(self, address: int) -> Iterator[_Message]:
        """The messages of an object's header."""
        version, left, size = self._unpack("<BxH4xI", address)
        if version != 1:
            raise ValueError("it is not stored as Keras stores weights")
        blocks = [(address + 16, size)]
        for at, length in blocks:
            end = at + length
            while at + 8 <= end and left:
                kind, size, flags = self._unpack("<HHB", at)
                at, left = at + 8, left - 1
                if at + size > end:
                    raise ValueError("it is damaged or cut off")
                if kind == _CONTINUATION:
                    blocks.append(self._unpack("<QQ", at))
                else:
                    yield _Message(kind, flags, at, size)
                at += size

    def _names(self, members: _Message, place: str) -> Iterator[tuple[str, int]]:
        """Names and addresses of the members of a group."""
        tree, heap = self._unpack("<QQ", members.start)
        signature, _, heap_size, _, heap_start = self._unpack("<4s4sQQQ", self._visit(heap, place))
        if signature != b"HEAP":
            raise ValueError("it is damaged or cut off")
        nodes = [tree]
        while nodes:
            node = self._visit(nodes.pop(), place)
            signature = self._read(node, 4)
            if signature == b"TREE":
                kind, count = self._unpack("<BxH", node + 4)
                if kind:
                    raise ValueError("it is damaged or cut off")
                nodes += [self._unpack("<Q", node + 32 + 16 * number)[0] for number in range(count)]
                continue
            if signature != b"SNOD":
                raise ValueError("it is damaged or cut off")
            for number in range(self._unpack("<H", node + 6)[0]):
                offset, address, kind = self._unpack("<QQI", node + 8 + 40 * number)
                if offset >= heap_size:
                    raise ValueError("it is damaged or cut off")
                start = heap_start + offset
                longest = min(_LONGEST_NAME + 1, heap_size - offset, max(0, self._size - start))
                name, end, _ = self._read(start, longest).partition(b"\0")
                if not end:
                    raise ValueError(f"a name in {place[-100:]!r} is too long")
                text = name.decode("utf-8")
                if kind == _SOFT_LINK:
                    raise ValueError(f"{f'{place}/{text}'[-100:]!r} is a link")
                yield text, address

    def _shape(self, space: _Message) -> tuple[int, ...]:
        version, rank = self._unpack("<BB", space.start)
        head = {1: 8, 2: 4}.get(version)
        if head is None or head + 8 * rank > space.size or rank > 8:
            raise ValueError("it is damaged or cut off")
        return self._unpack(f"<{rank}Q", space.start + head)

    def _attribute(self, message: _Message) -> tuple[str, list[str] | None]:
        """Name of an attribute, and the names that it lists; None where it holds something else."""
        version, name_size, type_size, space_size = self._unpack("<BxHHH", message.start)
        if version not in (1, 2, 3):
            raise ValueError("it is damaged or cut off")
        starts = [message.start + (9 if version == 3 else 8)]
        for size in (name_size, type_size, space_size):
            # The first version fills each part to multiples of 8 bytes.
            starts.append(starts[-1] + (-(-size // 8) * 8 if version == 1 else size))
        if starts[-1] > message.start + message.size:
            raise ValueError("it is damaged or cut off")
        name = self._read(starts[0], name_size).partition(b"\0")[0].decode("utf-8")
        shape = self._shape(_Message(_DATASPACE, 0, starts[2], space_size))
        kind, is_text, size = self._unpack("<BB2xI", starts[1])
        is_in_heap = kind & 15 == _OF_ANY_LENGTH and is_text & 15 == _IS_TEXT
        count = int(np.prod(shape, dtype=object)) if len(shape) == 1 else 0
        if len(shape) != 1 or (count and not is_in_heap and kind & 15 != _STRING):
            return name, None
        if count and (not size or starts[3] + count * size > message.start + message.size):
            raise ValueError("it is damaged or cut off")
        texts = []
        for start in range(starts[3], starts[3] + count * size, size or 1):
            texts.append(self._text_in_heap(start) if is_in_heap else self._read(start, size))
        return name, [text.rstrip(b"\0 ").decode("utf-8") for text in texts]

    def _text_in_heap(self, start: int) -> bytes:
        size, heap, wanted = self._unpack("<IQI", start)
        if heap not in self._heaps:
            signature, heap_size = self._unpack("<4s4xQ", heap)
            if signature != b"GCOL":
                raise ValueError("it is damaged or cut off")
            self._heaps[heap] = {}
            at, end = heap + 16, heap + heap_size
            while at + 16 <= end:
                index, length = self._unpack("<H6xQ", at)
                # The rest is free.
                if not index:
                    break
                self._heaps[heap][index] = (at + 16, length)
                at += 16 + -(-length // 8) * 8
        at, length = self._heaps[heap].get(wanted, (0, 0))
        if size > length:
            raise ValueError("it is damaged or cut off")
        return self._read(at, size)
