"""What of a PNG file decides its pixels: its chunks without metadata."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

from dogcat.pictures import chunks, exif_orientation
from dogcat.pictures.file_pieces import MOST_PROFILE_BYTES, MOST_TEXT_BYTES, Essentials, Piece, bytes_at, joined

_START = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP, _EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif"


def essentials_of(file: BinaryIO) -> Essentials:
    """The chunks that decide the pixels; see `essentials.of`."""
    pieces: list[Piece] = [_START]
    exif = xmp = b""
    profile = None
    size = file.seek(0, os.SEEK_END)
    for name, start, end in chunks.walk(file, len(_START), size, ">I4s", 4):
        if end > size:
            # The decoder says whether it misses what is not there.
            pieces.append((start, size))
            break
        length = end - start - 12
        if name == b"iCCP" and length <= MOST_PROFILE_BYTES:
            _, _, compressed = bytes_at(file, start + 8, length).partition(b"\0")
            profile = _inflated(compressed[1:], MOST_PROFILE_BYTES)
        elif name == b"eXIf" and length <= MOST_TEXT_BYTES:
            exif = bytes_at(file, start + 8, length)
        elif name in _TEXTS and length <= MOST_TEXT_BYTES:
            keyword, _, text = bytes_at(file, start + 8, length).partition(b"\0")
            if keyword == _XMP:
                xmp = _text(name, text)
            elif keyword == _EXIF and not exif:
                exif = _from_hex(_text(name, text))
        elif name[0] & 0x20 == 0 or name == b"tRNS" or not name.isalpha():
            # What a decoder must understand, and what it stumbles over.
            pieces.append((start, end))
        if name == b"IEND":
            break
    return Essentials(joined(file, pieces), exif_orientation.of_metadata(exif, xmp), profile)


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
