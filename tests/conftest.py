"""What the tests share: two logical CPU devices, pictures and data sets, real pictures, a browser."""

from __future__ import annotations

import gc
import importlib
import os
import re
import subprocess
import sys
import tempfile
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import forked
import numpy as np
import pytest
import tiny_backbone  # noqa: F401, before the options that name the backbones
import two_devices
from browser import Browser, find_chromium
from PIL import Image

from dogcat.core import files, flags
from dogcat.dataset.manifest import Manifest
from dogcat.dataset.options import ShardOptions
from tools.benchmarks import page_cache
from tools.make_tfrecords import make_data_set

ROOT = Path(__file__).parents[1]
# In the order in which they begin: one that forks the process of the tests, while that is small; then those with the
# longest `--durations`.
SLOW_FILES = (
    "test_kill_points.py",
    *("test_interruption.py", "test_real_pictures.py", "test_run.py", "test_resume.py", "test_predict_resume.py"),
    *("test_multi_worker.py", "test_other_keras.py", "test_benchmark.py", "test_clean_images.py"),
    *("test_files_of_0_1_0.py", "test_build.py", "test_notebook.py", "test_tracking.py"),
)


def touch(folder: Path, *keys: str) -> None:
    """Makes empty files."""
    for key in keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def draw(folder: Path, *keys: str, size: tuple[int, int] = (40, 30)) -> Path:
    """Makes red pictures, PNG whatever their names; returns the folder."""
    touch(folder, *keys)
    for key in keys:
        Image.new("RGB", size, (255, 0, 0)).save(folder / key, "PNG")
    return folder


def make(images: Path, output: Path, **options) -> Manifest:
    """Makes a data set of small pictures with one worker, unless `options` say otherwise."""
    return make_data_set(ShardOptions(str(images), str(output), **{"image_size": 32, "workers": 1, **options}))


def need_python_3_10() -> None:
    """Skips where Python is older than the packages that a test takes."""
    if sys.version_info < (3, 10):
        pytest.skip("there is no package for it on Python 3.9")


