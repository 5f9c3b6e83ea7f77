from __future__ import annotations

import os
import time

import numpy as np
import pytest

from dogcat.mapped_file import MappedFile, MappedStretches, Spans

BYTES = 8 * 2**20


@pytest.fixture
def path(tmp_path):
    content = np.random.default_rng(0).integers(0, 256, BYTES).astype(np.uint8)
    with open(tmp_path / "file", "wb") as file:
        file.write(content.tobytes())
        os.fsync(file.fileno())
        # Out of memory, where the file system can do without.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return tmp_path / "file"


def in_memory(file, starts):
    return [file.is_in_memory(int(start)) for start in starts]


def test_what_is_announced_comes_into_memory_and_little_else(path):
    file = MappedFile(path)
    starts = np.arange(1, 8, dtype=np.int64) * 2**20 + 5
    stretches = MappedStretches([file], [Spans(starts, np.full_like(starts, 10_000))])
    if any(in_memory(file, starts)):
        pytest.skip("the temporary folder's file system keeps files in memory")
    stretches.announce(np.arange(len(starts)))
    deadline = time.monotonic() + 10
    while not all(in_memory(file, starts)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert all(in_memory(file, starts))
    assert not any(in_memory(file, starts + 2**19))


def test_the_content_is_the_files_and_goes_on_after_it(path):
    content = MappedFile(path).content
    assert content.dtype == np.uint8 and content.tobytes() == path.read_bytes()


@pytest.mark.parametrize("count", [0, 1, 20])
def test_announcing_reaches_to_the_end_of_the_file(path, count):
    stretches = MappedStretches([MappedFile(path)], [Spans(np.full(count, BYTES - 1), np.ones(count, np.int64))])
    stretches.announce(np.arange(count))


def test_each_stretch_is_of_its_own_file(path, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(bytes(BYTES))
    spans = [Spans(np.array([5, 10]), np.array([1, 2])), Spans(np.array([7]), np.array([3]))]
    stretches = MappedStretches([MappedFile(path), MappedFile(other)], spans)
    assert stretches.file_of.tolist() == [0, 0, 1]
    assert stretches.starts.tolist() == [5, 10, 7] and stretches.lengths.tolist() == [1, 2, 3]
