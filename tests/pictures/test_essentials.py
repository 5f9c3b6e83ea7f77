from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import fuzzing
import numpy as np
import pytest
from picture_files import encoded, exif_of, photo, pixels, ramp, reason
from PIL import Image, ImageCms, PngImagePlugin

from dogcat.dataset import encoding
from dogcat.pictures import decode, essentials
from dogcat.pictures.geometry import MAX_PIXELS

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(name, content=b""):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunks(png, *chunks, before=b"IDAT"):
    at = png.index(before) - 4
    return png[:at] + b"".join(chunks) + png[at:]


def segment(marker, content=b""):
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg, *segments):
    """Behind the first one, JFIF's or Adobe's."""
    at = 4 + (jpeg[4] << 8 | jpeg[5])
    return jpeg[:at] + b"".join(segments) + jpeg[at:]


def scans_of(jpeg):
    """Where the scans of a JPEG begin, and where it ends."""
    starts, at = [], 0
    while (at := jpeg.find(b"\xff\xda", at)) >= 0:
        starts.append(at)
        at += 2
    return starts, jpeg.rindex(b"\xff\xd9")


def answer(data, max_pixels=MAX_PIXELS):
    """Pixels or the reason for none, which must come within a second or so."""
    began = time.process_time()
    try:
        found = decode.decode(data, max_pixels).pixels
    except decode.RejectedPicture as rejected:
        found = rejected.reason
    assert time.process_time() - began < 3
    return found


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
@pytest.mark.parametrize(
    "chunks",
    [
        (chunk(b"tEXt", b"Comment\0" + bytes(3 * 2**20)),),
        (chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(70 * 2**20))),),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * (3 * 2**20)),),
        (chunk(b"iCCP", b"name\0\0" + zlib.compress(np.random.default_rng(0).bytes(3 * 2**20))),),
        (chunk(b"iCCP", b"name\0\0" + zlib.compress(PROFILE + bytes(20 * 2**20))),),
        (chunk(b"iCCP", b"name\0\1no such method"),),
        (chunk(b"prVt", bytes(5 * 2**20)),),
        (chunk(b"tIME", b"x")[:-1] + b"?",),
        (chunk(b"tEXt", b"a\0b"),) * 50_000,
        (chunk(b"acTL", struct.pack(">II", 2, 0)), chunk(b"fdAT", b"damaged")),
    ],
    ids=["text", "bomb", "xmp", "profile", "huge profile", "method", "private", "checksum", "50,000", "animation"],
)
def test_a_png_is_read_whatever_its_metadata(chunks, before):
    np.testing.assert_array_equal(answer(with_chunks(encoded(ramp()), *chunks, before=before)), ramp())


def test_a_profile_above_a_mebibyte_still_converts():
    swapped = bytearray(PROFILE)
    # Of the three primaries two change places, as names in the table of tags.
    red, blue = PROFILE.index(b"rXYZ"), PROFILE.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    small = pixels(encoded(ramp(), icc_profile=bytes(swapped)))
    assert np.abs(small.astype(int) - np.asarray(ramp())).max() > 50
    large = with_chunks(encoded(ramp()), chunk(b"iCCP", b"name\0\0" + zlib.compress(bytes(swapped) + bytes(2**21))))
    np.testing.assert_array_equal(answer(large), small)
    jpeg = encoded(ramp(), "JPEG", icc_profile=bytes(swapped) + bytes(2**21))
    with Image.open(io.BytesIO(jpeg)) as opened:
        expected = decode._to_reduced_srgb(opened, None)[:, :, :3]
    np.testing.assert_array_equal(answer(jpeg), expected)


def turned(format, **options):
    lossless = {"lossless": True} if format == "WEBP" else {}
    return encoded(ramp().transpose(Image.Transpose.ROTATE_90), format, **options, **lossless)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("told_by", ["exif", "xmp", "both"])
def test_the_orientation_of_exif_or_else_of_xmp_is_kept(format, told_by):
    options = {}
    if told_by != "xmp":
        options["exif"] = exif_of(6)
    if told_by != "exif":
        xmp = XMP if told_by == "xmp" else XMP.replace(b"6", b"3")
        if format == "PNG":
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        else:
            options["xmp"] = xmp
    picture = decode.decode(turned(format, **options), MAX_PIXELS)
    assert (picture.width, picture.height, picture.orientation) == (60, 40, 6)
    assert np.abs(picture.pixels.astype(int) - np.asarray(ramp())).mean() < 8


