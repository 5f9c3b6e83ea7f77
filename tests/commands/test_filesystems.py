"""File systems as users have them: each feature that one lacks is done without, and nothing is left behind."""

from __future__ import annotations

import errno
import fcntl
import math
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from conftest import ROOT, draw, make, touch
from small_runs import save_model

from dogcat.core import files
from dogcat.core.cache_room import CacheRoom
from dogcat.core.options import InputError
from dogcat.core.processes import Workers
from dogcat.dataset import encoding
from dogcat.dataset.encoding import Task
from dogcat.models import latest_run, model_files
from dogcat.pictures import folders
from dogcat.training import checkpoint
from dogcat.training import run_folder as runs
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.options import TrainingOptions
from dogcat.training.run_folder import RunFolder
from tools import export_model, make_report

REFUSALS = [errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.ENODEV]
PRESET = TrainingOptions(preset="best")


def progress(step):
    record = EpochRecord(0, math.nan, math.nan, 0.1, 0.9, 0.95, math.nan, 3.0, 7.0, math.nan)
    return checkpoint.Progress(epoch=0, step=step, seconds=1.0, history=[record])


def refuse(number):
    """A function that fails as a file system does that does not know the request."""

    def refused(*arguments, **more):
        raise OSError(number, os.strerror(number))

    return refused


@pytest.fixture(autouse=True)
def notes_are_said_again():
    files.note.cache_clear()


@pytest.fixture
def run_folder(tmp_path):
    path = tmp_path / "runs" / "20260101-000000-best"
    path.mkdir(parents=True)
    (path / "best.keras").touch()
    (path / "config.json").write_text("{}")
    return path


@pytest.mark.parametrize("number", REFUSALS)
def test_without_links_a_file_leads_to_the_last_run(run_folder, monkeypatch, number):
    monkeypatch.setattr(os, "symlink", refuse(number))
    runs.lead_to(run_folder, PRESET)
    latest = run_folder.parent / "latest"
    assert latest.is_file() and not latest.is_symlink()
    assert sorted(path.name for path in run_folder.parent.iterdir()) == [run_folder.name, "latest", "latest-best"]
    assert model_files.find_file(str(latest), "model") == run_folder / "best.keras"
    assert model_files.find_file(str(latest / "best.keras"), "model") == run_folder / "best.keras"
    assert latest_run.preset_run(str(run_folder.parent), "best") == run_folder
    assert make_report.find_runs(str(latest)) == [run_folder]
    monkeypatch.chdir(run_folder.parent)
    assert model_files.find_file("latest", "model").resolve() == run_folder / "best.keras"
    # Each run once, whatever else is there.
    (run_folder.parent / "tensorboard").mkdir()
    assert make_report.find_runs(f"{run_folder.parent}/*") == [run_folder]
    assert model_files.find_files(f"{run_folder.parent}/*", "model") == [run_folder / "best.keras"]
    assert make_report.find_runs(f"{run_folder.parent}/latest-*") == [run_folder]


def test_a_file_that_leads_to_a_run_gives_way_to_a_link_and_a_link_to_a_file(run_folder, monkeypatch):
    other = shutil.copytree(run_folder, run_folder.with_name("other"))
    latest = run_folder.parent / "latest"
    for folder, with_links in ((run_folder, True), (other, False), (run_folder, True)):
        with monkeypatch.context() as patch:
            if not with_links:
                patch.setattr(os, "symlink", refuse(errno.EPERM))
            runs.lead_to(folder, PRESET)
        assert latest.is_symlink() == with_links
        assert model_files.find_file(str(latest), "model").parent.resolve() == folder


@pytest.mark.parametrize("what", ["file", "folder", "link", "dangling", "long"])
def test_what_somebody_else_called_latest_stays(run_folder, tmp_path, capsys, what):
    latest = run_folder.parent / "latest"
    if what == "folder":
        latest.mkdir()
    elif what == "long":
        latest.write_bytes(latest_run.note_of("x" * 10_000))
    elif what == "file":
        latest.write_text("dogcat run: a/b\n")
    else:
        latest.symlink_to(tmp_path if what == "link" else tmp_path / "gone")
    before = os.lstat(latest)
    options = TrainingOptions(runs=str(run_folder.parent))
    with pytest.raises(InputError, match="latest is in the way"):
        runs.create(options)
    # Put there while the run was at work, it costs no run.
    runs.lead_to(run_folder, options)
    assert "latest does not lead to this run (is in the way); give " in capsys.readouterr().err
    assert os.lstat(latest) == before
    assert not [path for path in run_folder.parent.iterdir() if path.name.startswith(".")]


def test_a_name_of_a_run_in_any_bytes_is_found(tmp_path, monkeypatch):
    folder = tmp_path / os.fsdecode(b"r\xe9 un")
    folder.mkdir()
    monkeypatch.setattr(os, "symlink", refuse(errno.EPERM))
    runs.lead_to(folder, TrainingOptions(preset="none"))
    assert latest_run.resolve(tmp_path / "latest" / "x") == folder / "x"


