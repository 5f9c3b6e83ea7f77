"""What of a picture's file decides its pixels; the rest, which may be large or endless, no decoder sees.

Files may hold megabytes of text, profiles and earlier versions of a picture, which decoders refuse or spend their time
on. Here the parts of a file are walked through, as a decoder would, but without looking into them; those without
pixels are left out. Where a file asks for more work than any camera or program would, it is refused.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Union

# What no honest file reaches. A progressive JPEG has some 10 scans, each of which visits every pixel; a header some 20
# segments, or some hundred with a depth map in it; a PNG a chunk for every 8 KiB.
MOST_SCANS = 64
MOST_SEGMENTS = 4096
MOST_TABLE_BYTES = 2**18
MOST_CHUNKS = 2**17
# Colour profiles have up to some 3 MB.
MOST_PROFILE_BYTES = 2**24
MOST_TEXT_BYTES = 2**24
# Pillow reads this compression in Python, a run of pixels a step.
MOST_BMP_RUN_BYTES = 2**23

# As many bytes as tell all formats apart.
START_BYTES = 32
# How pictures begin, of formats that are read and of others that are known; those that are not read, since which Pillow
# has a decoder for them differs.
_STARTS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "PSD": (b"8BPS",),
}
# Of those that begin with `ftyp`, by their brands.
_BRANDS = {
    "AVIF": {b"avif", b"avis"},
    "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"},
}
# The sizes that the header of a BMP can have, which tell it from text that begins with BM.
_BMP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))

_ORIENTATION = 0x0112
_ORIENTATION_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')

# Of a JPEG (ITU T.81, annex B).
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
# Within coded pixels 0xFF00 is a byte of them, 0xD0 to 0xD7 are places to go on from after damage.
_MARKER_BEHIND_PIXELS = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset((0xC0, 0xC1, 0xC9))
_TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF)) | _FRAMES
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_PROFILE = b"ICC_PROFILE\0"
# What tells the colour space, and that further pictures follow.
_TELLING = ((0xE0, b"JFIF\0"), (0xEE, b"Adobe"), (0xE2, b"MPF\0"))
_MOST_TELLING_BYTES = 4096

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_XMP, _PNG_EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif"

_WEBP_KEPT = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP")

_GIF_BLOCK = re.compile(rb"[!,;]")
_GIF_CONTROL = 0xF9

# The sizes of TIFF's types of values, and the tags of a picture that lead to further tags.
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TIFF_FURTHER = (34665, 34853, 40965)
_TIFF_OFFSETS = (273, 324)
MOST_TIFF_TAGS = 4096
MOST_TIFF_STRIPS = 2**18
_TIFF_SPARE_BYTES = 2**20


class TooComplex(Exception):
    """A file that asks for more work than a picture can need."""


class CutShort(Exception):
    """A file that ends before its picture does."""


class Damaged(Exception):
    """A file that no decoder could read on."""


class Essentials(NamedTuple):
    """A picture's file without what has no pixels.

    Attributes:
        file: What is left, at its beginning.
        orientation: As EXIF or XMP tells it, 1 to 8; 1 where they tell none; None where the decoder is to be asked.
        profile: The colour profile, where it was taken out of the file.
        size: Width and height of a WebP or GIF, whose decoder acts on them before it tells them.
    """

    file: BinaryIO
    orientation: int | None = None
    profile: bytes | None = None
    size: tuple[int, int] | None = None


# Bytes, or a stretch of the file.
_Piece = Union[bytes, "tuple[int, int]"]


class _Pieces(io.RawIOBase):
    """Pieces of a file, end to end, as a file."""

    def __init__(self, file: BinaryIO, pieces: list[_Piece]) -> None:
        self._file = file
        self._pieces = pieces
        self._starts = [0]
        for piece in pieces:
            length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            self._starts.append(self._starts[-1] + length)
        self._at = 0
        # Pieces are read in their order, mostly.
        self._number = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        self._number = 0
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while self._number < len(self._pieces) and self._at >= self._starts[self._number + 1]:
            self._number += 1
        if self._number == len(self._pieces):
            return 0
        piece = self._pieces[self._number]
        within = self._at - self._starts[self._number]
        length = min(len(buffer), self._starts[self._number + 1] - self._at)
        if isinstance(piece, bytes):
            data = piece[within : within + length]
        else:
            self._file.seek(piece[0] + within)
            data = self._file.read(length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def format_of(start: bytes) -> str | None:
    """The name of a picture's format, by the first `START_BYTES` of its file; None for what is no picture."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if start[4:8] == b"ftyp":
        # The brand, a version, further brands.
        brands = {start[at : at + 4] for at in (8, *range(16, len(start), 4))}
        return next((name for name, known in _BRANDS.items() if brands & known), None)
    return next((name for name, starts in _STARTS.items() if start.startswith(starts)), None)