def test_exif_as_imagemagick_writes_it_into_a_png():
    exif = exif_of(6).tobytes()
    text = b"\nexif\n%8d\n" % len(exif) + exif.hex().encode()
    for name, content in ((b"tEXt", text), (b"zTXt", b"\0" + zlib.compress(text))):
        png = with_chunks(turned("PNG"), chunk(name, b"Raw profile type exif\0" + content))
        np.testing.assert_array_equal(answer(png), ramp())
    damaged = with_chunks(encoded(ramp()), chunk(b"tEXt", b"Raw profile type exif\0\n\n\nxyz"))
    np.testing.assert_array_equal(answer(damaged), ramp())


@pytest.mark.parametrize(
    "segments",
    [
        (segment(0xFE, bytes(60_000)),) * 300,
        (segment(0xE1, b"Exif\0\0" + bytes(60_000)),) * 300,
        (segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000)),) * 300,
        (segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\0\0\0\0\0\0\0" * 4000),) * 20,
        (segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(60_000)),) * 300,
        (b"\xff" * 4_000_000,),
        (b"junk" * 1_000_000,),
        (b"\xff\xd0" * 100,),
    ],
    ids=["comments", "exif", "xmp", "photoshop", "profile", "fill", "junk", "restarts"],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_read_whatever_its_metadata(segments, progressive):
    jpeg = encoded(ramp(), "JPEG", progressive=progressive)
    np.testing.assert_array_equal(answer(with_segments(jpeg, *segments)), pixels(jpeg))


@pytest.mark.parametrize("marker", [0xFE, 0xE0, 0xE1, 0xE5, 0xDB])
def test_a_jpeg_of_endless_segments_is_refused(marker):
    jpeg = encoded(ramp(), "JPEG")
    assert answer(with_segments(jpeg, segment(marker) * 2_000_000)) == decode.TOO_COMPLEX
    assert answer(with_segments(jpeg, segment(0xDB, bytes(65_000)) * 1000)) == decode.TOO_COMPLEX


def test_a_jpeg_of_more_scans_than_any_program_writes_is_refused():
    jpeg = encoded(Image.new("L", (3000, 2000), 90), "JPEG", progressive=True)
    starts, end = scans_of(jpeg)
    last = jpeg[starts[-1] : end]
    assert answer(jpeg[:end] + last * 50 + jpeg[end:]).shape == (2000, 3000, 3)
    assert answer(jpeg[:end] + last * 100 + jpeg[end:]) == decode.TOO_COMPLEX
    assert answer(jpeg[:end] + segment(0xFE) * 1_000_000 + jpeg[end:]) == decode.TOO_COMPLEX


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}, {"icc_profile": PROFILE}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_jpeg_that_is_cut_is_truncated_whatever_stands_behind_the_cut(mode, options, share):
    jpeg = encoded(photo(300, 200).convert(mode), "JPEG", quality=90, **options)
    starts, end = scans_of(jpeg)
    cut = jpeg[: starts[0] + int(share * (end - starts[0]))]
    if cut.endswith(b"\xff"):
        cut = cut[:-1]
    for behind in (
        b"",
        b"\xff\xd9",
        b"\xff\xd9" + bytes(100),
        b"\xff\xd9" + jpeg,
        b"\xff\xfe\0\2\xff\xd9",
        b"\xff\xff\xff\xd9",
    ):
        for data in (
            cut + behind,
            with_segments(cut, segment(0xFE, b"x")) + behind,
            with_segments(cut, b"junk") + behind,
        ):
            assert reason(data) == decode.TRUNCATED


