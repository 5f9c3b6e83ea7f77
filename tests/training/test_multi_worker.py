"""Training in two processes that find each other by TF_CONFIG."""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
import time

import pytest
from conftest import command, history_of, small_run, start

from dogcat.training import run as training


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_workers(options, folder):
    """Two workers, each with a cache and a place for temporary files of its own."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    workers = []
    for index in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        places = {"TMPDIR": folder / f"home{index}", "DOGCAT_CACHE": folder / f"cache{index}"}
        for place in places.values():
            place.mkdir(exist_ok=True)
        arguments = [f"--{name}={value}" for name, value in dataclasses.asdict(options).items()]
        workers.append(start(command("dogcat.train", *arguments), TF_CONFIG=config, **places))
    return workers


def finish(workers):
    ended = [worker.communicate(timeout=900) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(err for _, err in ended)
    return ended


def runs_in(folder):
    return sorted(path for path in folder.iterdir() if not path.is_symlink() and path.name != "tensorboard")


@pytest.fixture
def options(tfrecords, tmp_path):
    return small_run(
        tfrecords, tmp_path / "two", preset="best", unfreeze_from="conv2", epochs=2, patience=9,
        strategy="multi_worker", augment="none", shear=0.0, zoom=0.0, flip=0.0,
    )  # fmt: skip


def test_two_workers_give_the_losses_of_one_process_and_one_of_them_writes(options, tmp_path, without_drawings):
    ended = finish(start_workers(options, tmp_path))
    assert "best: epoch" in ended[0][0] and ended[1][0] == ""
    [run] = runs_in(tmp_path / "two")
    assert json.loads((run / "config.json").read_text())["replicas"] == 2
    assert (tmp_path / "two" / "latest-best").resolve() == run
    # Nothing of the second worker stays.
    assert list((tmp_path / "home1").iterdir()) == []
    alone = dataclasses.replace(options, runs=str(tmp_path / "one"), strategy="one_device")
    for ours, theirs in zip(history_of(training.train(alone)), history_of(run)):
        for name in ("loss", "val_loss"):
            assert theirs[name] == pytest.approx(ours[name], abs=1e-4, nan_ok=True)
    # The first worker alone has kept the features.
    finish(start_workers(options, tmp_path))
    first, second = runs_in(tmp_path / "two")
    assert (first / "history.csv").read_bytes() == (second / "history.csv").read_bytes()


def test_stopped_workers_go_on_from_the_last_epoch(options, tmp_path):
    options = dataclasses.replace(options, epochs=8)
    workers = start_workers(options, tmp_path)
    deadline = time.monotonic() + 600
    while not list((tmp_path / "two").glob("*/checkpoints/model-02-*")):
        assert [worker.poll() for worker in workers] == [None, None] and time.monotonic() < deadline
        time.sleep(0.1)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    ended = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [75, 75], ended
    [run] = runs_in(tmp_path / "two")
    assert ended[0][1] == f"terminated; the same command with --resume goes on with {run}\n"
    assert ended[1][1] == "terminated; the same command with --resume goes on with the first worker's run\n"
    epochs = len(history_of(run))
    ended = finish(start_workers(dataclasses.replace(options, resume=True), tmp_path))
    assert f"resuming: {run} in epoch {epochs}, of which 0 of" in ended[0][0]
    assert len(history_of(run)) == 9
