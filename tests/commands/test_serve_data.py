"""Training on pictures that a data service decodes, as commands, and how the servers begin and end."""

from __future__ import annotations

import dataclasses
import signal
import socket

import pytest
from conftest import command, make, start, without_progress
from data_servers import DataServers, free_ports
from small_runs import flags_of, history_of, small_run

from dogcat.core.options import InputError
from dogcat.loading import dispatcher
from dogcat.training.options import TrainingOptions


def train(options):
    """Runs the command; gives its exit code, what it printed, and what it said to standard error."""
    with start(command("dogcat.train", *flags_of(options))) as process:
        out, err = process.communicate(timeout=600)
    return process.returncode, out, without_progress(err)


def test_training_ends_where_no_picture_comes_and_goes_on_when_workers_are_back(tfrecords, tmp_path):
    with DataServers(tmp_path, tfrecords, 2) as servers:
        for number in range(2):
            servers.kill(servers.workers[number])
        options = small_run(
            tfrecords, tmp_path / "runs", unfreeze_from="conv2", epochs=1, report=False,
            data_service=servers.address, data_service_wait=3.0,
        )  # fmt: skip
        code, out, said = train(options)
        [run] = (path for path in (tmp_path / "runs").iterdir() if path.name.startswith("2"))
        assert code == 75 and f"decoded by the data service {servers.address}" in out
        assert said.splitlines()[-1] == (
            f"stopped, since no batch came from {servers.address} for 3 s; the same command with --resume goes on with "
            f"{run}, from its last whole epoch on"
        )

        for number in range(2):
            servers.start_worker(number)
        code, out, _ = train(dataclasses.replace(options, resume=True, data_service_wait=100.0))
        assert code == 0 and f"resuming: {run} in epoch 1" in out
        assert [row["epoch"] for row in history_of(run)] == [0, 1]

        for process, number in ((servers.workers[0], signal.SIGTERM), (servers.dispatcher, signal.SIGINT)):
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0
            assert out.endswith("\nstopped\n") and err == ""


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(dispatcher, "_SECONDS", 0.0)


def test_what_cannot_be_served_or_reached_is_told_in_a_line(call, tfrecords, samples, tmp_path, at_once):
    [port] = free_ports(1)
    nobody = f"grpc://127.0.0.1:{port}"
    no_answer = f"{nobody}: no dispatcher answers there (Connection refused); start one by "

    def line_of(module, *flags):
        ended = call(module, *flags)
        assert ended.code == 2
        [line] = ended.err.splitlines()
        return line.removeprefix("error: ")

    assert line_of("dogcat.train", tfrecords, f"--data_service={nobody}").startswith(f"--data_service={no_answer}")
    serve = "tools.serve_data"
    worker = ("worker", f"--dispatcher={nobody}", f"--port={port}")
    assert line_of(serve, *worker, f"--tfrecords={tfrecords}").startswith(f"--dispatcher={no_answer}")
    assert line_of(serve, *worker, f"--tfrecords={tmp_path}/none").startswith(f"{tmp_path}/none does not exist; make")
    assert (
        line_of(serve, "dispatcher", "--tfrecords=x") == "--tfrecords=x: does not belong to a dispatcher; leave it out"
    )
    assert line_of(serve, "worker").startswith("--dispatcher=: give the dispatcher's address, like grpc://host:5050")
    with socket.create_server(("", port)):
        assert line_of(serve, "dispatcher", f"--port={port}").startswith(
            f"--port={port}: cannot be listened on (Address"
        )
    raw = tmp_path / "raw"
    make(samples / "train", raw, image_size=96, encoding="raw", validation=0.3)
    assert "the data set has raw pixels" in line_of("dogcat.train", raw, f"--data_service={nobody}")


@pytest.mark.parametrize(
    "flags",
    [
        {"data_service": "host:5050"},
        {"data_service": "grpc://host:70000"},
        {"data_service": "grpc://host:5050", "cache": "memory"},
        {"data_service": "grpc://host:5050", "cache_trunk": "on"},
        {"data_service": "grpc://host:5050", "find_lr": True},
        {"data_service": "grpc://host:5050", "epochs": 0},
        {"data_service_wait": 5.0},
    ],
)
def test_flags_that_do_not_go_together_are_refused(flags):
    with pytest.raises(InputError, match=rf"^--{list(flags)[-1]}\b"):
        TrainingOptions.from_given(flags)
