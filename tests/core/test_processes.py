from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogcat.core.calls import WorkLostError
from dogcat.core.processes import Workers
from dogcat.dataset import encoding
from dogcat.dataset.encoding import Task
from dogcat.dataset.options import ShardOptions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(40):
        # Some take much longer than others.
        side = 1500 if number % 7 == 0 else 40
        pixels = random.integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "39.png").write_bytes(b"none")
    return folder


def calls(folder):
    options = ShardOptions(str(folder), "out", image_size=32)
    for first in range(0, 40, 2):
        tasks = [Task(f"{number}.png", number % 2, "cat") for number in (first, first + 1)]
        yield folder, tasks, options


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_order_whatever_the_number_of_workers(folder, count):
    with Workers(count, encoding.encode_chunk) as workers:
        got = list(workers.starmap(calls(folder)))
    wanted = [encoding.encode_chunk(*call) for call in calls(folder)]
    assert [chunk.framed for chunk in got] == [chunk.framed for chunk in wanted]
    assert [chunk.index.to_bytes() for chunk in got] == [chunk.index.to_bytes() for chunk in wanted]
    assert got[-1].rejections == wanted[-1].rejections != []
    np.testing.assert_array_equal([chunk.channel_sums for chunk in got], [chunk.channel_sums for chunk in wanted])


def test_no_more_is_begun_than_memory_is_for(folder):
    taken = 0

    def counted():
        nonlocal taken
        for call in calls(folder):
            taken += 1
            yield call

    with Workers(2, encoding.encode_chunk) as workers:
        for given, _ in enumerate(workers.starmap(counted()), start=1):
            assert taken - given <= 2 * 4
    assert taken == 20


def test_a_worker_that_is_killed_is_told(folder):
    with Workers(2, encoding.encode_chunk) as workers:
        chunks = workers.starmap(calls(folder))
        next(chunks)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
        with pytest.raises(WorkLostError, match="killed"):
            list(chunks)


def test_an_error_of_the_function_is_raised():
    with Workers(1, encoding.encode_chunk) as workers, pytest.raises(TypeError, match="positional argument"):
        list(workers.starmap(iter([("wrong",)])))
    assert not multiprocessing.active_children()


PROGRAM = """
import os, sys, threading
from dogcat.core import processes

if __name__ == "__main__":
    if "threads" in sys.argv:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    with processes.Workers(2, os.getppid) as workers:
        print(os.getpid() in workers.starmap(iter([()])))
"""


@pytest.mark.parametrize("threads", [False, True])
def test_a_process_with_threads_is_not_forked(threads, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, *["threads"] * threads]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{not threads}\n", "")


WITHOUT_SEMAPHORES = """
import os, resource
from dogcat.core import processes

# They are files in memory, and no file may grow now.
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
with processes.Workers(2, os.getpid) as workers:
    print(set(workers.starmap(iter([()] * 20))) == {os.getpid()})
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="semaphores are files on Linux")
def test_without_semaphores_threads_do_the_work(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(WITHOUT_SEMAPHORES)
    done = subprocess.run([sys.executable, program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("True\n", 0)
    assert done.stderr.startswith("note: no worker processes, since /dev/shm cannot be used (")
    assert len(done.stderr.splitlines()) == 1
