from __future__ import annotations

import mmap
import os
import time

import numpy as np
import pytest
from conftest import write_out_of_memory

from dogcat.core.options import InputError
from dogcat.loading.byte_ranges import ByteRanges, RangeFile, Spans
from tools.benchmarks import page_cache

BYTES = 8 * 2**20


@pytest.fixture
def path(tmp_path):
    return write_out_of_memory(tmp_path / "file", BYTES)


def in_memory(file, starts):
    return page_cache.in_memory(file.path)[np.asarray(starts) // mmap.PAGESIZE]


def require_out_of_memory(file):
    if page_cache.in_memory(file.path).any():
        pytest.skip("the temporary folder's file system keeps files in memory")


def wait_until_in_memory(file, starts):
    # A disk may have much else to write.
    deadline = time.monotonic() + 60
    while not in_memory(file, starts).all():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_prefetched_comes_into_memory_and_little_else(path):
    file = RangeFile(path)
    starts = np.arange(1, 8, dtype=np.int64) * 2**20 + 5
    ranges = ByteRanges([file], [Spans(starts, np.full_like(starts, 300_000))])
    require_out_of_memory(file)
    # As one does who looks for what they hold.
    assert all(len(file.read(start, 1)) == 1 for start in starts.tolist())
    ranges.prefetch(np.arange(len(starts)))
    wait_until_in_memory(file, [start + at for start in starts for at in range(0, 300_000, 4096)])
    assert not in_memory(file, starts + 2**19).any()
    assert all(file.is_in_memory(start) for start in starts.tolist())


def test_a_block_is_read_as_a_whole(path, tmp_path):
    first, second = files = [RangeFile(path), RangeFile(write_out_of_memory(tmp_path / "other", BYTES))]
    # Not at the beginning, from which Linux expects a file to be read on.
    starts = np.arange(1, 9, dtype=np.int64) * 2**19
    spans = Spans(starts, np.full_like(starts, 10_000))
    ranges = ByteRanges(files, [spans, spans])
    for file in files:
        require_out_of_memory(file)
    # The second block of 6 has the last two of one file and the first four of the other.
    ranges.prefetch(np.array([10, 7]), block=6)
    wait_until_in_memory(first, range(starts[6], starts[7], 4096))
    wait_until_in_memory(second, range(starts[0], starts[3], 4096))
    # Those of no block that is wanted.
    assert not in_memory(first, starts[:6]).any() and not in_memory(second, starts[4:]).any()
    # Of a batch with pictures that are in memory, the block of one that is not. Linux reads a page that is asked about,
    # and a quick disk may have it in time, so there are several such batches.
    for place in (13, 12, 14, 15):
        ranges.prefetch(np.array([6, place, 8]), block=6)
    wait_until_in_memory(second, starts[4:])


def test_what_is_read_is_the_files(path):
    file = RangeFile(path)
    content = path.read_bytes()
    assert file.size == BYTES and file.read(5, 1000) == content[5:1005]
    parts = [np.empty(10, np.uint8), np.empty((4, 5, 3), np.uint8), np.empty(2, np.uint8)]
    file.read_into(77, *parts)
    assert b"".join(part.tobytes() for part in parts) == content[77 : 77 + 72]


def test_a_file_that_is_cut_short_meanwhile_is_an_error_not_the_end_of_the_process(path):
    file = RangeFile(path)
    os.truncate(path, 1000)
    for read in (lambda: file.read(900, 200), lambda: file.read_into(900, np.empty(200, np.uint8))):
        with pytest.raises(ValueError, match=f"it ends at byte 1000, of {BYTES} that it had"):
            read()


def test_what_is_not_a_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path):
        with pytest.raises(InputError, match="is not a regular file"):
            RangeFile(path)


@pytest.mark.parametrize("count", [0, 1, 20])
def test_announcing_reaches_to_the_end_of_the_file(path, count):
    ranges = ByteRanges([RangeFile(path)], [Spans(np.full(count, BYTES - 1), np.ones(count, np.int64))])
    ranges.prefetch(np.arange(count))


def test_each_range_is_of_its_own_file(path, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(bytes(BYTES))
    spans = [Spans(np.array([5, 10]), np.array([1, 2])), Spans(np.array([7]), np.array([3]))]
    ranges = ByteRanges([RangeFile(path), RangeFile(other)], spans)
    assert ranges.file_of.tolist() == [0, 0, 1]
    assert ranges.starts.tolist() == [5, 10, 7] and ranges.lengths.tolist() == [1, 2, 3]
