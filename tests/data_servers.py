"""A data service on 127.0.0.1, its servers in processes of their own, which end with the block whatever comes."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path

from conftest import command, start


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


class DataServers:
    """A dispatcher, and as many workers as are started; a context manager.

    Attributes:
        address: What `--data_service` takes.
        dispatcher: The dispatcher's process.
        workers: The newest process of each worker, by its number.
    """

    def __init__(self, folder: Path, tfrecords: Path, workers: int) -> None:
        """Takes an empty folder, the data set, and how many of two workers to begin with."""
        self._work = folder / "work"
        self._tfrecords = tfrecords
        self._first = workers
        self._port, *self._ports = free_ports(3)
        self._all: list[subprocess.Popen[str]] = []
        self.address = f"grpc://127.0.0.1:{self._port}"
        self.workers: dict[int, subprocess.Popen[str]] = {}

    def __enter__(self) -> DataServers:
        with contextlib.ExitStack() as started:
            started.callback(self._end)
            self.start_dispatcher()
            for number in range(self._first):
                self.start_worker(number)
            for process in self._all:
                process.stdout.readline()
            started.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def start_dispatcher(self) -> None:
        """Starts the dispatcher, again from the state of the one before."""
        self.dispatcher = self._start("dispatcher", f"--port={self._port}", f"--work={self._work}")

    def start_worker(self, number: int) -> None:
        """Starts a worker, on the port that one of this number has had."""
        port = self._ports[number]
        places = (f"--dispatcher={self.address}", "--host=127.0.0.1", f"--tfrecords={self._tfrecords}")
        self.workers[number] = self._start("worker", f"--port={port}", *places)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Ends a server by SIGKILL."""
        process.kill()
        process.wait()

    def _start(self, *flags: str) -> subprocess.Popen[str]:
        self._all.append(start(command("tools.serve_data", *flags)))
        return self._all[-1]

    def _end(self) -> None:
        for process in self._all:
            process.kill()
            process.communicate()
        for port in (self._port, *self._ports):
            # What was left would have it.
            socket.create_server(("127.0.0.1", port)).close()