def of(file: BinaryIO, format_: str) -> Essentials:
    """Takes the essential parts of a picture's file.

    Args:
        file: The file, open.
        format_: As `format_of` tells it.

    Raises:
        TooComplex: It asks for more work than a picture can need.
        CutShort: It ends early.
        Damaged: No decoder could read it.
    """
    take = {"JPEG": _of_jpeg, "PNG": _of_png, "GIF": _of_gif, "WEBP": _of_webp}.get(format_)
    if take:
        return take(file)
    if format_ == "TIFF":
        _check_tiff(file)
    elif format_ == "BMP":
        _check_bmp(file)
    file.seek(0)
    return Essentials(file)


def _of_jpeg(file: BinaryIO) -> Essentials:
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
        elif marker == 0xE1 and content.startswith(_EXIF):
            exif.append(data[start + 4 + len(_EXIF) : at])
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
    return Essentials(io.BytesIO(whole), _orientation(b"".join(exif), xmp))


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


def _of_png(file: BinaryIO) -> Essentials:
    pieces: list[_Piece] = [_PNG_START]
    exif = xmp = b""
    profile = None
    size = file.seek(0, os.SEEK_END)
    for name, start, end in _chunks(file, len(_PNG_START), size, ">I4s", 4):
        if end > size:
            # The decoder says whether it misses what is not there.
            pieces.append((start, size))
            break
        length = end - start - 12
        if name == b"iCCP" and length <= MOST_PROFILE_BYTES:
            _, _, compressed = _content(file, start + 8, length).partition(b"\0")
            profile = _inflated(compressed[1:], MOST_PROFILE_BYTES)
        elif name == b"eXIf" and length <= MOST_TEXT_BYTES:
            exif = _content(file, start + 8, length)
        elif name in _PNG_TEXTS and length <= MOST_TEXT_BYTES:
            keyword, _, text = _content(file, start + 8, length).partition(b"\0")
            if keyword == _PNG_XMP:
                xmp = _text(name, text)
            elif keyword == _PNG_EXIF and not exif:
                exif = _from_hex(_text(name, text))
        elif name[0] & 0x20 == 0 or name == b"tRNS" or not name.isalpha():
            # What a decoder must understand, and what it stumbles over.
            pieces.append((start, end))
        if name == b"IEND":
            break
    return Essentials(_joined(file, pieces), _orientation(exif, xmp), profile)


def _of_webp(file: BinaryIO) -> Essentials:
    """Of an animation the first frame."""
    pieces: list[_Piece] = []
    exif = xmp = b""
    file.seek(0)
    head = file.read(30)
    promised = int.from_bytes(head[4:8], "little") + 8
    size = min(file.seek(0, os.SEEK_END), promised)
    frames = 0
    for name, start, end in _chunks(file, 12, size, "<4sI", 0):
        end = min(end, size)
        frames += name == b"ANMF"
        if name == b"EXIF" and end - start <= MOST_TEXT_BYTES:
            exif = _content(file, start + 8, end - start - 8)
        elif name == b"XMP " and end - start <= MOST_TEXT_BYTES:
            xmp = _content(file, start + 8, end - start - 8)
        elif name == b"ANMF" and frames > 1:
            continue
        elif name in _WEBP_KEPT and not (name == b"ICCP" and end - start > MOST_PROFILE_BYTES):
            pieces.append((start, end))
    kept = sum(end - start for start, end in pieces)
    # A file that is cut short keeps the length that it promises.
    length = kept + 4 if promised <= size else promised - 8
    header = b"RIFF" + struct.pack("<I", length) + head[8:12]
    return Essentials(_joined(file, [header, *pieces]), _orientation(exif, xmp), size=_webp_size(head))


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height, from the first 30 bytes."""
    kind = head[12:16]
    if len(head) < 30:
        return None
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    bits = int.from_bytes(head[21:25], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _chunks(file: BinaryIO, at: int, size: int, form: str, behind: int) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG or WebP from `at` on.

    Args:
        file: The file.
        at: Where the first chunk begins.
        size: Where the last one ends.
        form: How length and name stand at a chunk's beginning.
        behind: Bytes behind a chunk's content that belong to it; without any, it is filled to an even length.

    Yields:
        Name, place of the first byte, place behind the last one, which may lie behind the file.
    """
    for _ in range(MOST_CHUNKS):
        file.seek(at)
        head = file.read(min(8, max(0, size - at)))
        if len(head) < 8:
            return
        first, second = struct.unpack(form, head)
        name, length = (second, first) if isinstance(first, int) else (first, second)
        end = at + 8 + length + (behind or length % 2)
        yield name, at, end
        at = end
    if at < size:
        raise TooComplex(f"more than {MOST_CHUNKS} chunks")


