from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import environment
from picture_files import encoded, photo, pixels, ramp, reason
from PIL import Image

from dogcat.cleaning import survey
from dogcat.dataset import encoding
from dogcat.pictures import decode, memory_limits, rejections
from dogcat.pictures.geometry import MAX_PIXELS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG"])
def test_formats_are_told_by_content(format):
    flat = Image.new("RGB", (20, 20), (200, 100, 50))
    assert np.abs(pixels(encoded(flat, format)).astype(int) - (200, 100, 50)).max() <= 3


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(data)[0, 0].tolist() == [255, 0, 0]


def test_reasons():
    jpeg = encoded(ramp(300, 200), "JPEG")
    assert reason(b"") == rejections.EMPTY
    assert reason(b"just some text, named .jpg") == rejections.NOT_A_PICTURE
    assert reason(jpeg[: len(jpeg) // 2]) == rejections.TRUNCATED
    png = encoded(ramp(300, 200))
    assert reason(png[: len(png) // 2]) == rejections.TRUNCATED
    broken = bytearray(png)
    broken[len(png) // 2] ^= 0xFF
    assert reason(bytes(broken)) in (rejections.DECODER_ERROR, rejections.TRUNCATED)
    assert reason(encoded(ramp(), "PNG"), max_pixels=60 * 40 - 1) == rejections.TOO_LARGE
    assert reason(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF")) == rejections.UNSUPPORTED_MODE


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
            monkeypatch.setattr(memory_limits, "LARGE_BYTES", limit)
            with open(tmp_path / "picture", "rb") as file:
                np.testing.assert_array_equal(decode.decode(file, MAX_PIXELS).pixels, pixels(data))


def test_libraries_print_nothing_about_damaged_files():
    """In a process of its own, where what C code prints is seen too."""
    script = """
import io, sys
from picture_files import noise_of
from dogcat.dataset import encoding
from dogcat.pictures import decode, rejections, resizing
from dogcat.cleaning import survey
for format in ("TIFF", "JPEG", "PNG", "WEBP", "GIF", "BMP"):
    for options in ({}, {"compression": "tiff_lzw"}) if format == "TIFF" else ({},):
        buffer = io.BytesIO()
        noise_of(200, 80).convert("RGB").save(buffer, format, **options)
        whole = bytearray(buffer.getvalue())
        for place in range(0, len(whole), max(1, len(whole) // 60)):
            damaged = bytearray(whole)
            damaged[place] ^= 0x55
            for data in (bytes(damaged), bytes(whole[:place])):
                try:
                    resizing.resize(decode.decode(data, 10**7, 32).rgbx, 32, "stretch")
                except rejections.RejectedPicture as rejected:
                    assert rejected.reason and rejected.detail
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment(), capture_output=True, text=True)
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
            seen = next(survey.look(tmp_path, [path.name], MAX_PIXELS, 1))
            assert rejection.detail and rejection.reason == seen.reason
            assert rejection.reason == (rejections.EMPTY if path.name == "kernel.jpg" else encoding.UNREADABLE)


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
