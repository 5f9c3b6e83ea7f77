"""Training in two processes that find each other by TF_CONFIG."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import small_run

from dogcat import training

ROOT = Path(__file__).parents[1]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def history_of(run):
    with open(run / "history.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_two_workers_give_the_losses_of_one_process_and_one_of_them_writes(tfrecords, tmp_path):
    options = small_run(
        tfrecords, tmp_path / "two", unfreeze_from="140", epochs=2, patience=9, strategy="multi_worker",
        augment="none", shear=0.0, zoom=0.0, flip=0.0,
    )  # fmt: skip
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    workers = []
    for index in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        home = tmp_path / f"home{index}"
        home.mkdir()
        # Nothing of the second worker may stay, so it is given a place of its own for temporary files.
        environment = {**os.environ, "TF_CONFIG": config, "PYTHONPATH": str(ROOT), "TMPDIR": str(home)}
        arguments = [f"--{name}={value}" for name, value in dataclasses.asdict(options).items()]
        workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "dogcat.train", *arguments],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )  # fmt: skip
        )
    ended = [worker.communicate(timeout=900) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], [err for _, err in ended]
    assert "best: epoch" in ended[0][0] and ended[1][0] == ""
    [run] = [path for path in (tmp_path / "two").iterdir() if not path.is_symlink()]
    assert json.loads((run / "config.json").read_text())["replicas"] == 2
    assert list((tmp_path / "home1").iterdir()) == []
    alone = dataclasses.replace(options, runs=str(tmp_path / "one"), strategy="one_device")
    for ours, theirs in zip(history_of(training.train(alone)), history_of(run)):
        for name in ("loss", "val_loss"):
            assert theirs[name] == pytest.approx(ours[name], abs=1e-4, nan_ok=True)
