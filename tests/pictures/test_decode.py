from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from picture_files import encoded, exif_of, photo, pixels, ramp, reason
from PIL import Image, ImageCms

from dogcat.cleaning import survey
from dogcat.dataset import encoding
from dogcat.pictures import decode
from dogcat.pictures.geometry import MAX_PIXELS

ROOT = Path(__file__).parents[2]


def resized(pixels, size, how="stretch"):
    """The pixels of `decode.resize`, from an RGB picture: int [size, size, 3]."""
    rgbx = np.asarray(Image.fromarray(np.asarray(pixels)).convert("RGBX"))
    return decode.resize(rgbx, size, how)[:, :, :3].astype(int)


def test_pure_red_stays_red():
    data = encoded(Image.new("RGB", (50, 30), (255, 0, 0)), "JPEG", quality=100, subsampling=0)
    red = decode.resize(decode.decode(data, MAX_PIXELS, 32).rgbx, 32, "stretch")[:, :, :3]
    assert red.shape == (32, 32, 3) and red.dtype == np.uint8
    assert np.abs(red.astype(int) - (254, 0, 0)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(orientation):
    # How a picture is stored that a viewer is to turn back, by EXIF's own table.
    store = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = ramp() if store is None else ramp().transpose(store)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {}
        np.testing.assert_array_equal(pixels(encoded(stored, format, exif=exif, **options)), ramp())


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG"])
def test_formats_are_told_by_content(format):
    flat = Image.new("RGB", (20, 20), (200, 100, 50))
    assert np.abs(pixels(encoded(flat, format)).astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (9, 9), 77), (77, 77, 77)),
        (Image.new("1", (9, 9), 1), (255, 255, 255)),
        (Image.new("LA", (9, 9), (0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (9, 9), (0, 0, 0, 51)), (204, 204, 204)),
        (Image.fromarray(np.full((9, 9), 65535, np.uint16)), (255, 255, 255)),
        (Image.fromarray(np.full((9, 9), 257 * 100, np.uint16)), (100, 100, 100)),
        (Image.new("RGB", (9, 9), (1, 2, 3)).quantize(4), (1, 2, 3)),
    ],
    ids=["grey", "1-bit", "grey+alpha", "opaque", "transparent", "half", "16-bit white", "16-bit", "palette"],
)
def test_modes_become_rgb(image, expected):
    np.testing.assert_array_equal(pixels(encoded(image)), np.broadcast_to(expected, (9, 9, 3)))


def test_32_bit_grey_has_no_range():
    with pytest.raises(decode.RejectedPicture, match="32-bit pixels have no agreed range"):
        pixels(encoded(Image.fromarray(np.full((9, 9), 65536, np.int32)), "TIFF"))


def test_cmyk_jpeg():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(pixels(data).astype(int) - (255, 0, 0)).max() <= 4


def test_palette_with_transparency_lies_over_white():
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.paste(1, (4, 0, 8, 8))
    rgb = pixels(encoded(palette, "PNG", transparency=0))
    assert rgb[0, 0].tolist() == [255, 255, 255]
    assert rgb[0, 7].tolist() == [200, 100, 50]


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(data)[0, 0].tolist() == [255, 0, 0]


def test_colours_are_converted_from_an_embedded_profile():
    # A picture in Lab's XYZ-based profile would be hard to read off; sRGB itself must change nothing.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(pixels(encoded(ramp(), icc_profile=srgb)), ramp())


@pytest.mark.parametrize("profile", [b"no profile", b""])
def test_a_broken_profile_is_ignored(profile):
    np.testing.assert_array_equal(pixels(encoded(ramp(), icc_profile=profile)), ramp())


