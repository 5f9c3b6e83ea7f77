"""Trials of devices, and what their errors mean.

No GPU is needed: the trial runs on the processor, fails there for real reasons, or is replaced by what GPUs said.
The errors are those that users of TensorFlow reported, shortened.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tensorflow as tf

from dogcat.core import files, runtime
from dogcat.core.options import InputError
from dogcat.models import device_trial, devices, gpu_remedies, gpus, preflight
from dogcat.models.preflight import Finding

COMPILER = Path("/env/nvidia/cuda_nvcc")
BY_FLAG = "set XLA_FLAGS=--xla_gpu_cuda_data_dir=/env/nvidia/cuda_nvcc and put /env/nvidia/cuda_nvcc/bin first in PATH"
DRIVER = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Tue Oct 31 01:10:07 UTC 2023
GCC version:  gcc version 12.3.0
"""


@pytest.fixture(autouse=True)
def forget():
    """Each test finds out anew."""
    for cached in (preflight.of_gpus, preflight.xla_failure, files.note):
        cached.cache_clear()
    yield
    for cached in (preflight.of_gpus, preflight.xla_failure, files.note):
        cached.cache_clear()


@pytest.fixture
def two_gpus(monkeypatch):
    """Two GPUs that TensorFlow sees; gives a function that says what their trial found."""
    listed = tf.config.list_physical_devices
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind=None: ["a", "b"] if kind == "GPU" else listed(kind)
    )
    monkeypatch.setattr(preflight, "_try_xla_here", lambda: "")

    def found(*findings: Finding) -> None:
        monkeypatch.setattr(preflight, "try_devices", lambda kind: list(findings))

    return found


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        (
            "libdevice not found at ./libdevice.10.bc\n\t [[{{node StatefulPartitionedCall_16}}]]",
            "libdevice.10.bc was not",
        ),
        (
            "W gpu_backend_lib.cc:579] Can't find libdevice directory ${CUDA_DIR}/nvvm/libdevice. This may result in "
            "compilation or runtime failures",
            "libdevice.10.bc was not found",
        ),
        ("./bin/ptxas not found\n\t [[{{node cluster_0_1/xla_compile}}]]", "ptxas was not found, or does not run"),
        (
            "F nvptx_compiler.cc:454] ptxas returned an error: 'NOT_FOUND: Couldn't find a suitable version of ptxas.",
            "ptxas was not",
        ),
        ("F nvptx_compiler.cc:454] ptxas returned an error: 'INTERNAL: Failed to launch ptxas'", "ptxas was not found"),
        (
            "No PTX compilation provider is available. Neither ptxas/nvlink nor nvjtlink is available.",
            "ptxas was not found",
        ),
        ("XLA requires ptxas version 11.8 or higher", "the ptxas that was found is too old, 11.8 is needed"),
        ("line 5; fatal   : Unsupported .version 7.1; current version is '7.0'", "is too old, 7.1 is needed"),
        (
            "F external/local_xla/xla/service/gpu/nvptx_compiler.cc:619] ptxas returned an error during compilation of "
            "ptx to sass: 'INTERNAL: ptxas 12.3.103 has a bug that we think can affect XLA.",
            "ptxas 12.3.103 is refused",
        ),
    ],
)
def test_what_xla_lacks(said, meaning):
    with_compiler = gpu_remedies.of_xla(said, COMPILER)
    assert meaning in with_compiler and with_compiler.endswith(BY_FLAG)
    without = gpu_remedies.of_xla(said, None)
    assert meaning in without and without.endswith("; pip install '.[gpu]' brings it")


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        (
            "No DNN in stream executor. [Op:Conv2D]\nE cuda_dnn.cc:454] Loaded runtime CuDNN library: 9.1.0 "
            "but source was compiled with: 9.3.0.  CuDNN library needs to have matching major version",
            "cuDNN 9.1.0 was loaded, and TensorFlow needs 9.3.0 or later of the same major version",
        ),
        ("{{node model/conv1d/Conv1D}} DNN library is not found.", "cuDNN was not found, or is of another version"),
        ("DNN library initialization failed. Look at the errors above for more details.", "cuDNN was not found, or"),
        (
            "Failed to get convolution algorithm. This is probably because cuDNN failed to initialize",
            "cuDNN was not found",
        ),
        (
            "Could not load library libcudnn_cnn_infer.so.8. Error: libnvrtc.so: cannot open",
            "cuDNN 8 was not found; pip",
        ),
        ("Could not create cudnn handle: CUDNN_STATUS_NOT_INITIALIZED", "cuDNN cannot start: another process holds"),
        (
            "DNN library is not found.\nE cuda_dnn.cc:389] Could not create cudnn handle: CUDNN_STATUS_NOT_INITIALIZED"
            "\n"
            "E cuda_dnn.cc:398] Possibly insufficient driver version: 460.106.0",
            "the NVIDIA driver 460.106.0 is too old; update it",
        ),
        (
            "could not create cudnn handle: CUDNN_STATUS_INTERNAL_ERROR\nE cuda_driver.cc:932] failed to allocate "
            "163.74M (171696128 bytes) from device: CUDA_ERROR_OUT_OF_MEMORY",
            "it has no memory left, which another process may hold",
        ),
        ("CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH in cudnnFinalize", "take pip install 'nvidia-cudnn-cu12<9.11'"),
        ("failed to create cublas handle: CUBLAS_STATUS_NOT_INITIALIZED", "it has no memory left"),
        ("OOM when allocating tensor with shape[2,8,8,3]", "it has no memory left"),
        (
            "Failed to load in-memory CUBIN: CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available",
            "no code for a GPU",
        ),
        ("'cuLaunchKernel(function)' failed with 'CUDA_ERROR_INVALID_HANDLE' [Op:Mul]", "no code for a GPU of its"),
        ("{{function_node __wrapped__Conv2D}} something new [Op:Conv2D]\nmore", "something new"),
        ("\n", "it gives no reason"),
    ],
)
def test_what_a_convolution_lacks(said, meaning):
    found = gpu_remedies.of_convolution(said)
    assert meaning in found and "\n" not in found and len(found) < 200


