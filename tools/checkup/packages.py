"""The installed packages, whether they fit dogcat and each other, and whether TensorFlow can be imported."""

from __future__ import annotations

import configparser
import importlib.metadata
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

import dogcat

from .report import Report

# Any of these is TensorFlow; each replaces the others.
TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tf-nightly", "tensorflow-macos", "tensorflow-rocm")
# What TensorFlow computes by, and reads files by: others of its needs stop nothing.
_OF_TENSORFLOW = ("keras", "numpy", "protobuf", "h5py", "ml-dtypes")
_SHOWN = (
    *("keras", "tensorflow-addons", "numpy", "openvino", "onnxruntime", "protobuf", "h5py", "ml-dtypes"),
    *("pillow", "scipy"),
)
_ROOT = Path(dogcat.__file__).parents[1]
# What is imported, in the order in which it is told.
_IMPORTS = """
from dogcat.core import runtime
runtime.prepare()
print("TensorFlow", flush=True)
import dogcat.training.run, dogcat.prediction.predictor
print("dogcat", flush=True)
"""


def version_of(name: str) -> str:
    """The installed version of a package; empty: it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def tensorflow() -> tuple[str, str]:
    """Name and version of the installed TensorFlow; empty: there is none."""
    return next(((name, version_of(name)) for name in TENSORFLOW if version_of(name)), ("", ""))


def look(report: Report) -> bool:
    """Adds the versions; whether TensorFlow and dogcat can be imported."""
    report.begin("versions")
    report.add("dogcat", f"{dogcat.__version__} in {Path(dogcat.__file__).parent}")
    report.add("Python", f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}")
    report.add("system", platform.platform())
    name, version = tensorflow()
    report.add("TensorFlow", f"{version} ({name})" if name else "not installed")
    several = [other for other in TENSORFLOW if version_of(other)]
    if len(several) > 1:
        report.complain(f"{' and '.join(several)} are installed together, each over the other: uninstall all but one")
    for shown in _SHOWN:
        report.add(shown, version_of(shown) or "not installed")
    for problem in misfits():
        report.complain(problem)
    return _try_imports(report)


def misfits() -> list[str]:
    """Which installed versions dogcat or TensorFlow do not work with, and which are right."""
    python, needs = _needs_of_dogcat()
    found = []
    if python and not SpecifierSet(python).contains(platform.python_version()):
        found.append(f"Python {platform.python_version()}: dogcat {dogcat.__version__} needs {python}")
    found += _unmet("dogcat", needs)
    name, version = tensorflow()
    if name:
        of_tensorflow = _requirements(importlib.metadata.requires(name) or [])
        found += _unmet(f"TensorFlow {version}", [need for need in of_tensorflow if need.name in _OF_TENSORFLOW])
    return list(dict.fromkeys(found))


def _unmet(of: str, needs: list[Requirement]) -> list[str]:
    found = []
    for need in needs:
        name, version = tensorflow() if need.name == "tensorflow" else (need.name, version_of(need.name))
        if not version:
            found.append(f"{need.name} is not installed; {of} needs {_in_words(need)}")
        elif not need.specifier.contains(version, prereleases=True):
            found.append(f"{name} {version}: {of} needs {_in_words(need)}")
    return found


def _in_words(need: Requirement) -> str:
    return f"{need.name}{need.specifier}"


def _needs_of_dogcat() -> tuple[str, list[Requirement]]:
    """Which Pythons fit, and which packages are needed on this one: of the checkout, or else of what is installed."""
    setup = configparser.ConfigParser()
    if setup.read(_ROOT / "setup.cfg") and setup.get("metadata", "name", fallback="") == "dogcat":
        options = setup["options"]
        return options["python_requires"], _requirements(options["install_requires"].splitlines())
    try:
        about = importlib.metadata.metadata("dogcat")
    except importlib.metadata.PackageNotFoundError:
        return "", []
    return about["Requires-Python"] or "", _requirements(importlib.metadata.requires("dogcat") or [])


def _requirements(lines: list[str]) -> list[Requirement]:
    """Those of the lines that are requirements on this Python, without extras."""
    found = []
    for line in lines:
        try:
            need = Requirement(line)
        except InvalidRequirement:
            # A comment, or nothing.
            continue
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            found.append(need)
    return found


def _try_imports(report: Report) -> bool:
    """Imports in a process of its own, which a library that does not fit the processor ends."""
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    imported = done.stdout.split()
    for name in ("TensorFlow", "dogcat"):
        if name not in imported:
            reason = _last_words(done.stderr, done.returncode)
            report.add(f"import of {name}", f"fails: {reason}")
            report.complain(f"{name} cannot be imported: {reason}", stops=True)
            return False
    report.add("import", "TensorFlow and dogcat can be imported")
    return True


def _last_words(logged: str, code: int) -> str:
    if code == -signal.SIGILL:
        return "this TensorFlow uses instructions that the processor has not got (AVX)"
    lines = [line.strip() for line in logged.splitlines() if re.search(r"\w", line)]
    return lines[-1] if lines else f"the process ended with code {code}"
