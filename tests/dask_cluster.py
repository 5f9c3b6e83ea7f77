"""A scheduler and workers of Dask on 127.0.0.1, in processes of their own, which end with the block whatever comes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from pathlib import Path
from typing import Callable

from conftest import ROOT, command, start

_LONGEST_START = 200


class DaskCluster:
    """A scheduler, and as many workers as are started; a context manager.

    Attributes:
        place: What `--cluster` takes.
        scheduler: The scheduler's process.
        workers: The workers' processes, in the order in which they were started.
    """

    def __init__(self, folder: Path, workers: int = 0) -> None:
        """Takes an empty folder, and how many workers to begin with."""
        self._file = folder / "scheduler.json"
        self._folder = folder
        self._first = workers
        self.place = f"dask:{self._file}"
        self.workers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> DaskCluster:
        with contextlib.ExitStack() as started:
            started.callback(self._end)
            # Where the tests themselves are killed it ends by itself, and its workers with it.
            flags = ("--port=0", f"--scheduler-file={self._file}", "--idle-timeout=600s")
            self.scheduler = self._start("scheduler", *flags, cwd=ROOT)
            wait_until(self._file.exists)
            for _ in range(self._first):
                self.start_worker()
            started.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    @property
    def address(self) -> str:
        """The scheduler's."""
        return json.loads(self._file.read_text())["address"]

    def start_worker(self, preload: str = "", cwd: Path = ROOT) -> subprocess.Popen[str]:
        """Starts a worker of one thread, and lets it run some Python first."""
        more = [f"--preload={preload}"] if preload else []
        place = f"--scheduler-file={self._file}"
        flags = ("--no-nanny", "--nthreads=1", f"--local-directory={self._folder}", *more)
        self.workers.append(self._start("worker", place, *flags, cwd=cwd))
        return self.workers[-1]

    def _start(self, what: str, *flags: str, cwd: Path) -> subprocess.Popen[str]:
        return start(command(f"distributed.cli.dask_{what}", "--host=127.0.0.1", "--no-dashboard", *flags), cwd)

    def _end(self) -> None:
        for process in (*self.workers, *([self.scheduler] if hasattr(self, "scheduler") else [])):
            process.kill()
            process.communicate()


def wait_until(condition: Callable[[], object]) -> None:
    """Asks until something is true."""
    deadline = time.monotonic() + _LONGEST_START
    while not condition():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)
