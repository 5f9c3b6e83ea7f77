from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from dogcat.core import runtime
from dogcat.core.options import InputError
from dogcat.models import devices, openvino_network
from dogcat.models.keras_versions import IS_KERAS_3

ROOT = Path(__file__).parents[2]

CPUINFO = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 {flag}\n\nprocessor\t: 1\n"


@pytest.mark.parametrize(
    ("flag", "fast"), [("avx512_bf16", True), ("amx_bf16", True), ("avx512f", False), ("xavx512_bf16", False)]
)
def test_bfloat16_is_decided_by_the_processors_flags(monkeypatch, flag, fast):
    monkeypatch.setattr(runtime, "_cpuinfo", lambda: CPUINFO.format(flag=flag))
    assert runtime.processor_name() == "Some CPU @ 2 GHz"
    assert runtime.has_fast_bfloat16() == fast
    policy, reason = devices.choose_precision("auto")
    assert policy == ("mixed_bfloat16" if fast else "float32")
    assert "bfloat16 in hardware" in reason


def test_what_is_asked_for_is_taken():
    assert devices.choose_precision("mixed_float16")[0] == "mixed_float16"


def test_strategies():
    assert devices.make_strategy("one_device").num_replicas_in_sync == 1
    assert devices.make_strategy("mirrored").num_replicas_in_sync == 2
    assert devices.make_strategy("auto").num_replicas_in_sync == 1
    assert devices.describe(devices.make_strategy("mirrored")).startswith("2 x ")


def test_a_start_is_silent_and_real_errors_are_not():
    script = (
        "import os, sys; from dogcat.core import runtime; runtime.prepare();"
        "from dogcat.training import augment; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**environment, "TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "0\n"


@pytest.mark.parametrize("for_library", [False, True])
def test_what_no_command_needs_is_not_imported_and_can_be_afterwards(for_library):
    script = f"""
import gc, sys
from dogcat.core import runtime
runtime.prepare(for_library={for_library})
assert gc.isenabled()
print(gc.get_freeze_count() > 100_000, [name for name in ("pandas", "sklearn", "matplotlib") if name in sys.modules])
import pandas, sklearn, matplotlib
print(pandas.DataFrame({{"a": [1, 2]}}).sum().item())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    imported = ["pandas", "sklearn", "matplotlib"][: 3 if IS_KERAS_3 else 1] if for_library else []
    assert (done.stderr, done.stdout) == ("", f"{not for_library} {imported}\n3\n")


def test_a_real_error_at_import_reaches_the_user(tmp_path):
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os; os.write(2, b'E0000 Unable to register cuDNN factory\\nsomething is broken\\n')\n"
        "raise ImportError('no such library')\n"
    )
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from dogcat.core import runtime; runtime.prepare()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "something is broken" in done.stderr and "no such library" in done.stderr
    assert "cuDNN" not in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults through Linux")
def test_large_blocks_are_kept():
    script = """
import ctypes, resource, sys
from dogcat.core import runtime
if sys.argv[1] == "kept":
    runtime.keep_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
for _ in range(20):
    block = libc.malloc(ctypes.c_size_t(40 * 2**20))
    ctypes.memset(block, 1, 40 * 2**20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""
    faults = {
        name: int(
            subprocess.run(
                [sys.executable, "-c", script, name], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout
        )
        for name in ("kept", "given back")
    }
    assert faults["kept"] < faults["given back"] / 3


def test_tensorflow_is_configured_for_two_logical_devices():
    assert len(tf.config.list_logical_devices("CPU")) == 2


def test_the_engine_is_openvino_where_one_processor_computes_in_what_it_offers(monkeypatch):
    one, two = devices.make_strategy("one_device"), devices.make_strategy("mirrored")
    assert devices.choose_engine("auto", "float32", one) == "openvino"
    assert devices.choose_engine("auto", "mixed_float16", one) == "tensorflow"
    assert devices.choose_engine("auto", "float32", two) == "tensorflow"
    assert devices.choose_engine("tensorflow", "float32", one) == "tensorflow"
    with pytest.raises(InputError, match="--engine=openvino: runs on one processor.* 2 x float32, so use tensorflow"):
        devices.choose_engine("openvino", "float32", two)
    monkeypatch.setattr(openvino_network, "is_installed", lambda: False)
    assert devices.choose_engine("auto", "float32", one) == "tensorflow"
    with pytest.raises(InputError, match="--engine=openvino: the package is not installed; pip install openvino"):
        devices.choose_engine("openvino", "float32", one)


def test_a_process_may_open_more_files_than_it_began_with():
    script = """
import resource
from dogcat.core import runtime
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
runtime.allow_open_files()
more = resource.getrlimit(resource.RLIMIT_NOFILE)
runtime.allow_open_files()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == more
assert more[0] == min(more[1], runtime._OPEN_FILES) or more[1] == resource.RLIM_INFINITY, more
assert more[0] > 100 and more[1] == hard
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