def test_reasons():
    jpeg = encoded(ramp(300, 200), "JPEG")
    assert reason(b"") == decode.EMPTY
    assert reason(b"just some text, named .jpg") == decode.NOT_A_PICTURE
    assert reason(jpeg[: len(jpeg) // 2]) == decode.TRUNCATED
    png = encoded(ramp(300, 200))
    assert reason(png[: len(png) // 2]) == decode.TRUNCATED
    broken = bytearray(png)
    broken[len(png) // 2] ^= 0xFF
    assert reason(bytes(broken)) in (decode.DECODER_ERROR, decode.TRUNCATED)
    assert reason(encoded(ramp(), "PNG"), max_pixels=60 * 40 - 1) == decode.TOO_LARGE
    assert reason(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")) == decode.UNSUPPORTED_MODE


def test_the_limit_is_checked_before_a_pixel_is_decoded():
    # In two colours: 20 KB as a file, 432 MB as RGB.
    bomb = encoded(Image.new("1", (12_000, 12_000)))
    assert reason(bomb, max_pixels=89_000_000) == decode.TOO_LARGE


def test_shrinking_counts_every_pixel():
    # Fine stripes average to grey; bilinear without antialiasing would pick black or white.
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk = resized(stripes, 40)
    assert np.abs(shrunk - 127).max() <= 4


@pytest.mark.parametrize(("chroma", "factors"), [("420", (2, 2)), ("444", (1, 1))])
def test_jpeg_has_the_chroma_asked_for_and_no_metadata(chroma, factors):
    reopened = Image.open(io.BytesIO(decode.encode(np.asarray(ramp()), "jpeg", 95, chroma)))
    assert reopened.layer[0][1:3] == factors
    assert set(reopened.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    np.testing.assert_allclose(np.asarray(reopened).astype(int), np.asarray(ramp()), atol=30)


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_the_byte_without_meaning_means_nothing(encoding):
    picture = np.asarray(photo(500, 374).convert("RGBX"))
    junk = picture.copy()
    junk[:, :, 3] = np.random.default_rng(0).integers(0, 256, junk.shape[:2])
    ours, other = (decode.encode(decode.resize(p, 299, "stretch"), encoding, 95, "420") for p in (picture, junk))
    assert ours == other
    assert ours == decode.encode(decode.resize(picture, 299, "stretch")[:, :, :3], encoding, 95, "420")


def test_png_is_lossless():
    encoded_ramp = decode.encode(np.asarray(ramp()), "png", 95, "420")
    np.testing.assert_array_equal(pixels(encoded_ramp), ramp())


@pytest.mark.parametrize("size", [(61, 47), (299, 299), (500, 374), (640, 480), (90, 1000)])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_the_direct_ways_for_jpeg_equal_pillows(size, orientation, subsampling, monkeypatch):
    exif = {"exif": exif_of(orientation)} if orientation else {}
    data = encoded(photo(*size), "JPEG", quality=90, subsampling=subsampling, **exif)
    direct = decode.decode(data, MAX_PIXELS)
    monkeypatch.setattr(decode, "_decode_plain_jpeg", lambda *args: None)
    monkeypatch.setattr(decode, "_decode_with_turbo", lambda *args: None)
    assert_equal_pictures(direct, decode.decode(data, MAX_PIXELS))
    assert (direct.width, direct.height) == direct.pixels.shape[1::-1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_direct_way_turns_every_orientation_as_pillow_does(orientation, monkeypatch):
    data = encoded(ramp(), "JPEG", quality=95, exif=exif_of(orientation))
    direct = decode.decode(data, MAX_PIXELS)
    monkeypatch.setattr(decode, "_decode_with_turbo", lambda *args: None)
    assert_equal_pictures(direct, decode.decode(data, MAX_PIXELS))


def assert_equal_pictures(a, b):
    assert a._replace(rgbx=None) == b._replace(rgbx=None)
    np.testing.assert_array_equal(a.pixels, b.pixels)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"comment": b"\xff\xda of the sea"}, {"restart_marker_blocks": 2}])
def test_a_damaged_jpeg_is_what_pillow_says_of_it(mode, options, monkeypatch):
    data = encoded(photo(61, 47).convert(mode), "JPEG", quality=90, **options)
    damaged = [data, data[:400], data[:-2], data + b"more"]
    # The header takes some 600 bytes, the rest of the file twice that.
    random = np.random.default_rng(0)
    for place, value in zip(random.integers(2, min(len(data), 900), 300), random.integers(0, 256, 300)):
        damaged.append(data[:place] + bytes([value]) + data[place + 1 :])

    def outcome(data):
        try:
            return decode.decode(data, MAX_PIXELS)
        except decode.RejectedPicture as rejected:
            return rejected.reason, rejected.detail

    direct = list(map(outcome, damaged))
    # As many as stand behind the header or change nothing.
    assert sum(isinstance(each, decode.Picture) for each in direct) > 30
    monkeypatch.setattr(decode, "_decode_plain_jpeg", lambda *args: None)
    for ours, pillows in zip(direct, map(outcome, damaged)):
        if isinstance(ours, decode.Picture) and isinstance(pillows, decode.Picture):
            assert_equal_pictures(ours, pillows)
        else:
            assert ours == pillows


@pytest.mark.parametrize("size", [(500, 374), (40, 50), (1000, 333), (2000, 1500)])
def test_resizing_equals_pillows_to_within_rounding(size):
    picture = photo(*size)
    expected = np.asarray(picture.resize((299, 299), Image.Resampling.BILINEAR)).astype(int)
    difference = np.abs(resized(picture, 299) - expected)
    assert difference.max() <= 2 and difference.mean() < 0.3


@pytest.mark.parametrize(("mode", "format"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGB", "BMP"), ("RGBA", "TIFF")])
def test_a_large_picture_comes_at_reduced_scale_and_looks_the_same(mode, format):
    data = encoded(photo(4000, 3000).convert(mode), format)
    reduced = decode.decode(data, MAX_PIXELS, 299)
    assert reduced.pixels.shape == (750, 1000, 3)
    assert (reduced.width, reduced.height) == (4000, 3000)
    whole = decode.decode(data, MAX_PIXELS)
    assert whole.pixels.shape == (3000, 4000, 3)
    ours = resized(reduced.pixels, 299)
    assert np.abs(ours - resized(whole.pixels, 299)).mean() < 2


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_long_picture_is_reduced_along_its_longer_side(format, monkeypatch):
    monkeypatch.setattr(decode, "_LARGE_BYTES", 500_000)
    data = encoded(photo(2500, 350), format)
    reduced = decode.decode(data, MAX_PIXELS, 80).pixels
    assert reduced.shape == (175, 313, 3)
    whole = resized(pixels(data), 80)
    assert np.abs(resized(reduced, 80) - whole).mean() < 2


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
@pytest.mark.parametrize("size", [None, 85])
def test_tiles_meet_without_a_seam(mode, size, monkeypatch):
    data = encoded(photo(1100, 700).convert(mode), "TIFF")
    monkeypatch.setattr(decode, "_LARGE_BYTES", 0)
    in_tiles = decode.decode(data, MAX_PIXELS, size).pixels
    monkeypatch.setattr(decode, "_TILE", 10**6)
    np.testing.assert_array_equal(in_tiles, decode.decode(data, MAX_PIXELS, size).pixels)


def test_a_jpeg_with_further_pictures_behind_it_is_a_jpeg():
    first = photo(1300, 1210)
    data = encoded(first, "MPO", quality=90, save_all=True, append_images=[photo(60, 40)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    expected = decode.decode(encoded(first, "JPEG", quality=90), MAX_PIXELS, 299).pixels
    np.testing.assert_array_equal(decode.decode(data, MAX_PIXELS, 299).pixels, expected)


def test_an_open_file_gives_what_its_bytes_give(tmp_path, monkeypatch):
    for format in ("JPEG", "PNG"):
        data = encoded(photo(300, 200), format)
        (tmp_path / "picture").write_bytes(data)
        for limit in (2**24, 1000):
            monkeypatch.setattr(decode, "_LARGE_BYTES", limit)
            with open(tmp_path / "picture", "rb") as file:
                np.testing.assert_array_equal(decode.decode(file, MAX_PIXELS).pixels, pixels(data))


@pytest.mark.parametrize(
    ("image", "format", "options", "limit"),
    [
        (Image.new("RGB", (50, 40)), "PNG", {}, 2000),
        (Image.new("RGB", (50, 40)), "JPEG", {}, 2000),
        (Image.new("RGB", (50, 40)), "WEBP", {}, 4 * 2000),
        (Image.new("RGB", (50, 40)), "JPEG", {"progressive": True, "subsampling": "4:2:0"}, 2000),
        (Image.new("RGB", (50, 40)), "JPEG", {"progressive": True, "subsampling": "4:4:4"}, 3000),
        (Image.new("CMYK", (50, 40)), "JPEG", {"progressive": True, "subsampling": "4:4:4"}, 4000),
        # A strip as high as the picture, and the file of 500 bytes or so.
        (Image.new("RGB", (50, 40)), "TIFF", {"compression": "tiff_lzw"}, 4100),
    ],
    ids=["png", "jpeg", "webp", "progressive", "progressive 444", "progressive cmyk", "tiff"],
)
def test_what_takes_more_memory_counts_as_more_pixels(image, format, options, limit):
    data = encoded(image, format, **options)
    decode.decode(data, limit + limit // 20)
    assert reason(data, limit - limit // 20) == decode.TOO_LARGE


MEMORY = """
import sys
from pathlib import Path
from dogcat.dataset import encoding
from dogcat.core import runtime
from dogcat.dataset.options import ShardOptions
runtime.keep_large_blocks()
chunk = encoding.encode_chunk(Path(sys.argv[1]), [encoding.Task(sys.argv[2], 0, "")], ShardOptions())
assert len(chunk.labels) == 1, chunk.rejections
# Not ru_maxrss: that begins with the memory of the process from which this one came.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
@pytest.mark.parametrize(
    ("mode", "format", "pixels"),
    [
        ("RGB", "PNG", MAX_PIXELS),
        ("RGBA", "PNG", MAX_PIXELS),
        ("CMYK", "TIFF", MAX_PIXELS),
        ("RGB", "WEBP", MAX_PIXELS // 4),
    ],
)
def test_a_worker_stays_below_400_mib_at_the_limit_of_pixels(mode, format, pixels, tmp_path):
    side = int(pixels**0.5)
    Image.new(mode, (side, side)).save(tmp_path / "picture", format)
    command = [sys.executable, "-c", MEMORY, str(tmp_path), "picture"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    # Not far below, or the limit is lower than it need be.
    assert 340 < int(done.stdout) / 1024 < 400


def test_a_jpeg_that_is_not_much_larger_is_decoded_whole():
    data = encoded(photo(1000, 800), "JPEG")
    assert decode.decode(data, MAX_PIXELS, 299).pixels.shape == (800, 1000, 3)


def test_crop_takes_the_middle_and_pad_adds_black():
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = 200
    np.testing.assert_array_equal(resized(wide, 20, "crop"), np.full((20, 20, 3), 200))
    padded = resized(np.full((40, 100, 3), 200, np.uint8), 20, "pad")
    assert padded[:6].max() == padded[14:].max() == 0
    np.testing.assert_array_equal(padded[6:14], np.full((8, 20, 3), 200))
    for how in ("crop", "pad", "stretch"):
        assert resized(np.zeros((1, 5000, 3), np.uint8), 20, how).shape == (20, 20, 3)


def test_libraries_print_nothing_about_damaged_files():
    """In a process of its own, where what C code prints is seen too."""
    script = """
import io, sys
from PIL import Image
from dogcat.dataset import encoding
from dogcat.pictures import decode
from dogcat.cleaning import survey
for format in ("TIFF", "JPEG", "PNG", "WEBP", "GIF", "BMP"):
    for options in ({}, {"compression": "tiff_lzw"}) if format == "TIFF" else ({},):
        buffer = io.BytesIO()
        Image.effect_noise((200, 150), 80).convert("RGB").save(buffer, format, **options)
        whole = bytearray(buffer.getvalue())
        for place in range(0, len(whole), max(1, len(whole) // 60)):
            damaged = bytearray(whole)
            damaged[place] ^= 0x55
            for data in (bytes(damaged), bytes(whole[:place])):
                try:
                    decode.resize(decode.decode(data, 10**7, 32).rgbx, 32, "stretch")
                except decode.RejectedPicture as rejected:
                    assert rejected.reason and rejected.detail
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_not_a_regular_file_is_unreadable_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "terminal.jpg").symlink_to("/dev/tty")
    # Which would wait for the kernel's next message.
    (tmp_path / "kernel.jpg").symlink_to("/proc/kmsg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        for path in sorted(tmp_path.iterdir()):
            rejection = encoding.read_picture(tmp_path, path.name, MAX_PIXELS, None)
            seen = survey.survey(tmp_path, [path.name], {}, (), MAX_PIXELS, 1).unusable[0]
            assert rejection.detail and rejection.reason == seen.reason
            assert rejection.reason == (decode.EMPTY if path.name == "kernel.jpg" else encoding.UNREADABLE)


def test_a_tiff_is_read_where_standard_error_is_closed():
    data = encoded(ramp(), "TIFF", compression="tiff_lzw")
    kept = os.dup(2)
    os.close(2)
    try:
        np.testing.assert_array_equal(pixels(data), ramp())
        with pytest.raises(OSError):
            os.fstat(2)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
