"""Data sets written in pieces, by processes to the same bytes: a Dask cluster on 127.0.0.1, or parts by number."""

from __future__ import annotations

import concurrent.futures
import contextlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import distributed
import numpy as np
import pytest
from conftest import ROOT, command, contents, make, start, without_progress
from dask_cluster import DaskCluster, wait_until
from picture_files import write_noise

import dogcat
from dogcat.core.calls import Calls, WorkLostError
from dogcat.dataset import shard_pieces, shard_steps, writer
from dogcat.dataset.options import ShardOptions
from dogcat.pictures import folders, labels

SHARDS = 12
FLAGS = (f"--shards={SHARDS}", "--image_size=32")
OTHER_VERSION = "import dogcat; dogcat.__version__ = '0.0.1'"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """48 pictures that take some 7 ms each, two of them unusable, and one without a class."""
    folder = tmp_path_factory.mktemp("pieces")
    write_noise(folder, 24, (1000, 750))
    (folder / "nothing.png").write_bytes((folder / "dog.8.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """The files of the data set that one process makes."""
    output = tmp_path_factory.mktemp("whole") / "out"
    make(images, output, shards=SHARDS)
    return contents(output)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with DaskCluster(tmp_path_factory.mktemp("cluster"), workers=2) as started:
        yield started


@contextlib.contextmanager
def started(images, output, place, cwd=ROOT):
    """The command in a process of its own, which ends with the block."""
    flags = (f"--images={images}", f"--output={output}", *FLAGS, f"--cluster={place}")
    with start(command("tools.make_tfrecords", *flags), cwd) as process:
        try:
            yield process
        finally:
            process.kill()


def end_of(process):
    """What the command wrote to standard error, when it has ended."""
    return without_progress(process.communicate(timeout=200)[1])


def wait_for_shards(output, count):
    """Until the command has taken so many shards from its workers."""
    partial = output.with_name(output.name + ".partial")
    wait_until(lambda: len(list(partial.glob("*.tfrecord"))) >= count)


def kill_after_two_shards(images, output, cluster):
    with started(images, output, cluster.place) as process:
        wait_for_shards(output, 2)
        process.kill()
        process.wait()


def test_the_bytes_are_those_of_one_process(images, whole, cluster, tmp_path, capsys):
    for name, place in (("local", "local:2"), ("dask", cluster.place)):
        made = make(images, tmp_path / name, shards=SHARDS, cluster=place)
        assert contents(tmp_path / name) == whole
        assert made.rejected == {"no_class": 1, "not_a_picture": 1, "truncated": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dask", "local"]
    assert without_progress(capsys.readouterr().err) == ""


def test_raw_pictures_without_labels_too(images, cluster, tmp_path):
    options = {"unlabeled": True, "encoding": "raw", "shards": 3}
    make(images, tmp_path / "whole", **options)
    make(images, tmp_path / "out", cluster=cluster.place, **options)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_any_executor_will_do(images, whole, tmp_path):
    options = ShardOptions(str(images), str(tmp_path / "out"), image_size=32, shards=SHARDS)
    listing = folders.list_images(images)
    work = writer.prepare(listing.folder, labels.label_keys(listing, {}, []), options)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        shard_steps.write_data_set(work, Calls(executor, shard_pieces.write_piece, at_once=4))
    assert contents(tmp_path / "out") == whole


def test_workers_that_are_killed_at_random_change_no_byte(images, whole, tmp_path):
    random = np.random.default_rng(0)
    with DaskCluster(tmp_path, workers=2) as cluster, started(images, tmp_path / "out", cluster.place) as process:
        for _ in range(5):
            wait_for_shards(tmp_path / "out", 1)
            time.sleep(random.uniform(0, 0.1))
            cluster.workers.pop(0).kill()
            # It joins late.
            cluster.start_worker()
        err = end_of(process)
    assert process.returncode == 0 and err == "", err
    assert contents(tmp_path / "out") == whole


def test_after_a_kill_of_the_command_it_goes_on(images, whole, cluster, tmp_path, capsys):
    output = tmp_path / "out"
    kill_after_two_shards(images, output, cluster)
    make(images, output, shards=SHARDS, cluster=cluster.place)
    said = capsys.readouterr().out
    assert "going on after" in said and "after 0" not in said
    assert contents(output) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_work_that_a_killed_command_left_to_workers_is_not_mixed_in(images, whole, cluster, tmp_path, capsys):
    output = tmp_path / "out"
    kill_after_two_shards(images, output, cluster)
    # While a worker may still write a shard of the same name.
    make(images, output, shards=SHARDS, cluster=cluster.place, quality=80)
    assert "discarding unfinished work" in capsys.readouterr().out
    make(images, tmp_path / "expected", shards=SHARDS, quality=80)
    assert contents(output) == contents(tmp_path / "expected") != whole


def test_the_end_of_the_scheduler_ends_the_command_with_one_line(images, whole, tmp_path):
    output = tmp_path / "out"
    with DaskCluster(tmp_path, workers=1) as cluster, started(images, output, cluster.place) as process:
        wait_for_shards(output, 2)
        cluster.scheduler.kill()
        err = end_of(process)
    assert process.returncode == 2
    assert len(err.splitlines()) == 1 and "the scheduler is gone" in err
    # The middle of the line is left out where the paths are long.
    assert "the same command goes on after them" in err
    make(images, output, shards=SHARDS)
    assert contents(output) == whole


def test_ctrl_c_cancels_what_is_queued(images, whole, cluster, tmp_path):
    output = tmp_path / "out"
    with started(images, output, cluster.place) as process:
        wait_for_shards(output, 2)
        process.send_signal(signal.SIGINT)
        err = end_of(process)
    assert process.returncode == 130 and "the same command goes on after them" in err and "Traceback" not in err
    with distributed.Client(cluster.address, set_as_default=False) as client:
        # Those that had begun end by themselves.
        wait_until(lambda: not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))
    make(images, output, shards=SHARDS)
    assert contents(output) == whole


def test_a_worker_of_another_version_is_refused_by_name(images, tmp_path, call):
    flags = (f"--images={images}", f"--output={tmp_path / 'out'}", *FLAGS)
    with DaskCluster(tmp_path, workers=1) as cluster:
        cluster.start_worker(preload=OTHER_VERSION)
        with distributed.Client(cluster.address, set_as_default=False) as client:
            client.wait_for_workers(2)
            [other] = [w for w, v in client.run(eval, "__import__('dogcat').__version__").items() if v == "0.0.1"]
        refused = call("tools.make_tfrecords", *flags, f"--cluster={cluster.place}")
        assert refused.code == 2 and refused.out == ""
        assert f"worker {other} has dogcat 0.0.1; give it dogcat {dogcat.__version__}" in refused.err
        assert len(refused.err.splitlines()) == 1
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.partial").exists()


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="takes a path that leads elsewhere in each process")
def test_a_worker_that_does_not_see_the_pictures_is_refused_by_name(images, tmp_path):
    (tmp_path / "images").symlink_to(images)
    with DaskCluster(tmp_path) as cluster:
        cluster.start_worker(cwd=ROOT)
        with started("/proc/self/cwd/images", tmp_path / "out", cluster.place, cwd=tmp_path) as process:
            err = end_of(process)
    assert process.returncode == 2
    assert "worker tcp://127.0.0.1:" in err and ".jpg in /proc/self/cwd/images; mount the folder there" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out.partial").exists()


def step(call, output, only, *flags):
    return call("tools.make_tfrecords", f"--output={output}", f"--only={only}", *flags)


def test_parts_by_number_make_the_same_bytes(images, whole, tmp_path, call):
    output = tmp_path / "out"
    planned = step(call, output, "plan", f"--images={images}", *FLAGS)
    assert f"planned {SHARDS + 1} shards" in planned.out
    for part in (3, 0, 2, 0):
        assert step(call, output, f"{part}/4", "--workers=1").code == 0
    early = step(call, output, "commit")
    assert early.code == 2 and "--only=commit: 3 of 13 shards are not written, as train-00001-of-00012" in early.err
    # One shard alone, as the error says; and one that is damaged is written again.
    assert step(call, output, "1/13", "--workers=1").code == 0
    [plan] = (tmp_path / "out.partial").glob("plan-*")
    shard = plan / "train-00005-of-00012.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1] if shard.exists() else b"")
    assert step(call, output, "1/4", "--workers=1").code == 0
    done = step(call, output, "commit")
    assert done.code == 0 and "no_class 1, not_a_picture 1, truncated 1" in done.out
    assert contents(output) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    again = step(call, output, "0/4")
    assert again.code == 2 and "no plan is there for it; give --only=plan first" in again.err


def test_a_process_that_does_not_fit_writes_no_piece(images, tmp_path, call, monkeypatch):
    output = tmp_path / "out"
    copy = shutil.copytree(images, tmp_path / "copy")
    step(call, output, "plan", f"--images={copy}", *FLAGS)
    [plan] = (tmp_path / "out.partial").glob("plan-*")
    with monkeypatch.context() as patch:
        patch.setattr(dogcat, "__version__", "0.0.1")
        with pytest.raises(WorkLostError, match="has dogcat 0.0.1, the command"):
            shard_pieces.write_piece(str(plan), 0)
    copy.rename(tmp_path / "elsewhere")
    with pytest.raises(WorkLostError, match="does not see .*jpg in .*copy"):
        shard_pieces.write_piece(str(plan), 0)
    with pytest.raises(WorkLostError, match="does not see .*plan.json"):
        shard_pieces.check_worker(str(tmp_path))
    assert not list(plan.glob("*.tfrecord"))


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--only=8/8"], "use plan, commit, or a part like 0/8, of which 7/8 is the last"),
        (["--only=0/2", "--seed=1"], "--seed=1: the plan has it; leave it out with --only=0/2"),
        (["--only=commit", "--workers=2"], "--workers=2: --only=commit works in one process"),
        (["--only=plan", "--cluster=local:2"], "--cluster=local:2: runs all steps; leave out --only"),
        (["--cluster=local:2", "--workers=2"], "--workers=2: --cluster tells where"),
        (["--cluster=local:0"], "use dask:tcp://host:port, dask:scheduler-file.json, or local:N"),
        (["--cluster=ray:a"], "use dask:tcp://host:port, dask:scheduler-file.json, or local:N"),
        (["--cluster=dask:nothing.json"], "there is no such file; give a scheduler file, or an address"),
        (["--cluster=dask:tcp://127.0.0.1:1"], "no scheduler answers"),
    ],
)
def test_flags_that_do_not_go_are_named(call, tmp_path, flags, wanted):
    with dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}):
        refused = call("tools.make_tfrecords", f"--output={tmp_path / 'out'}", *flags)
    assert refused.code == 2 and wanted in refused.err and len(refused.err.splitlines()) == 1


def test_without_a_worker_it_waits_for_one(images, whole, tmp_path):
    output = tmp_path / "out"
    with DaskCluster(tmp_path) as cluster, started(images, output, cluster.place) as process:
        assert process.stdout.readline().startswith("waiting for a worker of ")
        cluster.start_worker()
        assert process.wait(timeout=200) == 0
    assert contents(output) == whole


def test_dask_is_imported_only_where_it_is_asked_for():
    program = "import sys; from tools import make_tfrecords; print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert (done.stdout, done.stderr) == ("False\n", "")
