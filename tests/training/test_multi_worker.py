"""Training in two processes that find each other by TF_CONFIG or the variables of Slurm."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import time

import numpy as np
import pytest
from conftest import command, make, start, without_progress
from PIL import Image
from small_runs import flags_of, history_of, small_run

from dogcat.training import run as training


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def by_tf_config():
    """The variables of two workers."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    for index in range(2):
        yield {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})}


def by_slurm():
    """The variables that srun sets for two tasks on this machine, in a job whose ports are free."""
    job = next(job for job in range(os.getpid(), os.getpid() + 2000) if are_free(12000 + job % 2000 * 10, 2))
    names = {"SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": 2}
    for rank in range(2):
        yield {**names, "SLURM_PROCID": rank}


def are_free(first, count):
    with contextlib.ExitStack() as stack:
        for port in range(first, first + count):
            try:
                stack.enter_context(socket.socket()).bind(("localhost", port))
            except OSError:
                return False
    return True


@pytest.fixture
def start_workers(tmp_path):
    """Starts two workers, each with a cache and a place for temporary files of its own; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start_both(*options, variables=by_tf_config):
            """Takes the options of both, or of each."""
            workers = []
            for index, named in enumerate(variables()):
                places = {"TMPDIR": tmp_path / f"home{index}", "DOGCAT_CACHE": tmp_path / f"cache{index}"}
                for place in places.values():
                    place.mkdir(exist_ok=True)
                given = dataclasses.asdict(options[index % len(options)])
                arguments = [f"--{name}={value}" for name, value in given.items()]
                workers.append(stack.enter_context(start(command("dogcat.train", *arguments), **named, **places)))
                stack.callback(workers[-1].kill)
            return workers

        yield start_both


def wait_for(condition, workers):
    """Waits until something is seen, while all workers work."""
    deadline = time.monotonic() + 600
    while not (seen := condition()):
        assert [worker.poll() for worker in workers] == [None, None] and time.monotonic() < deadline
        time.sleep(0.02)
    return seen


def finish(workers, codes=(0, 0)):
    ended = [worker.communicate(timeout=900) for worker in workers]
    assert tuple(worker.returncode for worker in workers) == codes, "\n".join(err for _, err in ended)
    return ended


def runs_in(folder):
    return sorted(path for path in folder.iterdir() if not path.is_symlink() and path.name != "tensorboard")


@pytest.fixture
def options(tfrecords, tmp_path):
    return small_run(
        tfrecords, tmp_path / "two", preset="best", unfreeze_from="conv2", epochs=2, patience=9,
        strategy="multi_worker", augment="none", shear=0.0, zoom=0.0, flip=0.0, report=False,
    )  # fmt: skip


def test_two_workers_give_the_losses_of_one_process_and_one_of_them_writes(
    options, start_workers, tmp_path, without_drawings
):
    ended = finish(start_workers(options))
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
    finish(start_workers(options, variables=by_slurm))
    first, second = runs_in(tmp_path / "two")
    assert (first / "history.csv").read_bytes() == (second / "history.csv").read_bytes()


def test_a_killed_worker_and_a_signal_to_one_stop_all_and_any_number_goes_on(
    start_workers, tmp_path, call, without_drawings
):
    options = long_epoch(tmp_path, strategy="multi_worker")

    def saved():
        """The step of the newest state within the epoch."""
        states = (tmp_path / "runs").glob("2*/state/00000-*")
        return max((int(path.name[6:]) for path in states if (path / "progress.json").exists()), default=0)

    workers = start_workers(options)
    wait_for(saved, workers)
    workers[1].kill()
    killed = time.monotonic()
    (_, said), _ = finish(workers, (75, -signal.SIGKILL))
    # A worker that is silent is waited for 10 s.
    assert time.monotonic() - killed < 20
    [run] = runs_in(tmp_path / "runs")
    how = f"the same command with --resume goes on with {run}\n"
    assert without_progress(said) == f"stopped, since another worker is gone; {how}"

    before = saved()
    shutil.copytree(tmp_path / "runs", tmp_path / "older")
    options = dataclasses.replace(options, resume=True)
    workers = start_workers(options)
    wait_for(lambda: saved() > before, workers)
    workers[1].send_signal(signal.SIGTERM)
    ended = finish(workers, (75, 75))
    assert f"resuming: {run} in epoch 1, of which {before} of" in ended[0][0]
    assert without_progress(ended[0][1]) == f"terminated; {how}"
    said = "terminated; the same command with --resume goes on with the first worker's run\n"
    assert without_progress(ended[1][1]) == said

    older = dataclasses.replace(options, runs=str(tmp_path / "older"))
    for _, said in finish(start_workers(options, older), (2, 2)):
        assert without_progress(said).startswith(
            "error: --resume: the workers would go on from different steps of the run"
        )

    before = saved()
    options = dataclasses.replace(options, strategy="one_device", save_minutes=9)
    done = call("dogcat.train", *flags_of(options))
    assert done.code == 0, done.err
    assert f"resuming: {run} in epoch 1, of which {before} of" in done.out
    assert "the run began on 2 devices" in done.out
    whole = history_of(training.train(dataclasses.replace(options, runs=str(tmp_path / "whole"), resume=False)))
    for ours, theirs in zip(history_of(run), whole):
        for name in ("loss", "val_loss"):
            assert ours[name] == pytest.approx(theirs[name], abs=1e-3, nan_ok=True)


def long_epoch(tmp_path, **changes):
    """Options of a run with one epoch of many steps, that saves as often as it may."""
    generator = np.random.default_rng(0)
    for number in range(600):
        path = tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(number % 2 * 40, 200, (32, 32, 3), np.uint8)).save(path)
    make(tmp_path / "images", tmp_path / "data", validation=0.05, encoding="raw")
    return small_run(
        tmp_path / "data", tmp_path / "runs", batch_size=2, unfreeze_from="conv2", epochs=1, save_minutes=1e-9,
        batch_norm="inference", augment="none", shear=0.0, zoom=0.0, flip=0.0, report=False, **changes,
    )  # fmt: skip


def test_workers_with_different_options_train_nothing(options, start_workers, tmp_path):
    ended = finish(start_workers(options, dataclasses.replace(options, seed=5)), (2, 2))
    assert [err for _, err in ended] == [
        f"error: --seed={seed}: another worker has another value; give all of them the same\n"
        for seed in (options.seed, 5)
    ]
    assert not (tmp_path / "two").exists()


def test_a_port_that_another_program_has_is_one_line(options, tmp_path):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        cluster = {"worker": [f"localhost:{other.getsockname()[1]}", "localhost:9"]}
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}})
        arguments = flags_of(options)
        with start(command("dogcat.train", *arguments), TF_CONFIG=config) as worker:
            _, said = worker.communicate(timeout=300)
    assert worker.returncode == 2
    assert said.startswith(f"error: {cluster['worker'][0]}: this worker cannot listen on its port")
    assert len(said.splitlines()) == 1