@pytest.mark.parametrize("size", [None, 299])
def test_a_large_jpeg_that_is_cut_is_truncated(size, monkeypatch):
    monkeypatch.setattr(decode, "_LARGE_BYTES", 300_000)
    jpeg = encoded(photo(2000, 1500), "JPEG", quality=90)
    assert decode.decode(jpeg, MAX_PIXELS, size).width == 2000
    with pytest.raises(decode.RejectedPicture, match="truncated"):
        decode.decode(jpeg[: len(jpeg) // 2] + b"\xff\xd9", MAX_PIXELS, size)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated(mode):
    jpeg = encoded(photo(300, 200).convert(mode), "JPEG", progressive=True)
    starts, _ = scans_of(jpeg)
    for start in starts[1:-1]:
        # The tables of the next scan stand before it.
        at = jpeg.rindex(b"\xff\xc4", 0, start)
        assert reason(jpeg[:at] + b"\xff\xd9") == decode.TRUNCATED


def test_what_is_harmless_behind_a_jpegs_pixels_stays_harmless():
    for progressive in (False, True):
        jpeg = encoded(photo(61, 47), "JPEG", progressive=progressive)
        for behind in (b"junk", bytes(5000), b"\xff\xd8\xff", jpeg):
            np.testing.assert_array_equal(answer(jpeg + behind), pixels(jpeg))
        # Between the last pixels and the end, as some cameras leave it.
        np.testing.assert_array_equal(answer(jpeg[:-2] + bytes(7) + b"\xff\xd9"), pixels(jpeg))


def test_a_jpeg_that_ends_within_its_header_is_truncated():
    jpeg = encoded(ramp(), "JPEG")
    for length in (4, 20, 100, 400):
        assert reason(jpeg[:length]) == decode.TRUNCATED


def test_a_png_of_endless_chunks_is_refused():
    png = encoded(ramp())
    for name in (b"tEXt", b"IDAT", b"prIV"):
        assert answer(with_chunks(png, chunk(name) * 500_000)) == decode.TOO_COMPLEX


def test_a_gif_is_read_whatever_stands_before_its_first_frame():
    gif = encoded(ramp().quantize(16), "GIF")
    at = gif.index(b",", 13 + 3 * 16)
    comment = b"!\xfe" + (b"\xff" + bytes(255)) * 5000 + b"\0"
    for before in (comment, b"!\xfe\0" * 50_000, b"\0" * 3_000_000, b"!\xf9\4\0\0\0\0\0"):
        np.testing.assert_array_equal(answer(gif[:at] + before + gif[at:]), pixels(gif))
    assert answer(gif[:at] + b"!\xfe\0" * 1_000_000 + gif[at:]) == decode.TOO_COMPLEX
    assert answer(gif[:at] + b"!\xfe" + b"\1x" * 1_000_000 + b"\0" + gif[at:]) == decode.TOO_COMPLEX


def test_a_transparent_gif_stays_transparent():
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    gif = encoded(palette, "GIF", transparency=0, comment=b"a comment")
    assert answer(gif)[0, 0].tolist() == [255, 255, 255]


def test_a_gif_whose_frame_is_larger_than_its_screen_is_held_to_the_limit():
    gif = bytearray(encoded(Image.new("L", (20, 20)), "GIF"))
    at = gif.rindex(b",\0\0\0\0")
    gif[at + 5 : at + 9] = struct.pack("<HH", 65_535, 65_535)
    assert answer(bytes(gif)) == decode.TOO_LARGE


def animated_webp(frames):
    data = encoded(ramp(), "WEBP", save_all=True, append_images=[ramp().rotate(90)], lossless=True)
    start = data.rindex(b"ANMF")
    first = data.index(b"ANMF")
    body = data[8:start] + data[start:] * frames
    assert first < start
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_of_a_webp_of_many_frames_the_first_is_read():
    np.testing.assert_array_equal(answer(animated_webp(50_000)), ramp())
    assert answer(animated_webp(200_000)) == decode.TOO_COMPLEX


def test_a_webp_is_held_to_the_limit_before_its_decoder_takes_memory():
    webp = bytearray(animated_webp(1))
    at = webp.index(b"VP8X") + 12
    webp[at : at + 6] = b"\xff\xff\0" * 2
    with fuzzing.memory_within(2**24):
        assert answer(bytes(webp)) == decode.TOO_LARGE


def test_a_webp_is_read_whatever_its_metadata():
    plain = encoded(ramp(), "WEBP", lossless=True)
    for options in ({"xmp": b"x" * 20_000_000}, {"icc_profile": bytes(20_000_000)}, {"exif": b"x" * 20_000_000}):
        np.testing.assert_array_equal(answer(encoded(ramp(), "WEBP", lossless=True, **options)), pixels(plain))


def tiff(entries, behind=b""):
    body = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + body + bytes(4) + behind


def test_a_tiff_whose_tags_ask_for_more_than_it_holds_is_refused():
    shared = tiff([(1000 + i, 7, 1_000_000, 0) for i in range(4000)], bytes(1_000_000))
    many = tiff([(1000 + i, 3, 1, 0) for i in range(30_000)])
    strips = tiff(
        [(256, 3, 1, 9), (257, 3, 1, 9), (273, 4, 3_000_000, 200), (279, 4, 3_000_000, 200)], bytes(12_000_000)
    )
    further = tiff([(34665, 4, 1, 100)], bytes(74) + shared[8:])
    for data in (shared, many, strips, further):
        with fuzzing.memory_within(2**26):
            assert answer(data) == decode.TOO_COMPLEX
    # A directory that is its own next one.
    whole = encoded(ramp(), "TIFF")
    at = struct.unpack("<L", whole[4:8])[0]
    end = at + 2 + 12 * struct.unpack("<H", whole[at : at + 2])[0]
    np.testing.assert_array_equal(answer(whole[:end] + whole[4:8] + whole[end + 4 :]), ramp())


def rle_bmp(width, height, runs):
    header = b"BM" + struct.pack("<LLL", 1078 + len(runs), 0, 1078)
    header += struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return header + bytes(1024) + runs


def test_a_bmp_of_endless_runs_is_refused():
    assert answer(rle_bmp(4, 2, b"\4\0\0\0\4\0\0\1")).shape == (2, 4, 3)
    assert answer(rle_bmp(1000, 1000, b"\0\0" * 10_000_000)) == decode.TOO_COMPLEX
    with fuzzing.memory_within(2**28):
        assert answer(rle_bmp(60_000_000, 1, b"\0\2\0\xff")) == decode.TOO_LARGE


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"8BPS\0\1", "PSD"),
        (b"\xff\x4f\xff\x51\0", "JPEG 2000"),
    ],
)
def test_a_format_that_is_not_read_is_named(start, name):
    with pytest.raises(decode.RejectedPicture, match=f"unsupported_format: {name} is not read; convert") as caught:
        decode.decode(start + bytes(100), MAX_PIXELS)
    assert caught.value.reason == decode.UNSUPPORTED_FORMAT


