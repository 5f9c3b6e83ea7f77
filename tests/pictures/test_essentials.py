from __future__ import annotations

import io

import fuzzing
import pytest
from picture_files import PROFILE, XMP, animated_webp, encoded, exif_of, photo, rle_bmp

from dogcat.pictures import decode, essentials, file_pieces, formats, rejections, resizing
from dogcat.pictures.geometry import MAX_PIXELS

SEEDS = {
    "jpeg": lambda: encoded(photo(61, 47), "JPEG", exif=exif_of(6), comment=b"x"),
    "progressive": lambda: encoded(photo(61, 47), "JPEG", progressive=True, icc_profile=PROFILE),
    "cmyk": lambda: encoded(photo(61, 47).convert("CMYK"), "JPEG"),
    "png": lambda: encoded(photo(61, 47), exif=exif_of(3), icc_profile=PROFILE),
    "palette": lambda: encoded(photo(61, 47).quantize(16), transparency=2),
    "gif": lambda: encoded(photo(61, 47).quantize(16), "GIF", comment=b"x", transparency=1),
    "webp": lambda: encoded(photo(61, 47), "WEBP", exif=exif_of(6), xmp=XMP),
    "animation": lambda: animated_webp(3),
    "tiff": lambda: encoded(photo(61, 47), "TIFF", exif=exif_of(6)),
    "lzw": lambda: encoded(photo(61, 47), "TIFF", compression="tiff_lzw"),
    "tiff jpeg": lambda: encoded(photo(61, 47), "TIFF", compression="jpeg"),
    "bmp": lambda: encoded(photo(61, 47), "BMP"),
    "runs": lambda: rle_bmp(61, 47, b"\x3d\7\0\0" * 46 + b"\x3d\7\0\1"),
}


@pytest.mark.parametrize("count", [16, pytest.param(400, marks=pytest.mark.long)])
@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_pictures_are_read_or_refused(seed, count, capfd):
    whole = SEEDS[seed]()
    decode.decode(whole, MAX_PIXELS)

    def try_(data):
        # A picture of a few bytes may be as large as the limit.
        with fuzzing.memory_within(40 * 10**6):
            try:
                resizing.resize(decode.decode(data, 10**6, 32).rgbx, 32, "stretch")
            except rejections.RejectedPicture as rejected:
                assert rejected.reason.isidentifier() and 0 < len(rejected.detail) < 300
                raise

    fuzzing.check(try_, fuzzing.mutations(whole, count, 0), (rejections.RejectedPicture,))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [30, pytest.param(2000, marks=pytest.mark.long)])
def test_any_bytes_have_pieces_or_are_refused(count):
    allowed = (file_pieces.TooComplex, file_pieces.CutShort, file_pieces.Damaged)
    for make in SEEDS.values():
        fuzzing.check(
            lambda data: essentials.of(io.BytesIO(data), formats.format_of(data[:32]) or "").file.read(),
            fuzzing.mutations(make(), count, 1),
            allowed,
        )
