"""The formats of pictures, told by how their files begin."""

from __future__ import annotations

# The formats that are read, by content; whatever else Pillow knows (PostScript, fonts, ...) is left out, since decoders
# that nobody needs only widen what a hostile file can reach.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")

# What Pillow calls a JPEG, and one with further pictures behind it, as cameras write them.
JPEG = ("JPEG", "MPO")

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


def format_of(start: bytes) -> str | None:
    """The name of a picture's format, by the first `START_BYTES` of its file; None for what is not a picture."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if start[4:8] == b"ftyp":
        # The brand, a version, further brands.
        brands = {start[at : at + 4] for at in (8, *range(16, len(start), 4))}
        return next((name for name, known in _BRANDS.items() if brands & known), None)
    return next((name for name, starts in _STARTS.items() if start.startswith(starts)), None)
