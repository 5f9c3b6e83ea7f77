"""Decodes pictures for training on another machine: the dispatcher of a data service, or one of its workers.

One dispatcher hands out blocks of 32 pictures, which any number of workers read and decode, and one process takes, by
dogcat train --data_service=grpc://HOST:PORT. Validation, features and evaluation stay where the training is.

Training sees each picture at most once in an epoch. A worker that ends takes with it the blocks that it was at, up to
8, which the epoch then lacks; back on its port, or new, it gets further ones. While it is away and not back, the
training waits, and ends after --data_service_wait. A dispatcher that is started again with the same --work and port
goes on, and nothing is lost. Which pictures come when is not repeatable.

Whoever reaches a port may have any TensorFlow graph computed, which reads and writes files: serve in networks alone
that keep others out. Servers listen on all addresses of the machine. SIGTERM and Ctrl-C end them.
"""

from __future__ import annotations

import dataclasses
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogcat.core import flags, runtime
from dogcat.core.bounds import Bounds
from dogcat.core.interrupts import Terminated
from dogcat.core.options import InputError, Options, is_address, option, refuse_unused
from dogcat.core.places import place_of
from dogcat.core.text import printable
from dogcat.dataset import manifest, shard_plan
from dogcat.loading import dispatcher
from dogcat.loading.dispatcher import PROTOCOL, WANTED, dispatcher_option, host_and_port, is_dispatcher

if TYPE_CHECKING:
    import tensorflow as tf

_DISPATCHER, _WORKER = "dispatcher", "worker"
_PORTS = {_DISPATCHER: 5050, _WORKER: 5051}
_OF_OTHER_ROLE = {_DISPATCHER: ("dispatcher", "tfrecords", "host"), _WORKER: ("work",)}


@dataclasses.dataclass(frozen=True)
class ServeOptions(Options):
    """Options of `tools.serve_data`."""

    role: str = option(
        _DISPATCHER,
        "What to be: the dispatcher, of which there is one, or a worker.",
        choices=(_DISPATCHER, _WORKER),
        positional=True,
    )
    port: int = option(
        0,
        "Port to listen on, always the same, so that others find the server when it is started again.",
        bounds=Bounds(at_least=1, at_most=2**16 - 1, zero="for 5050 of a dispatcher, 5051 of a worker"),
    )
    dispatcher: str = dispatcher_option("Of a worker: its dispatcher's address, like grpc://host:5050.")
    tfrecords: str = option(
        "data/tfrecords",
        "Of a worker: folder of the data set, at the path that it has where the training is, or its address, like "
        "gs://bucket/set.",
        if_empty="give a folder",
        path=True,
        remote=True,
    )
    host: str = option("", "Of a worker: name by which the training reaches this machine. Empty: its host name.")
    work: str = option(
        "data-service",
        "Of a dispatcher: folder that holds its state, from which it goes on when it is started again.",
        if_empty="give a folder",
        path=True,
    )

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> ServeOptions:
        """Refuses what belongs to the other role."""
        role = given.get("role", cls.role)
        refuse_unused(given, _OF_OTHER_ROLE.get(role, ()), f"does not belong to a {role}; leave it out")
        return cls(**given)

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used."""
        super().__post_init__()
        self.require("dispatcher", self.role == _DISPATCHER or is_dispatcher(self.dispatcher), WANTED)


def main(options: ServeOptions) -> int:
    """Serves until it is told to stop; returns the exit code."""
    port = options.port or _PORTS[options.role]
    _require_free(port)
    if options.role == _WORKER:
        _require_data_set(options.tfrecords)
        dispatcher.require_answer(options.dispatcher, "dispatcher")
    runtime.prepare()
    import tensorflow as tf

    # Pictures are decoded by the processor; GPUs are for others.
    tf.config.set_visible_devices([], "GPU")
    server = _dispatcher(options, port) if options.role == _DISPATCHER else _worker(options, port)
    try:
        threading.Event().wait()
    except (KeyboardInterrupt, Terminated):
        # The end that there is.
        print("\nstopped")
    finally:
        server.stop()
    return 0


def _dispatcher(options: ServeOptions, port: int) -> tf.data.experimental.service.DispatchServer:
    import tensorflow as tf

    work = Path(options.work).absolute()
    work.mkdir(parents=True, exist_ok=True)
    config = tf.data.experimental.service.DispatcherConfig(
        port=port, protocol=PROTOCOL, work_dir=str(work), fault_tolerant_mode=True
    )
    server = tf.data.experimental.service.DispatchServer(config)
    print(printable(f"dispatcher on port {port}, its state in {work}; Ctrl-C ends it"), flush=True)
    return server


def _worker(options: ServeOptions, port: int) -> tf.data.experimental.service.WorkerServer:
    import tensorflow as tf

    address = f"{options.host or socket.gethostname()}:{port}"
    config = tf.data.experimental.service.WorkerConfig(
        dispatcher_address=host_and_port(options.dispatcher), worker_address=address, port=port, protocol=PROTOCOL
    )
    server = tf.data.experimental.service.WorkerServer(config)
    print(printable(f"worker of {options.dispatcher}, reached as {address}; Ctrl-C ends it"), flush=True)
    return server


def _require_free(port: int) -> None:
    """Raises InputError for a port that another program has, which gRPC would share with it."""
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise InputError(
            f"--port={port}: cannot be listened on ({error.strerror or error}); end what has it, or give another"
        ) from error


def _require_data_set(place: str) -> None:
    """Raises InputError where there is no data set."""
    manifest.load(place_of(place if is_address(place) else str(Path(place).absolute())), shard_plan.TRAIN)


if __name__ == "__main__":
    flags.run(main, ServeOptions)
