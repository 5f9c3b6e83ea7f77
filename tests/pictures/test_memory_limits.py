from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest
from picture_files import encoded, photo, pixels, ramp, reason
from PIL import Image

from dogcat.dataset import encoding
from dogcat.pictures import decode, rejections
from dogcat.pictures.geometry import MAX_PIXELS

ROOT = Path(__file__).parents[2]


def test_the_limit_is_checked_before_a_pixel_is_decoded():
    # In two colours: 20 KB as a file, 432 MB as RGB.
    bomb = encoded(Image.new("1", (12_000, 12_000)))
    assert reason(bomb, max_pixels=89_000_000) == rejections.TOO_LARGE


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
    assert reason(data, limit - limit // 20) == rejections.TOO_LARGE


MEMORY = """
import sys
from pathlib import Path
from dogcat.dataset import encoding
from dogcat.core import runtime
from dogcat.dataset.options import ShardOptions
runtime.keep_large_blocks()
chunk = encoding.encode_chunk(Path(sys.argv[1]), [encoding.Task(sys.argv[2], 0, "")], ShardOptions())
assert len(chunk.index.labels) == 1, chunk.rejections
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


def test_a_file_of_more_bytes_than_pixels_can_need_is_refused_unread(tmp_path):
    for format in ("JPEG", "PNG", "BMP"):
        (tmp_path / format).write_bytes(encoded(ramp(), format))
        with open(tmp_path / format, "r+b") as file:
            file.truncate(2**40)
        with fuzzing.memory_within(2**24):
            assert encoding.read_picture(tmp_path, format, MAX_PIXELS, None).reason == rejections.TOO_LARGE


def test_the_limit_of_the_host_program_is_left_alone(monkeypatch):
    assert Image.MAX_IMAGE_PIXELS is not None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    for format in ("JPEG", "PNG", "BMP"):
        assert pixels(encoded(photo(300, 200), format)).shape == (200, 300, 3)
