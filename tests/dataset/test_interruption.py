"""The shard tool killed, stopped, out of disk, called twice: what is finished stays, and the bytes end the same."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, contents, make
from picture_files import write_noise
from PIL import Image

from dogcat.core.options import InputError
from dogcat.dataset import manifest


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """80 pictures that take a while, two of them unusable."""
    images = tmp_path_factory.mktemp("noisy")
    write_noise(images, 40, (900, 675))
    return images


@pytest.fixture(scope="module")
def unbroken(noisy, tmp_path_factory):
    output = tmp_path_factory.mktemp("unbroken") / "out"
    make(noisy, output, shards=6, workers=2)
    return contents(output)


def start(noisy, output, *flags, **options):
    command = [sys.executable, "-m", "tools.make_tfrecords", f"--images={noisy}", f"--output={output}"]
    command += ["--image_size=32", "--shards=6", "--workers=2", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )


def wait_for_shards(partial, count):
    deadline = time.monotonic() + 60
    while len(list(partial.glob("*.tfrecord"))) < count and time.monotonic() < deadline:
        time.sleep(0.005)


def wait_for_no_process_of(session):
    """The workers end with their parent."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and processes_of_session(session):
        time.sleep(0.01)
    assert processes_of_session(session) == []


def processes_of_session(session):
    """Live processes of a session, from /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(status.parent.name)
    return found


@pytest.fixture(scope="module")
def killed(noisy, tmp_path_factory):
    """The unfinished work that is left where a call was killed after some shards."""
    partial = tmp_path_factory.mktemp("killed") / "out.partial"
    process = start(noisy, partial.with_name("out"))
    # The third appears after the second was noted.
    wait_for_shards(partial, 3)
    process.kill()
    process.communicate()
    wait_for_no_process_of(process.pid)
    return partial


@pytest.fixture
def interrupted(killed, tmp_path):
    """An output whose making was killed after some shards."""
    shutil.copytree(killed, tmp_path / "out.partial")
    return tmp_path / "out"


def test_killed_again_and_again_it_goes_on_to_the_same_bytes(noisy, unbroken, tmp_path):
    output, partial = tmp_path / "out", tmp_path / "out.partial"
    random = np.random.default_rng(0)
    started = time.monotonic()
    start(noisy, output).communicate()
    # However quick the machine is and whatever else it does.
    seconds = time.monotonic() - started
    shutil.rmtree(output)
    kills = gone_on = 0
    for _ in range(20):
        process = start(noisy, output)
        time.sleep(random.uniform(0.4, 1.1) * seconds)
        if process.poll() is None:
            process.kill()
            kills += 1
        out, err = process.communicate()
        gone_on += "going on after" in out and "after 0" not in out
        if process.returncode == 0:
            assert err == ""
        if output.exists():
            # Complete, even where the kill came after that: begin anew, so that every state is met.
            assert contents(output) == unbroken
            shutil.rmtree(output)
        else:
            assert process.returncode == -signal.SIGKILL
            if partial.exists():
                with pytest.raises(InputError, match="not a finished data set"):
                    manifest.load(partial)
        wait_for_no_process_of(process.pid)
        if kills >= 6 and gone_on:
            break
    assert kills >= 6 and gone_on
    make(noisy, output, shards=6, workers=2)
    assert contents(output) == unbroken
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_finished_shard_that_was_damaged_is_written_again(noisy, unbroken, interrupted):
    shard = sorted(interrupted.with_name("out.partial").glob("*.tfrecord"))[0]
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    make(noisy, interrupted, shards=6)
    assert contents(interrupted) == unbroken


def test_a_line_of_the_note_that_a_kill_cut_short_is_passed_over(noisy, unbroken, interrupted, capsys):
    note = interrupted.with_name("out.partial") / "finished.jsonl"
    plan, first, second, *_ = note.read_bytes().splitlines(keepends=True)
    note.write_bytes(plan + first + second[:-1])
    make(noisy, interrupted, shards=6)
    assert "going on after 1 finished shards" in capsys.readouterr().out
    assert contents(interrupted) == unbroken


@pytest.mark.parametrize(
    "damage", [lambda note: b"", lambda note: b"[]\n", lambda note: b"\xff\n", lambda note: note.replace(b"1", b"2", 1)]
)
def test_with_a_damaged_note_the_work_begins_anew(noisy, unbroken, interrupted, capsys, damage):
    note = interrupted.with_name("out.partial") / "finished.jsonl"
    note.write_bytes(damage(note.read_bytes()))
    make(noisy, interrupted, shards=6)
    assert "beginning anew, since " in capsys.readouterr().out
    assert contents(interrupted) == unbroken


@pytest.mark.parametrize("change", ["option", "picture"])
def test_unfinished_work_of_another_call_is_not_mixed_in(noisy, unbroken, interrupted, tmp_path, capsys, change):
    if change == "option":
        made = make(noisy, interrupted, shards=6, quality=80)
        assert made.options["quality"] == 80
    else:
        copy = shutil.copytree(noisy, tmp_path / "copy")
        Image.new("RGB", (50, 50)).save(copy / "cat.0.jpg", "JPEG")
        make(copy, interrupted, shards=6)
    assert "discarding unfinished work" in capsys.readouterr().out
    expected = tmp_path / "expected"
    make(noisy if change == "option" else copy, expected, shards=6, **({"quality": 80} if change == "option" else {}))
    assert contents(interrupted) == contents(expected) != unbroken


def test_links_that_lead_nowhere_and_go_make_it_another_call(noisy, tmp_path, capsys):
    images = shutil.copytree(noisy, tmp_path / "images")
    links = [images / f"dog.{number}.jpg" for number in range(90, 95)]
    for link in links:
        link.symlink_to("nowhere")
    process = start(images, tmp_path / "out")
    wait_for_shards(tmp_path / "out.partial", 2)
    process.kill()
    process.communicate()
    for link in links:
        link.unlink()
    make(images, tmp_path / "out", shards=6)
    assert "discarding unfinished work" in capsys.readouterr().out
    make(images, tmp_path / "expected", shards=6)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_a_killed_worker_leaves_the_finished_shards(noisy, unbroken, tmp_path):
    process = start(noisy, tmp_path / "out")
    wait_for_shards(tmp_path / "out.partial", 2)
    workers = children_of(process.pid)
    assert len(workers) == 2
    for worker in workers:
        os.kill(int(worker), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a worker was killed" in err and "the same command goes on after them" in err
    make(noisy, tmp_path / "out", shards=6)
    assert contents(tmp_path / "out") == unbroken


def children_of(process):
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGHUP, 75)])
def test_a_signal_stops_at_once_and_says_how_to_go_on(noisy, unbroken, tmp_path, number, code):
    # A shell starts what runs in the background with the signal ignored; so may these tests have been started.
    process = start(noisy, tmp_path / "out", preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    wait_for_shards(tmp_path / "out.partial", 2)
    started = time.monotonic()
    # As a terminal does: to the parent and its workers.
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - started < 2
    assert process.returncode == code
    wait_for_no_process_of(process.pid)
    assert "the same command goes on after them" in err and "Traceback" not in err
    assert not (tmp_path / "out").exists()
    make(noisy, tmp_path / "out", shards=6)
    assert contents(tmp_path / "out") == unbroken


def test_a_full_disk_is_one_line_and_no_data_set(noisy, unbroken, tmp_path):
    def little_space():
        # A file may not grow beyond a shard's part: writing fails as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, 6_000))

    process = start(noisy, tmp_path / "out", preexec_fn=little_space)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert len(err.splitlines()) == 1 and ".tfrecord: File too large" in err
    assert not (tmp_path / "out").exists()
    make(noisy, tmp_path / "out", shards=6)
    assert contents(tmp_path / "out") == unbroken


def test_two_at_once_do_not_write_into_each_other(noisy, unbroken, tmp_path):
    first = start(noisy, tmp_path / "out")
    wait_for_shards(tmp_path / "out.partial", 1)
    # On a busy machine it might be finished before the other one begins.
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        second = start(noisy, tmp_path / "out")
        _, err = second.communicate()
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert second.returncode == 2 and "is being written by another process" in err
    assert first.wait() == 0
    assert contents(tmp_path / "out") == unbroken