@pytest.mark.parametrize("number", [*REFUSALS, errno.ENOLCK, errno.EBADF])
def test_without_locks_a_run_goes_on_and_says_so_once(run_folder, monkeypatch, capsys, number):
    monkeypatch.setattr(fcntl, "flock", refuse(number))
    for _ in range(2):
        with RunFolder(run_folder):
            pass
    assert capsys.readouterr().err == f"note: {run_folder} has no locks; let no other command write there meanwhile\n"


def test_with_locks_a_second_process_is_refused(run_folder):
    with RunFolder(run_folder), pytest.raises(InputError, match="another process is training this run"):
        RunFolder(run_folder)
    with RunFolder(run_folder):
        pass


@pytest.mark.parametrize("number", REFUSALS)
def test_a_state_is_kept_where_no_folder_is_synchronized_or_renamed(tmp_path, monkeypatch, number):
    def refused(function):
        def of_folders(descriptor, *more):
            path = descriptor if isinstance(descriptor, (str, Path)) else f"/proc/self/fd/{descriptor}"
            if os.path.isdir(path):
                raise OSError(number, os.strerror(number))
            return function(descriptor, *more)

        return of_folders

    for name in ("fsync", "rename", "replace"):
        monkeypatch.setattr(os, name, refused(getattr(os, name)))
    variables = tf.train.Checkpoint(one=tf.Variable(1.5))
    for step in (1, 2):
        checkpoint.save(tmp_path / "state", progress(step), variables)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["00000-0000002"]
    assert checkpoint.load(tmp_path / "state", tf.train.Checkpoint(one=tf.Variable(0.0))).step == 2


def test_a_state_that_a_kill_cut_short_is_none(tmp_path):
    variables = tf.train.Checkpoint(one=tf.Variable(1.5))
    checkpoint.save(tmp_path, progress(1), variables)
    unfinished = shutil.copytree(tmp_path / "00000-0000001", tmp_path / "00000-0000002")
    (unfinished / "progress.json").unlink()
    assert checkpoint.load(tmp_path, variables).step == 1
    checkpoint.save(tmp_path, progress(2), variables)
    assert checkpoint.load(tmp_path, variables).step == 2 and len(list(tmp_path.iterdir())) == 1


def test_folders_without_numbers_are_told_apart_and_loops_end(tmp_path, monkeypatch):
    touch(tmp_path, "cat/1.jpg", "cat/old/2.jpg", "dog/3.jpg", "elsewhere/4.jpg")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    (tmp_path / "zz").symlink_to(tmp_path / "cat")
    expected = folders.list_images(tmp_path).keys
    real = Path.stat

    def stat(self, **more):
        found = real(self, **more)
        return os.stat_result((found.st_mode, 0, *found[2:]))

    monkeypatch.setattr(Path, "stat", stat)
    assert (
        folders.list_images(tmp_path).keys == expected == ["cat/1.jpg", "cat/old/2.jpg", "dog/3.jpg", "elsewhere/4.jpg"]
    )