def test_a_processor_passes_the_trial():
    assert preflight.try_devices("CPU") == [Finding("CPU:0")]


def test_a_trial_that_takes_long_is_told(monkeypatch, capsys):
    monkeypatch.setattr(preflight, "_LONG_SECONDS", 0.1)
    assert preflight.try_devices("CPU") == [Finding("CPU:0")]
    assert "note: the trial of the devices takes long" in capsys.readouterr().err


def test_xla_that_ends_the_process_is_found_by_the_trial(monkeypatch):
    # What TensorFlow does about a flag that it does not know is what its version 2.15 does where ptxas fails.
    monkeypatch.setenv("XLA_FLAGS", "--none_of_them")
    [finding] = preflight.try_devices("CPU")
    assert (finding.convolution, finding.mixed) == ("", "")
    assert re.fullmatch("Unknown flags? in XLA_FLAGS: --none_of_them", finding.xla)


def test_a_trial_that_cannot_begin_is_a_failure(monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--none_of_them")
    [finding] = preflight.try_devices("CPU")
    assert re.search("Unknown flags? in TF_XLA_FLAGS: --none_of_them", finding.convolution)


def test_what_was_logged_tells_more_than_the_error():
    printed = '{"device": "GPU:0", "check": "xla"}\n'
    logged = "W ptx.cc:9] Couldn't find a suitable version of ptxas.\nF nvptx.cc:4] error: 'INTERNAL: aborted'\nend\n"
    [finding] = preflight._findings("GPU", printed, logged, -6)
    assert finding.xla.startswith("ptxas was not found")


def test_xla_works_on_this_processor(capfd):
    assert preflight.xla_failure() == ""
    assert capfd.readouterr() == ("", "")


def test_where_xla_fails_work_goes_on_and_it_is_said_once(monkeypatch, capsys):
    has_no_kernel = tf.function(lambda: tf.strings.as_string(tf.ones(())), jit_compile=True)
    monkeypatch.setattr(device_trial, "compile_on", lambda device: has_no_kernel())
    assert preflight.xla_failure() == preflight.xla_failure()
    assert preflight.xla_failure().startswith("CPU:0: Detected unsupported operations")
    assert not devices.compiles("auto", synchronizes=False)
    with pytest.raises(InputError, match=r"--jit_compile=on: XLA does not compile here \(CPU:0: Detected unsupported"):
        devices.compiles("on", synchronizes=False)
    said = capsys.readouterr().err
    assert said.startswith("note: works without XLA, more slowly: CPU:0: Detected") and said.count("\n") == 1


def test_a_gpu_without_xla_is_used(two_gpus, capsys):
    two_gpus(Finding("GPU:0"), Finding("GPU:1", xla="ptxas was not found; pip install '.[gpu]' brings it"))
    preflight.require_gpus(2)
    assert "note: works without XLA, more slowly: GPU:1: ptxas was not found; pip" in capsys.readouterr().err
    assert not devices.compiles("auto", synchronizes=False)
    assert not devices.compiles("off", synchronizes=False)


def test_a_gpu_with_xla_compiles(two_gpus):
    two_gpus(Finding("GPU:0"), Finding("GPU:1"))
    assert devices.compiles("auto", synchronizes=False) and devices.compiles("on", synchronizes=False)


def test_a_gpu_that_does_not_convolve_is_refused_if_it_would_be_used(two_gpus, capsys):
    two_gpus(Finding("GPU:0", mixed="something new"), Finding("GPU:1", convolution="it has no memory left"))
    for strategy in ("auto", "mirrored"):
        with pytest.raises(
            InputError, match="^GPU:1: it has no memory left; CUDA_VISIBLE_DEVICES=-1 runs on the processor"
        ):
            devices.make_strategy(strategy)
    preflight.require_gpus(1)
    assert (
        "GPU:0: does not compute in mixed precision: something new; use --precision=float32" in capsys.readouterr().err
    )


def test_precision_follows_the_generation():
    assert [gpus.policy_of(at) for at in ((6, 1), (7, 0), (7, 5), (8, 0), (12, 0))] == [
        *("float32", "mixed_float16", "mixed_float16", "mixed_bfloat16", "mixed_bfloat16"),
    ]


@pytest.mark.parametrize(
    ("capability", "version", "fits"),
    [
        *(((7, 0), "9.10.2.21", True), ((7, 0), "9.11.0.98", False), ((6, 1), "9.28.0.42", False)),
        *(((7, 5), "9.28.0.42", True), ((6, 1), "8.9.4.25", True), ((6, 1), "", True)),
    ],
)
def test_a_cudnn_without_the_generation_is_known(monkeypatch, capability, version, fits):
    monkeypatch.setattr(gpus, "packages", lambda: {"nvidia-cudnn-cu12": version} if version else {})
    told = gpus.cudnn_misfit(capability)
    assert (told == "") == fits and (fits or told.endswith("pip install 'nvidia-cudnn-cu12<9.11'"))


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A machine with an NVIDIA driver; gives a function that sets its version."""
    monkeypatch.setattr(runtime, "NVIDIA_DRIVER", tmp_path)
    monkeypatch.setattr(gpus, "_CONTROL", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda version: (tmp_path / "version").write_text(DRIVER.format(version))


@pytest.mark.parametrize(
    ("version", "with_cuda", "packages", "why"),
    [
        ("535.183.01", False, {}, "it is built without CUDA; pip uninstall tensorflow-cpu and pip install '.[gpu]'"),
        ("470.256.02", True, {}, "CUDA 12 needs driver 525.60.13 or later; update it"),
        ("525.60.13", True, {}, "CUDA's libraries were not found; pip install '.[gpu]'"),
        (
            "550.54.14",
            True,
            {"nvidia-cudnn-cu12": "8.9.4.25"},
            "although pip's CUDA libraries are installed; dogcat doctor",
        ),
    ],
)
def test_an_unused_driver_is_told(driver, monkeypatch, version, with_cuda, packages, why):
    driver(version)
    monkeypatch.setattr(gpus, "packages", lambda: packages)
    told = gpus.why_unused(with_cuda)
    assert told.startswith(f"this machine has an NVIDIA driver ({version}), but TensorFlow sees no GPU")
    assert why in told


def test_a_container_without_gpus_is_told(driver, tmp_path, monkeypatch):
    # The driver of the machine shows in every container.
    driver("535.183.01")
    monkeypatch.setattr(gpus, "_CONTROL", tmp_path / "nvidiactl")
    assert gpus.why_unused(True).endswith("is missing, as in a container without GPUs; docker run --gpus all")


def test_a_strategy_tells_of_an_unused_driver_once(driver, capsys):
    driver("535.183.01")
    for _ in range(2):
        devices.make_strategy("one_device")
    said = capsys.readouterr().err
    assert said.startswith("note: this machine has an NVIDIA driver (535.183.01), but") and said.count("\n") == 1


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_who_hides_the_gpus_is_not_told(driver, monkeypatch, hidden):
    driver("535.183.01")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert gpus.why_unused(False) == ""


def test_a_machine_without_a_driver_has_nothing_to_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "NVIDIA_DRIVER", tmp_path / "none")
    assert gpus.driver_version() == "" and gpus.why_unused(True) == ""