def _of_gif(file: BinaryIO) -> Essentials:
    """Without the extensions before the first frame, but the last that tells how to show it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(13)
    at = 13 + (3 << (head[10] & 7) + 1 if len(head) == 13 and head[10] & 0x80 else 0)
    pieces: list[_Piece] = [(0, min(at, size))]
    control: _Piece = b""
    picture_size = None
    blocks = 0
    while at < size:
        file.seek(at)
        # What is no block is passed over by decoders.
        match = _GIF_BLOCK.search(file.read(2**16))
        if match is None:
            at += 2**16
            continue
        start = at + match.start()
        if match[0] != b"!":
            pieces += [control, (start, size)]
            file.seek(start + 1)
            frame = file.read(8)
            if match[0] == b"," and len(frame) == 8:
                # A frame may reach beyond the screen, which then grows.
                left, top, width, height = struct.unpack("<4H", frame)
                screen_width, screen_height = struct.unpack("<2H", head[6:10])
                picture_size = max(screen_width, left + width), max(screen_height, top + height)
            break
        file.seek(start + 1)
        label = file.read(1)
        at = start + 2
        while True:
            blocks += 1
            if blocks > MOST_CHUNKS:
                raise TooComplex(f"more than {MOST_CHUNKS} blocks before its pixels")
            length = file.read(1)
            if not length or not length[0]:
                at += 1
                break
            at += 1 + length[0]
            file.seek(at)
        if label and label[0] == _GIF_CONTROL:
            control = (start, min(at, size))
    return Essentials(_joined(file, pieces), 1, size=picture_size)


def _check_tiff(file: BinaryIO) -> None:
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
        if tags > MOST_TIFF_TAGS:
            raise TooComplex(f"more than {MOST_TIFF_TAGS} tags")
        entries = file.read(count * struct.calcsize(order + entry_form))
        whole = len(entries) // struct.calcsize(order + entry_form) * struct.calcsize(order + entry_form)
        for tag, kind, number, value in struct.iter_unpack(order + entry_form, entries[:whole]):
            length = number * _TIFF_SIZES.get(kind, 0)
            if length > inline:
                claimed += max(0, min(length, size - struct.unpack(order + place_form, value)[0]))
            elif tag in _TIFF_FURTHER and kind in (4, 13, 16, 18):
                pending.append(struct.unpack(order + place_form, value)[0])
            if tag in _TIFF_OFFSETS and number > MOST_TIFF_STRIPS:
                raise TooComplex(f"{number} strips or tiles, more than {MOST_TIFF_STRIPS}")
        if claimed > 2 * size + _TIFF_SPARE_BYTES:
            raise TooComplex("tags of more bytes than the file has")


def _check_bmp(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(34)
    compression = int.from_bytes(head[30:34], "little")
    if compression in (1, 2) and size > MOST_BMP_RUN_BYTES:
        raise TooComplex(f"more than {MOST_BMP_RUN_BYTES} bytes of run-length coding")


def _joined(file: BinaryIO, pieces: list[_Piece]) -> BinaryIO:
    """The pieces as a file; neighbours are read as one."""
    merged: list[_Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else b""
        if isinstance(piece, tuple) and isinstance(last, tuple) and last[1] == piece[0]:
            merged[-1] = (last[0], piece[1])
        elif piece:
            merged.append(piece)
    return io.BufferedReader(_Pieces(file, merged), 2**16)


def _content(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)


def _inflated(data: bytes, most: int) -> bytes | None:
    """What zlib made smaller; None where it is damaged, or more than `most` bytes."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, most)
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else inflated


def _text(name: bytes, text: bytes) -> bytes:
    """The text of a PNG's chunk, behind its keyword."""
    if name == b"tEXt":
        return text
    if name == b"zTXt":
        return _inflated(text[1:], MOST_TEXT_BYTES) or b""
    # Compressed or not, by which method, language, keyword in that language.
    is_compressed, _, rest = text[:1] == b"\1", text[1:2], text[2:]
    content = rest.split(b"\0", 2)[-1]
    return (_inflated(content, MOST_TEXT_BYTES) or b"") if is_compressed else content


def _from_hex(text: bytes) -> bytes:
    """EXIF as ImageMagick writes it into a PNG: three lines, then hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""


def _orientation(exif: bytes, xmp: bytes) -> int:
    """The orientation that EXIF tells, or else XMP: 1 to 8; 1 where it is out of range or cannot be read."""
    told = _orientation_in_exif(exif)
    if told is None:
        match = _ORIENTATION_IN_XMP.search(xmp)
        told = int(match[1]) if match else 1
    return told if 1 <= told <= 8 else 1


def _orientation_in_exif(exif: bytes) -> int | None:
    """The orientation in EXIF's first directory; None where that has none."""
    while exif.startswith(_EXIF):
        exif = exif[len(_EXIF) :]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    (at,) = struct.unpack_from(order + "L", exif, 4)
    told = None
    if at + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(order + "H", exif, at)
    for place in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHL", exif, place)
        if tag == _ORIENTATION and kind in (3, 4):
            value = struct.unpack_from(order + ("H" if kind == 3 else "L"), exif, place + 8)[0]
            told = value if number == 1 else 1
    return told
