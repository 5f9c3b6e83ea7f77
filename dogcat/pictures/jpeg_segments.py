"""What of a JPEG file decides its pixels: its segments (ITU T.81, annex B) without metadata."""

from __future__ import annotations

import io
import re
from typing import BinaryIO

from dogcat.pictures import exif_orientation
from dogcat.pictures.exif_orientation import EXIF_START
from dogcat.pictures.file_pieces import MOST_PROFILE_BYTES, CutShort, Damaged, Essentials, TooComplex

# What no honest file reaches. A progressive JPEG has some 10 scans, each of which visits every pixel; a header some 20
# segments, or some hundred with a depth map in it.
MOST_SCANS = 64
MOST_SEGMENTS = 4096
MOST_TABLE_BYTES = 2**18

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
# Within coded pixels 0xFF00 is a byte of them, 0xD0 to 0xD7 are places to go on from after damage.
_MARKER_BEHIND_PIXELS = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset((0xC0, 0xC1, 0xC9))
_TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF)) | _FRAMES
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PROFILE = b"ICC_PROFILE\0"
# What tells the colour space, and that further pictures follow.
_TELLING = ((0xE0, b"JFIF\0"), (0xEE, b"Adobe"), (0xE2, b"MPF\0"))
_MOST_TELLING_BYTES = 4096


def essentials_of(file: BinaryIO) -> Essentials:
    """The segments that decide the pixels; see `essentials.of`."""
    file.seek(0)
    data = file.read()
    kept, exif, xmp = [b"\xff\xd8"], [], b""
    profile_bytes = table_bytes = 0
    frame, components = 0, b""
    at = 2
    for _ in range(MOST_SEGMENTS):
        match = _MARKER.search(data, at)
        if match is None:
            raise CutShort("the file ends before its pixels begin")
        start, marker = match.start(), data[match.start() + 1]
        if marker in _STANDALONE:
            at = start + 2
            continue
        if marker in (_START_OF_IMAGE, _END_OF_IMAGE):
            raise Damaged(f"the marker {marker:#x} stands in the header")
        if marker < 0xC0:
            # No JPEG at all, which the decoder says.
            return Essentials(io.BytesIO(b"".join(kept) + data[start:]), 1)
        at = _end_of_segment(data, start)
        content = data[start + 4 : min(at, start + 36)]
        if marker == _START_OF_SCAN:
            break
        if marker in _TABLES:
            table_bytes += at - start
            if table_bytes > MOST_TABLE_BYTES:
                raise TooComplex(f"more than {MOST_TABLE_BYTES} bytes of tables before its pixels")
            kept.append(data[start:at])
            if marker in _FRAMES:
                frame, components = marker, data[start + 10 : at : 3]
        elif marker == 0xE1 and content.startswith(EXIF_START):
            exif.append(data[start + 4 + len(EXIF_START) : at])
        elif marker == 0xE1 and content.startswith(_XMP):
            xmp = data[start + 4 : at]
        elif marker == 0xE2 and content.startswith(_PROFILE):
            profile_bytes += at - start
            if profile_bytes <= MOST_PROFILE_BYTES:
                kept.append(data[start:at])
        elif at - start <= _MOST_TELLING_BYTES and any(
            marker == kind and content.startswith(name) for kind, name in _TELLING
        ):
            kept.append(data[start:at])
    else:
        raise TooComplex(f"more than {MOST_SEGMENTS} segments before its pixels")
    in_scan = content[0] if content else 0
    if frame in _SEQUENTIAL and in_scan == len(components):
        # All pixels in one scan.
        kept.append(data[start:])
    else:
        _keep_scans(data, start, frame in _SEQUENTIAL, components, kept)
    whole = data if sum(map(len, kept)) == len(data) else b"".join(kept)
    return Essentials(io.BytesIO(whole), exif_orientation.of_metadata(b"".join(exif), xmp))


def _end_of_segment(data: bytes, start: int) -> int:
    """The place behind a JPEG's segment whose marker is at `start`."""
    if start + 4 > len(data):
        raise CutShort("the file ends before its pixels begin")
    length = data[start + 2] << 8 | data[start + 3]
    if length < 2:
        raise Damaged(f"a segment of {length} bytes")
    if start + 2 + length > len(data):
        raise CutShort("the file ends before its pixels begin")
    return start + 2 + length


def _keep_scans(data: bytes, at: int, sequential: bool, components: bytes, kept: list[bytes]) -> None:
    """Adds the scans of a JPEG of several, of which the first is at `at`, and the tables between them.

    Raises:
        TooComplex: There are more scans or segments than any program writes.
        CutShort: The file ends, but not all that makes up the picture has come.
    """
    scans = 0
    # Of each component the coefficients, a bit each, that have come with all their bits.
    come = dict.fromkeys(components, 0)
    for _ in range(MOST_SEGMENTS):
        match = _MARKER_BEHIND_PIXELS.search(data, at)
        if match is None:
            # The decoder misses the end, too.
            kept.append(data[at:])
            return
        start, marker = match.start(), data[match.start() + 1]
        kept.append(data[at:start])
        if marker == _END_OF_IMAGE:
            kept.append(data[start : start + 2])
            _require_all(come, sequential)
            return
        if marker < 0xC0 or marker == _START_OF_IMAGE:
            raise Damaged(f"the marker {marker:#x} stands between its scans")
        at = _end_of_segment(data, start)
        if marker == _START_OF_SCAN:
            scans += 1
            if scans > MOST_SCANS:
                raise TooComplex(f"more than {MOST_SCANS} scans, each of which visits all pixels")
            parameters = data[at - 3 : at]
            if sequential or not parameters[2] & 15:
                of_scan = 1 if sequential else (2 << min(parameters[1], 63)) - (1 << min(parameters[0], 63))
                for component in data[start + 5 : at - 3 : 2]:
                    come[component] = come.get(component, 0) | of_scan
        if marker in _TABLES or marker == _START_OF_SCAN:
            kept.append(data[start:at])
    raise TooComplex(f"more than {MOST_SEGMENTS} segments between its scans")


def _require_all(come: dict[int, int], sequential: bool) -> None:
    """Refuses a JPEG of several scans that ends between two of them.

    The first component, which is grey or brightness, needs all its coefficients; of others an encoder may leave out
    what is zero all over.
    """
    for number, coefficients in enumerate(come.values()):
        needed = 1 if number or sequential else 2**64 - 1
        if coefficients & needed != needed:
            raise CutShort("the file ends before the last of its scans")
