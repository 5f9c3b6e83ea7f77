"""Tables of variables, made and damaged with right checksums, so that a reader gets to what stands in them."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
from fuzzing import mutations

from dogcat.core.checksums import masked, masked_crc32c

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
FLOAT, TEXT = 1, 7
_FOOTER_BYTES = 48
_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
# Numbers at whose sides programs go wrong.
_NUMBERS = (0, 1, 2, 4, 127, 128, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def varint(value: int) -> bytes:
    """A number as messages and tables store it."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))


def field(number: int, value: int | bytes) -> bytes:
    """A field of a message: a number or bytes."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def entry(
    dtype: int = FLOAT, shape: tuple[int, ...] = (), offset: int = 0, size: int = 4, crc: int = 0, shard: int = 0
) -> bytes:
    """A BundleEntryProto."""
    dimensions = b"".join(field(2, field(1, length)) for length in shape)
    places = field(3, shard) + field(4, offset) + field(5, size)
    return field(1, dtype) + field(2, dimensions) + places + varint(6 << 3 | 5) + struct.pack("<I", crc)


HEADER = field(1, 1) + field(2, 0) + field(3, field(1, 1))


def block(pairs: list[tuple[bytes, bytes]], restarts: tuple[int, ...] = (0,)) -> bytes:
    """A block of a table, with each key whole."""
    parts = [b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in pairs]
    return b"".join(parts) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def sealed(data: bytes, compression: int = 0) -> bytes:
    """A block with what follows it: how it is compressed, and its checksum."""
    data += bytes([compression])
    return data + struct.pack("<I", masked_crc32c(data))


def index(keys: bytes, bound: bytes = b"\xff", place: bytes | None = None, compression: int = 0) -> bytes:
    """An index of a block of keys, of which it says that they are up to `bound`, and lie at `place`."""
    data = sealed(keys, compression)
    return _with_footer([data, sealed(block([])), sealed(block([(bound, place or varint(0) + varint(len(keys)))]))])


def _with_footer(blocks: list[bytes], places: bytes | None = None) -> bytes:
    keys, empty, of_blocks = map(len, blocks)
    right = b"".join(map(varint, (keys, empty - 5, keys + empty, of_blocks - 5)))
    return b"".join(blocks) + (places or right)[:40].ljust(_FOOTER_BYTES - len(_MAGIC), b"\0") + _MAGIC


def resealed(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Versions of TensorFlow's index of one block of keys, with faults inside of its blocks."""
    rng = random.Random(seed)
    # The block of keys ends where the footer says that the empty one begins, which has 8 bytes.
    start = next(at for at in range(len(data)) if data[at:].startswith(sealed(block([]))))
    whole = [data[: start - 5], block([]), data[start + 13 : -_FOOTER_BYTES - 5]]
    for _ in range(count):
        blocks = list(whole)
        number = rng.choice((0, 0, 0, 2))
        if rng.random() < 0.3:
            [blocks[number]] = mutations(blocks[number], 1, rng.randrange(2**32))
        else:
            at = rng.randrange(len(blocks[number]))
            put = rng.choice((varint(rng.choice(_NUMBERS)), bytes([rng.randrange(256)])))
            blocks[number] = blocks[number][:at] + put + blocks[number][at + rng.choice((1, len(put))) :]
        places = b"".join(varint(rng.choice(_NUMBERS)) for _ in range(4)) if rng.random() < 0.05 else None
        yield _with_footer([sealed(part, int(rng.random() < 0.02)) for part in blocks], places)


def write(prefix: Path, variables: dict[str, tuple[int, tuple[int, ...], bytes]]) -> None:
    """Writes variables, of which the number of the type, the shape and the bytes are given."""
    data, pairs = b"", [(b"", HEADER)]
    for name, (dtype, shape, content) in sorted(variables.items()):
        stored = content
        crc = google_crc32c.value(content)
        if dtype == TEXT:
            length = struct.pack("<I", len(content))
            behind = struct.pack("<I", masked_crc32c(length)) + content
            stored, crc = varint(len(content)) + behind, google_crc32c.value(length + behind)
        pairs.append((name.encode(), entry(dtype, shape, len(data), len(stored), masked(crc))))
        data += stored
    prefix.with_name(f"{prefix.name}.index").write_bytes(index(block(pairs)))
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
