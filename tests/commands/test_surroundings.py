"""What surrounds a process: settings of other programs, no home folder, no folder for temporary files, a full disk."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import tensorflow as tf
from conftest import ROOT, draw, environment, make
from tensorflow import keras

from dogcat.core import cache, files, runtime
from dogcat.core.options import InputError
from dogcat.models import devices, weights_cache


def python(*arguments, **environment):
    settings = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=settings, capture_output=True, text=True, timeout=300
    )


def test_settings_of_other_programs_stay_outside(tmp_path):
    import matplotlib

    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text(
        '{"floatx": "float16", "epsilon": 0.1, "backend": "theano", "image_data_format": "channels_first"}'
    )
    (home / "matplotlibrc").write_text("lines.linewidth: 50\nno such setting: 1\nsavefig.facecolor: nonsense\n")
    script = """
from dogcat.core import runtime
runtime.prepare()
from tensorflow import keras
from tools.pages import survey_plots
from dogcat.core import plot_style
from dogcat.training import plots
import matplotlib, os, warnings
print(keras.backend.image_data_format(), keras.backend.floatx(), keras.backend.epsilon(), keras.backend.backend())
print(matplotlib.get_backend(), matplotlib.rcParams["lines.linewidth"], os.environ["MATPLOTLIBRC"])
warnings.warn("what a library says")
"""
    done = python(
        *("-c", script),
        **{"HOME": str(home), "KERAS_HOME": None, "KERAS_BACKEND": "torch", "TF_USE_LEGACY_KERAS": "1"},
        **{"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": str(home)},
        # With Matplotlib's list of fonts, which takes it long to make.
        **{"XDG_CONFIG_HOME": None, "XDG_CACHE_HOME": None, "MPLCONFIGDIR": matplotlib.get_cachedir()},
        **{"TF_CPP_MIN_LOG_LEVEL": "much", "TF_ENABLE_ONEDNN_OPTS": "perhaps", "CUDA_VISIBLE_DEVICES": "none"},
        **{"PYTHONWARNINGS": "error", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "cpp"},
        **{"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "TF_CONFIG": "none"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["channels_last float32 1e-07 tensorflow", f"Agg 1.5 {home}"]


@pytest.mark.parametrize("settings", ['{"floatx": "float99"}', None])
def test_keras_neither_reads_nor_writes_in_the_home_folder(tmp_path, settings):
    if settings:
        (tmp_path / ".keras").mkdir()
        (tmp_path / ".keras" / "keras.json").write_text(settings)
    script = "from dogcat.core import runtime\nruntime._import_quietly(runtime._NOT_NEEDED)"
    done = python("-c", script, HOME=str(tmp_path), KERAS_HOME=None, TF_CPP_MIN_LOG_LEVEL="3")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ([".keras"] if settings else [])


def test_where_keras_is_there_already_it_is_set(monkeypatch):
    keras.backend.set_image_data_format("channels_first")
    keras.backend.set_floatx("float16")
    keras.backend.set_epsilon(0.1)
    runtime.prepare()
    of_keras = (keras.backend.image_data_format(), keras.backend.floatx(), keras.backend.epsilon())
    assert of_keras == ("channels_last", "float32", 1e-7)


def test_python_without_docstrings_is_one_line():
    done = python("-OO", "-m", "dogcat.predict")
    assert done.returncode == 2
    assert done.stderr == (
        "error: PYTHONOPTIMIZE=2, or -OO: TensorFlow cannot be imported without docstrings; use 1 or none\n"
    )


def test_an_unknown_flag_of_the_compilers_is_said():
    done = python("-m", "dogcat.train", "--help", TF_XLA_FLAGS="--none_of_them")
    assert done.returncode == 0
    done = python("-c", "from dogcat.core import runtime; runtime.prepare()", TF_XLA_FLAGS="--none_of_them")
    assert done.returncode != 0 and re.search("Unknown flags? in TF_XLA_FLAGS: --none_of_them", done.stderr)


def test_a_user_whom_nobody_knows_has_a_home(monkeypatch):
    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "KERAS_HOME", "XDG_CACHE_HOME", "DOGCAT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert cache.cache_folder() == Path("/.cache/dogcat")
    assert weights_cache.keras_home() == Path("/.keras")


@pytest.fixture
def without_temporary_folders(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/dev/null/none")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [os.environ["TMPDIR"]])


def test_without_a_folder_for_them_temporary_files_are_in_memory(without_temporary_folders, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "MEMORY", tmp_path)
    files.find_temporary_folder()
    with tempfile.NamedTemporaryFile() as file:
        assert Path(file.name).parent == tmp_path
    assert os.environ["TMPDIR"] == str(tmp_path)


def test_where_memory_has_none_either_it_is_said_what_to_set(without_temporary_folders, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "MEMORY", tmp_path / "none")
    with pytest.raises(InputError, match="no folder for temporary files .* set the environment variable TMPDIR to one"):
        runtime.prepare()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is full")
def test_a_full_disk_is_told_from_full_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InputError) as caught, devices.naming_full_memory(8):
        tf.io.write_file("/dev/full", "x" * 100_000)
    assert str(caught.value) == "/dev/full: No space left on device; make room there"
    (tmp_path / "a b").symlink_to("/dev/full")

    @tf.function
    def write():
        tf.io.write_file(f"{tmp_path}/a b", "x" * 100_000)

    with pytest.raises(InputError) as caught, devices.naming_full_memory(8):
        write()
    said = f"{tmp_path}/a b: No space left on device; make room there, or set TMPDIR to another folder"
    assert str(caught.value) == said


READ_ONLY = """
mount -t tmpfs none "$1/out" && mount -o remount,bind,ro / && cd / || exit 99
# What of the rest is a file system of its own.
for place in /tmp /var/tmp "$HOME"; do mountpoint -q "$place" && mount -o remount,bind,ro "$place"; done
"$2" -m tools.make_tfrecords --images="$1/in" --output="$1/out/data" --image_size=32 --validation=0.5 || exit 1
"$2" -m tiny_backbone dogcat.train --tfrecords="$1/data" --runs="$1/out/runs" --backbone=tiny --weights=none \
    --batch_size=8 --epochs=0 --preset=none --report=False || exit 2
"$2" -m tools.survey_images --images="$1/in" --output="$1/out/survey" || exit 3
echo left:
ls -A "$1/out" "$1/out/runs"
"""


def can_unshare() -> bool:
    """Whether this process may change what it sees of the file systems."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="the system lets this user mount nothing")
def test_a_container_in_which_nothing_else_can_be_written(tmp_path):
    make(draw(tmp_path / "in", *(f"{n}.{i}.jpg" for i in range(20) for n in ("cat", "dog"))), tmp_path / "data",
         validation=0.5)  # fmt: skip
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", tmp_path, sys.executable],
        env=environment(DOGCAT_CACHE="/dev/null/none", TMPDIR="/dev/null/none"),
        **{"capture_output": True, "text": True, "timeout": 600},
    )
    assert done.returncode == 0, done.stderr
    said = "features are not kept for another run, since /dev/null/none/features cannot be written: Not a directory"
    assert done.stderr == f"note: {said}\n"
    names = done.stdout.partition("\nleft:\n")[2].split()
    assert {"data", "runs", "survey", "latest", "tensorboard"} <= set(names)
    assert not [name for name in names if name.startswith(".")]
