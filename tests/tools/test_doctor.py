"""What `dogcat doctor` tells of machines that fit, and of some that do not."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from dogcat.core import runtime
from dogcat.models import gpus, preflight
from dogcat.models.preflight import Finding
from tools.checkup import computing, machine, packages
from tools.checkup.report import Report

FITS = "nothing that does not fit was found"


def rows_of(report: Report) -> dict[str, str]:
    return {name: value for _, rows in report.sections for name, value in rows}


def problems_of(report: Report) -> list[str]:
    return [problem for problem, _ in report.problems]


@pytest.fixture
def report():
    """A report that has begun."""
    begun = Report()
    begun.begin("title")
    return begun


def test_this_machine_can_work(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOGCAT_CACHE", f"{tmp_path}/cache")
    monkeypatch.setenv("NVIDIA_API_KEY", "hunter2")
    monkeypatch.setenv("TF_VAR_database", "hunter2")
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["hunter2:1", "hunter2:2"]}, "task": {}}))
    done = run("tools.doctor")
    assert (done.code, done.err) == (0, "")
    titles = [line for line in done.out.splitlines() if line and not line.startswith(" ")]
    assert titles[:2] == ["versions", "GPUs, as the system tells"] and titles[-1] == "what does not fit"
    assert max(map(len, done.out.splitlines())) <= 100
    assert "CPU:0 convolution     works" in done.out and "CPU:0 XLA             works" in done.out
    assert "~/cache: not there yet, writable" in done.out and str(tmp_path) not in done.out
    assert "hunter2" not in done.out and "TF_VAR" not in done.out
    assert "2 x worker; this process is none" in done.out
    assert "stops the work" not in done.out
    assert not (tmp_path / ".keras").exists()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ImportError('libcudart.so.12: cannot open shared object file')", "libcudart.so.12: cannot open shared"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGILL)})", "instructions that the processor has not got (AVX)"),
    ],
)
def test_a_tensorflow_that_cannot_be_imported_is_the_finding(tmp_path, monkeypatch, code, why):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = Report()
    assert not packages.look(found)
    assert found.stops()
    [said] = [problem for problem, stops in found.problems if stops]
    assert said.startswith("TensorFlow cannot be imported: ") and why in said
    assert "  - stops the work: TensorFlow cannot be imported" in found.text()


def test_the_command_ends_with_1_where_tensorflow_cannot_be_imported(run, tmp_path):
    # What the current folder holds is imported first.
    for package in ("tensorflow", "keras"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise ImportError('numpy.core.umath failed to import')")
    done = run("tools.doctor", cwd=tmp_path)
    assert (done.code, done.err) == (1, "")
    assert "numpy.core.umath failed to import" in done.out
    assert "memory and limits" in done.out and "what auto chooses" not in done.out


def test_versions_that_do_not_fit_are_told(monkeypatch):
    real = packages.version_of
    monkeypatch.setattr(packages, "version_of", lambda name: {"absl-py": "", "pillow": "1.0"}.get(name, real(name)))
    monkeypatch.setattr(packages.platform, "python_version", lambda: "3.7.1")
    found = packages.misfits()
    for wanted in (
        "Python 3.7.1: dogcat 0",
        "absl-py is not installed; dogcat needs absl-py",
        "pillow 1.0: dogcat needs",
    ):
        assert any(problem.startswith(wanted) for problem in found)


def test_what_tensorflow_itself_needs_is_compared(monkeypatch):
    monkeypatch.setattr(packages, "tensorflow", lambda: ("tensorflow", "2.15.1"))
    monkeypatch.setattr(packages, "version_of", lambda name: "2.1.0")
    monkeypatch.setattr(packages, "_needs_of_dogcat", lambda: ("", []))
    needs = ["numpy<2.0.0,>=1.23.5", "wheel>=9", "keras<2.16,>=2.15.0", 'nvidia-cudnn-cu12==8.9; extra == "and-cuda"']
    monkeypatch.setattr(packages.importlib.metadata, "requires", lambda name: needs)
    assert packages.misfits() == [
        "numpy 2.1.0: TensorFlow 2.15.1 needs numpy<2.0.0,>=1.23.5",
        "keras 2.1.0: TensorFlow 2.15.1 needs keras<2.16,>=2.15.0",
    ]


def test_two_tensorflows_in_one_place_are_told(monkeypatch):
    real = packages.version_of
    both = {"tensorflow": "2.15.1", "tensorflow-cpu": "2.15.1"}
    monkeypatch.setattr(packages, "version_of", lambda name: both.get(name, real(name)))
    monkeypatch.setattr(packages.importlib.metadata, "requires", lambda name: [])
    found = Report()
    packages.look(found)
    assert any("tensorflow and tensorflow-cpu are installed together" in problem for problem in problems_of(found))


def test_the_driver_and_its_gpus_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "NVIDIA_DRIVER", tmp_path)
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 2024\n")
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho '0, NVIDIA L4, 23034 MiB, 12 MiB, 8.9'\necho '1, NVIDIA L4, 23034 MiB, 5 MiB, 8.9'\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(gpus, "packages", lambda: {"nvidia-cudnn-cu12": "8.9.4.25"})
    found = Report()
    computing.look_at_driver(found)
    rows = rows_of(found)
    assert rows["NVIDIA driver"] == "470.256.02"
    assert rows["GPU 1"] == "NVIDIA L4, 5 MiB used of 23034 MiB, compute capability 8.9"
    assert rows["pip's nvidia-*"] == "nvidia-cudnn-cu12 8.9.4.25"
    assert problems_of(found) == ["the NVIDIA driver 470.256.02 is too old for CUDA 12, which needs 525.60.13 or later"]


def test_the_open_kernel_module_tells_its_version_too(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "NVIDIA_DRIVER", tmp_path)
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.133.20  Release Build  (root@localhost)\n"
    (tmp_path / "version").write_text(line)
    assert gpus.driver_version() == "570.133.20" and not gpus.is_driver_too_old("570.133.20")


@pytest.mark.parametrize(
    ("capability", "fits"),
    [((5, 2), False), ((6, 1), True), ((7, 5), True), ((8, 6), True), ((8, 9), True), ((9, 0), True), ((12, 0), False)],
)
def test_a_generation_without_code_is_known(capability, fits):
    built = ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"]
    assert computing.has_code_for(capability, built) == fits
    assert computing.has_code_for(capability, [])


def test_a_gpu_that_fails_its_trial_stops_the_work(report, monkeypatch):
    monkeypatch.setattr(preflight, "of_gpus", lambda: [Finding("GPU:0", convolution="no memory", xla="no ptxas")])
    computing._add_trial(report)
    assert report.problems == [
        ("GPU:0: convolution does not work: no memory", True),
        ("GPU:0: XLA does not work: no ptxas", False),
    ]
    assert rows_of(report)["GPU:0 mixed precision"] == "works"


def test_a_containers_limit_is_read(report, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    assert machine.container_limit() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.container_limit() == 0
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert machine.container_limit() == 0
    (tmp_path / "memory.max").write_text("1073741824\n")
    machine.look_at_memory(report)
    assert rows_of(report)["container limit"] == "1.0 GiB"
    assert any("the container may use 1.0 GiB" in problem for problem in problems_of(report))


def test_a_cache_that_cannot_be_made_is_told(report, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / "file" / "cache"))
    machine.look_at_folders(report)
    assert any("cache cannot be written" in problem for problem in problems_of(report))
    monkeypatch.setenv("DOGCAT_CACHE", "gs://bucket/cache")
    machine.look_at_folders(report)
    assert any("addresses are not supported" in problem and stops for problem, stops in report.problems)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{}", "no workers; this process is none"),
        ("none", "set, but not a cluster in JSON"),
        ("[1]", "set, but not a cluster in JSON"),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}',
            "1 x chief, 2 x worker; this process is worker 1",
        ),
    ],
)
def test_a_cluster_is_told_without_names(config, words):
    assert machine.cluster_in_words(config) == words


def test_lines_stay_narrow_and_what_stops_comes_first(report, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    report.add("long", "word " * 60)
    report.add("place", Path("/home/somebody/x"))
    report.complain("slow " * 40)
    report.complain("broken", stops=True)
    text = report.text()
    assert max(map(len, text.splitlines())) <= 100
    assert "~/x" in text and "somebody" not in text
    assert text.index("- stops the work: broken") < text.index("- slow")
    assert FITS not in text and FITS in Report().text()
