"""Commands as processes that are forked from one which has imported TensorFlow already.

Importing it takes a small command most of its time. `Forked` behaves as `subprocess.Popen`, and the process is a child
of the caller; only what TensorFlow and NumPy read from the environment when they are imported is read once for all.

`python -m forked DESCRIPTOR` is the process that forks; it ends when the other end of its socket is closed. Training in
the forked ones draws nothing, unless `TESTS_DRAW` is in their environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_runs
import tiny_backbone  # noqa: F401, which the commands know

from dogcat.core import runtime

ROOT = Path(__file__).parents[1]
# A GPU that the first process has seen is of no use to those that are forked.
POSSIBLE = sys.platform == "linux" and not Path("/proc/driver/nvidia").exists()

_LONGEST_REQUEST = 2**17
_PR_SET_CHILD_SUBREAPER = 36


class Forked(subprocess.Popen):
    """A process `python -m tiny_backbone MODULE FLAGS...` that imports nothing large."""

    # Popen makes the pipes, calls this method, and closes its ends of them.
    def _execute_child(
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *others,
    ):  # fmt: skip
        assert args[:3] == [sys.executable, "-m", "tiny_backbone"]
        assert not (executable or preexec_fn or pass_fds or shell)
        streams = [stream if stream >= 0 else number for number, stream in enumerate((p2cread, c2pwrite, errwrite))]
        request = {"arguments": args[3:], "cwd": str(cwd or os.getcwd()), "environment": dict(env or os.environ)}
        _, connection = _first_process()
        with _adopting():
            socket.send_fds(connection, [json.dumps(request).encode()], streams)
            answer = connection.recv(1000).decode()
        if not answer.isdigit():
            raise RuntimeError(f"no process was forked: {answer or 'see standard error'}")
        self.pid, self._child_created = int(answer), True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)


@functools.cache
def _first_process() -> tuple[subprocess.Popen, socket.socket]:
    """Starts the process that forks, once for each process of pytest; returns it and the socket to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "forked", str(theirs.fileno())],
            cwd=ROOT,
            # OpenBLAS begins its threads when it is loaded.
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    return process, ours


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """A block in which a process whose parent ends becomes a child of this one, where that descends from it."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0)


def _wait_for_request(connection: socket.socket) -> dict[str, Any]:
    """Forks a process for each request; returns the request in that process, its streams in their places."""
    while True:
        message, streams, _, _ = socket.recv_fds(connection, _LONGEST_REQUEST, 3)
        if not message:
            # Nothing of this process is worth an orderly end.
            os._exit(0)
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:
            connection.send(f"there are {threads} threads, whose locks would stay as they are".encode())
            continue
        reader, writer = os.pipe()
        between = os.fork()
        if not between:
            forked = os.fork()
            if forked:
                # Now that its parent ends, the process becomes a child of whoever asked for it.
                os.write(writer, str(forked).encode())
                os._exit(0)
            for standard, stream in enumerate(streams):
                os.dup2(stream, standard)
            for descriptor in (*streams, reader, writer):
                os.close(descriptor)
            connection.close()
            return json.loads(message)
        os.waitpid(between, 0)
        connection.send(os.read(reader, 100))
        for descriptor in (*streams, reader, writer):
            os.close(descriptor)


if __name__ == "__main__":
    # Ctrl-C, which a terminal sends to all, is for those that do the work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Scikit-learn imports it where it is, and it starts a thread, with which no process may be forked.
    sys.modules["pandas"] = None  # type: ignore[assignment]
    runtime.prepare()

    import dogcat.prediction.predictor
    import dogcat.reports.build
    import dogcat.training.run  # noqa: F401

    del sys.modules["pandas"]
    # So that no collection at the end of a process copies what it has of this one.
    gc.collect()
    gc.freeze()
    given = _wait_for_request(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(given["environment"])
    tempfile.tempdir = None
    os.chdir(given["cwd"])
    sys.path[0] = given["cwd"]
    sys.argv = given["arguments"]
    if "TESTS_DRAW" not in os.environ:
        small_runs.draw_nothing(pytest.MonkeyPatch())
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