@pytest.mark.parametrize("number", [errno.EXDEV, *REFUSALS])
def test_a_folder_that_cannot_be_renamed_is_copied(tmp_path, monkeypatch, number):
    touch(tmp_path / "old", "a", "b/c")
    monkeypatch.setattr(os, "rename", refuse(number))
    files.rename_folder(tmp_path / "old", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"] and (tmp_path / "new" / "b" / "c").is_file()


def test_an_export_appears_where_no_folder_is_renamed(tmp_path, monkeypatch):
    model = save_model(tmp_path / "m.keras")
    monkeypatch.setattr(os, "rename", refuse(errno.EXDEV))
    export_model.main(export_model.ExportOptions(model=str(model), output=str(tmp_path / "served")))
    assert model_files.load(model_files.find_file(str(tmp_path / "served"), "model"))[1] == model_files.describe(model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.keras", "served"]


def test_a_copy_that_fails_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    touch(tmp_path / "old", "a", "b/c")
    monkeypatch.setattr(os, "rename", refuse(errno.EXDEV))
    monkeypatch.setattr(shutil, "copyfile", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match=f"No space left on device.*{tmp_path}/new"):
        files.rename_folder(tmp_path / "old", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "b" / "c").exists()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_without_locks_between_processes_threads_do_the_work(tmp_path, monkeypatch, capsys, number):
    draw(tmp_path / "in", *(f"{name}.{place}.jpg" for place in range(6) for name in ("cat", "dog")))
    make(tmp_path / "in", tmp_path / "expected", workers=2)
    monkeypatch.setattr(multiprocessing.get_context("fork"), "Lock", refuse(number), raising=False)
    monkeypatch.setattr("multiprocessing.context.BaseContext.Lock", refuse(number))
    make(tmp_path / "in", tmp_path / "out", workers=2)
    for path in (tmp_path / "expected").iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    said = capsys.readouterr().err
    said_so = f"[Errno {number}] {os.strerror(number)}"
    line = f"no worker processes, since /dev/shm cannot be used ({said_so}); threads of this process do their work"
    assert said == f"note: {line}\n"


def test_an_error_in_a_thread_ends_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("multiprocessing.context.BaseContext.Lock", refuse(errno.ENOSYS))
    with pytest.raises(AttributeError), Workers(2, encoding.encode_chunk) as workers:
        list(workers.starmap((tmp_path, [Task("x", 0, "cat")], None) for _ in range(50)))


def test_without_files_in_memory_a_cache_goes_to_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MEMORY", tmp_path / "none")
    room = CacheRoom("cache", "auto", 1, tmp_path / "cache")
    assert room.choose(1000, 0, tmp_path / "cache" / "x")[0] == "disk"
    with pytest.raises(InputError, match="--cache=memory: .*none is not there or cannot be written; use disk"):
        CacheRoom("cache", "memory", 1, tmp_path / "cache").choose(1000, 0, tmp_path / "x")


SCRIPT = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, "tests")
from small_runs import small_run
from dogcat.core import runtime
runtime.prepare()
import dogcat.evaluate
import dogcat.train
from dogcat import predict
from dogcat.prediction.options import EvaluationOptions, PredictionOptions; from tools.make_report import ReportOptions
from tools import make_report
folder = Path(sys.argv[1])
for step in (1, 2):
    # To the end of the first epoch, then as a run that goes on.
    dogcat.train.main(small_run(folder / "data", folder / "runs", batch_size=4, cache="disk", report=False,
                         save_minutes=0.0001, epochs=1, steps_per_epoch=2, preset="top", patience=9,
                         resume=step == 2))
    if step == 1:
        [(path)] = (folder / "runs").glob("2*/summary.json")
        path.unlink()
latest = str(folder / "runs" / "latest-top")
predict.main(PredictionOptions(model=latest, images=str(folder / "in"), output=str(folder / "s.csv"), tta="none"))
given = {"model": latest + "/best.keras", "tfrecords": str(folder / "data"), "output": str(folder / "ev")}
dogcat.evaluate.main(EvaluationOptions(**given, resamples=100))
make_report.main(ReportOptions(runs=latest))
"""


@pytest.mark.shared
@pytest.mark.parametrize(
    "number",
    [errno.EPERM, *(pytest.param(n, marks=pytest.mark.long) for n in (errno.ENOTSUP, errno.ENOSYS, errno.EINVAL))],
)
def test_the_commands_work_where_all_is_lacking(shared, tmp_path, number):
    """The C library's calls fail, so that those of TensorFlow and HDF5 do too."""
    library = tmp_path / "shims.so"
    source = shared / "cases" / "reports" / "filesystems.c"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    folder = tmp_path / "folder"
    draw(folder / "in", *(f"{name}.{place}.jpg" for place in range(8) for name in ("cat", "dog")))
    kinds = dict.fromkeys(("FLOCK", "SYMLINK", "FSYNCDIR", "LINK", "MMAP"), number)
    environment = {
        **{f"SHIM_{name}": str(value) for name, value in {**kinds, "INO0": 1}.items()},
        **{"SHIM_DIR": str(folder), "LD_PRELOAD": str(library), "DOGCAT_CACHE": str(folder / "cache")},
    }

    def run(*command):
        done = subprocess.run(
            [sys.executable, *map(str, command)],
            **{"cwd": ROOT, "env": {**os.environ, **environment}, "capture_output": True, "text": True},
        )
        assert done.returncode == 0, done.stderr
        # A note for each folder that is written to, since that is what a user loses.
        said = re.findall(r"^note: (.*) has no locks; let no other command write there meanwhile$", done.stderr, re.M)
        assert len(said) == len(set(said)) == len(done.stderr.splitlines()), done.stderr
        return said

    make_it = ("-m", "tools.make_tfrecords", f"--images={folder}/in", f"--output={folder}/data", "--image_size=32")
    assert run(*make_it, "--validation=0.5", "--workers=2") == [f"{folder}/data.partial"]
    run("-m", "tools.survey_images", f"--images={folder}/in", f"--output={folder}/survey")
    said = run("-c", SCRIPT, folder)
    [trained] = [path for path in (folder / "runs").iterdir() if path.is_dir() and path.name != "tensorboard"]
    assert {str(trained), str(folder)} <= set(said)
    assert len((folder / "s.csv").read_text().splitlines()) == 17
    assert (trained / "report.html").is_file() and (folder / "ev" / "metrics.json").is_file()
    assert sorted(path.name for path in (folder / "runs").iterdir()) == sorted(
        [trained.name, "latest", "latest-top", "tensorboard"]
    )
    left = [path for path in folder.rglob(".*") if path.name != ".dogcat-outputs.json"]
    assert left == [] and sorted(path.name for path in (trained / "checkpoints").iterdir()) != []