def test_a_file_of_more_bytes_than_pixels_can_need_is_refused_unread(tmp_path):
    for format in ("JPEG", "PNG", "BMP"):
        (tmp_path / format).write_bytes(encoded(ramp(), format))
        with open(tmp_path / format, "r+b") as file:
            file.truncate(2**40)
        with fuzzing.memory_within(2**24):
            assert encoding.read_picture(tmp_path, format, MAX_PIXELS, None).reason == decode.TOO_LARGE


def test_the_limit_of_the_host_program_is_left_alone(monkeypatch):
    assert Image.MAX_IMAGE_PIXELS is not None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    for format in ("JPEG", "PNG", "BMP"):
        assert pixels(encoded(photo(300, 200), format)).shape == (200, 300, 3)


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
                decode.resize(decode.decode(data, 10**6, 32).rgbx, 32, "stretch")
            except decode.RejectedPicture as rejected:
                assert rejected.reason.isidentifier() and 0 < len(rejected.detail) < 300
                raise

    fuzzing.check(try_, fuzzing.mutations(whole, count, 0), (decode.RejectedPicture,))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("count", [30, pytest.param(2000, marks=pytest.mark.long)])
def test_any_bytes_have_pieces_or_are_refused(count):
    allowed = (essentials.TooComplex, essentials.CutShort, essentials.Damaged)
    for make in SEEDS.values():
        fuzzing.check(
            lambda data: essentials.of(io.BytesIO(data), essentials.format_of(data[:32]) or "").file.read(),
            fuzzing.mutations(make(), count, 1),
            allowed,
        )


@pytest.mark.shared
@pytest.mark.parametrize(("name", "expected"), [("cut10eoi", decode.TRUNCATED), ("scans120", decode.TOO_COMPLEX)])
def test_cases_of_others(shared, name, expected):
    path = Path(shared) / "cases" / "hostile" / f"{name}.jpg"
    if path.exists():
        assert answer(path.read_bytes()) == expected