def write_out_of_memory(path: Path, size: int) -> Path:
    """Writes random bytes, which are not in memory then where the file system can do without; returns the path."""
    path.write_bytes(np.random.default_rng(0).bytes(size))
    page_cache.drop([path])
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds what `make test-fast` gives."""
    parser.addoption("--without-tensorflow", action="store_true", help="fail where TensorFlow is imported")


def pytest_configure(config: pytest.Config) -> None:
    """Splits the CPU into two logical devices, before TensorFlow starts."""
    if config.getoption("--without-tensorflow"):
        # What Python takes for a module that is not there.
        sys.modules["tensorflow"] = None  # type: ignore[assignment]
        return
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        # This process only hands the tests to its workers.
        return
    two_devices.split_the_processor()


def pytest_collection_finish() -> None:
    """Keeps the many objects of what was imported from being looked through by every later collection."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what opens pages in a browser; puts the files first that take minutes, so that none is waited for alone."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        for marker in item.iter_markers("keras"):
            if marker.args[0] != _keras_version():
                item.add_marker(pytest.mark.skip(reason=f"for Keras {marker.args[0]}: {marker.kwargs['reason']}"))
    places = {name: place for place, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def _keras_version() -> int:
    from dogcat.models.keras_versions import IS_KERAS_3

    return 3 if IS_KERAS_3 else 2


def pytest_terminal_summary(terminalreporter) -> None:
    """Says how many tests of each kind ran that need more than the packages; `.ci/run` looks for these lines."""
    titles = {
        **{"shared": "real pictures", "browser": "browser", "torch": "PyTorch"},
        **{"both_keras": "both Keras together", "keras": "for one Keras alone"},
    }
    for marker, title in titles.items():
        counts = {
            outcome: sum(marker in report.keywords for report in terminalreporter.getreports(outcome))
            for outcome in ("passed", "skipped")
        }
        terminalreporter.write_line(f"{title}: {counts['passed']} tests passed, {counts['skipped']} skipped")


@pytest.fixture(autouse=True)
def float32_policy(request):
    """Each test begins with Keras' default precision; so do the fixtures of the next file, which come before it."""
    if request.config.getoption("--without-tensorflow"):
        yield
        return
    from tensorflow import keras

    keras.mixed_precision.set_global_policy("float32")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.fixture
def without_drawings(monkeypatch) -> None:
    """Training in this process draws nothing, like that in forked ones."""
    from small_runs import draw_nothing

    draw_nothing(monkeypatch)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real pictures and weights."""
    folder = Path(os.environ.get("DOGCAT_SHARED") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip("no real pictures: neither DOGCAT_SHARED nor ../shared is a folder")
    return folder


@pytest.fixture(scope="session")
def chromium():
    """A running Chromium."""
    executable = find_chromium()
    if not executable:
        pytest.skip("no Chromium: neither chromium, chromium-browser or google-chrome on PATH nor DOGCAT_CHROMIUM")
    with Browser(executable) as started:
        yield started


@pytest.fixture
def browser(chromium):
    """Opens pages in a Chromium, and closes them after the test."""
    yield chromium
    chromium.close_pages()


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> Path:
    """A folder with train/ and test/ of drawn pictures, odd ones among them."""
    from tools.make_sample_images import make_sample_images

    folder = tmp_path_factory.mktemp("samples")
    make_sample_images(folder, train=40, test=11, seed=0)
    return folder


@pytest.fixture(scope="session")
def tfrecords(samples, tmp_path_factory) -> Path:
    """A data set of the drawn pictures at 96 pixels, in three training shards."""
    output = tmp_path_factory.mktemp("data") / "tfrecords"
    make(samples / "train", output, image_size=96, shards=3, validation=0.3)
    return output


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory) -> None:
    """Has processes that are killed leave their temporary files in the folder of the tests, which pytest removes."""
    os.environ["TMPDIR"] = str(tmp_path_factory.mktemp("tmp"))
    tempfile.tempdir = None


@pytest.fixture(scope="session", autouse=True)
def imagenet_weights(request, tmp_path_factory) -> None:
    """Puts the weights of the shared folder, if there is one, where the trainer looks."""
    folder = Path(os.environ.get("DOGCAT_SHARED") or ROOT.parent / "shared")
    file = folder / "weights" / "xception_imagenet_notop.h5"
    if file.is_file() and not request.config.getoption("--without-tensorflow"):
        from dogcat.models import weights_cache

        cache = tmp_path_factory.mktemp("cache")
        (cache / weights_cache.cache_path("xception").name).symlink_to(file.resolve())
        os.environ["DOGCAT_CACHE"] = str(cache)


def without_progress(err: str) -> str:
    """What a command wrote to standard error but for the lines of progress, which come where a machine is slow."""
    line = r"[^:\n]+: \d+ of \d+ \w+, [\d.]+ \w+/s(, [\d:]+ left)?(, log loss .*)?\n"
    return re.sub(f"^{line}", "", err, flags=re.MULTILINE)


class Command:
    """A finished command; `err` is without lines of progress."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = without_progress(err)


def command(module: str, *arguments: object) -> list[str]:
    """A command line of `python -m MODULE FLAGS...`, which knows the tiny backbone, for `environment`."""
    return [sys.executable, "-m", "tiny_backbone", module, *map(str, arguments)]


def environment(**changes: object) -> dict[str, str]:
    """The variables that a command of this checkout runs with."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**os.environ, "PYTHONPATH": path, **{name: str(value) for name, value in changes.items()}}


def start(line: Sequence[object], cwd: Path = ROOT, **changes: object) -> subprocess.Popen[str]:
    """Starts a command line of `command`, with variables changed; its output is text in pipes, and Ctrl-C stops it."""
    kind = forked.Forked if forked.POSSIBLE else subprocess.Popen
    pipe = subprocess.PIPE
    return kind([str(word) for word in line], cwd=cwd, env=environment(**changes), stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def run():
    """Runs `python -m MODULE FLAGS...` as a fresh process, whose imports take seconds if TensorFlow is among them."""

    def run_command(module: str, *arguments: object, cwd: Path = ROOT) -> Command:
        line = command(module, *arguments)
        done = subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=1200)
        return Command(done.returncode, done.stdout, done.stderr)

    return run_command


@pytest.fixture
def fork():
    """Runs `python -m MODULE FLAGS...` as a process of its own that has its imports from another."""

    def run_forked(module: str, *arguments: object, cwd: Path = ROOT) -> Command:
        with start(command(module, *arguments), cwd) as process:
            out, err = process.communicate(timeout=1200)
        return Command(process.returncode, out, err)

    return run_forked


@pytest.fixture
def call(capsys):
    """Runs `python -m MODULE FLAGS...` in this process, where what is tested does not concern processes.

    That is ten times as fast, since TensorFlow is there.
    """

    def call_command(module: str, *arguments: object) -> Command:
        called = importlib.import_module(module)
        capsys.readouterr()
        code = flags.call(called.main, _options_class(called.main), [str(argument) for argument in arguments])
        return Command(code, *capsys.readouterr())

    return call_command


def _options_class(main: Callable[..., int | None]) -> type[Any]:
    """The options that a command's `main` takes."""
    [kind] = (kind for name, kind in typing.get_type_hints(main).items() if name != "return")
    return kind


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A folder in which dogcat's and Keras' caches have their places, and nothing is in them."""
    monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    files.note.cache_clear()
    return tmp_path
