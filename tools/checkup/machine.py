"""Processor, memory, limits, folders and the environment, as the system tells them."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dogcat.core import cache, files, runtime
from dogcat.core.options import InputError

from .report import Report

_GIB = 2**30
# Below these the work soon stops for lack of room: a run of Xception takes 2.7 GB of memory (README.md), and temporary
# files and checkpoints some hundred megabytes.
_LEAST_MEMORY, _LEAST_DISK = 3 * _GIB, 1 * _GIB
_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16")
_VARIABLES = re.compile(
    r"(?:TF|XLA|CUDA|NVIDIA|NCCL|DOGCAT|KERAS|OMP|MKL|KMP|PYTHON|LD)_.*|PYTHONPATH|PYTHONOPTIMIZE|"
    r"PYTHONHASHSEED|TMPDIR|XDG_CACHE_HOME|VIRTUAL_ENV|CONDA_PREFIX"
)
# Terraform's begin as TensorFlow's do, and may hold anything.
_OF_OTHERS = re.compile(
    r"TF_(?:VAR|CLI|TOKEN|LOG|INPUT|WORKSPACE|DATA_DIR|IN_AUTOMATION|PLUGIN|REATTACH|STATE|REGISTRY|IGNORE|CLOUD)(?:_.*)?"
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH")
_CGROUP = Path("/sys/fs/cgroup")
# Where a container's limit stands: of the second version, and of the first.
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")


def look_at_processor(report: Report) -> None:
    """Adds the processor."""
    report.begin("processor")
    report.add("name", runtime.processor_name())
    report.add("cores", f"{runtime.available_cores()} for this process, {os.cpu_count()} in the machine")
    features = [name for name in _FEATURES if name in runtime.processor_features()]
    report.add("features", ", ".join(features) or "none that matters here")
    report.add("bfloat16", "in hardware" if runtime.has_fast_bfloat16() else "not in hardware")


def look_at_memory(report: Report) -> None:
    """Adds memory and limits of the process."""
    report.begin("memory and limits")
    text = _read(Path("/proc/meminfo"))
    total, free = (re.search(rf"^{name}:\s*(\d+) kB$", text, re.MULTILINE) for name in ("MemTotal", "MemAvailable"))
    if total and free:
        available = int(free[1]) * 1024
        report.add("memory", f"{_gib(available)} free of {_gib(int(total[1]) * 1024)}")
        if available < _LEAST_MEMORY:
            report.complain(f"{_gib(available)} of memory are free; training takes some {_gib(_LEAST_MEMORY)}")
    limit = container_limit()
    report.add("container limit", _gib(limit) if limit else "none")
    if limit and limit < _LEAST_MEMORY:
        report.complain(f"the container may use {_gib(limit)} of memory; training takes some {_gib(_LEAST_MEMORY)}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    report.add("open files", f"{_number(soft)}, {_number(hard)} at most")
    if hard != resource.RLIM_INFINITY and hard < 1024:
        report.complain(f"a process may open {hard} files; a data set of many shards needs more: raise ulimit -n")
    report.add("processes", _number(resource.getrlimit(resource.RLIMIT_NPROC)[0]))
    report.add("/dev/shm", _room(files.MEMORY) if files.MEMORY.is_dir() else "not there: threads replace processes")


def container_limit() -> int:
    """The memory that a container may use, in bytes; 0: it is not limited."""
    texts = [_read(_CGROUP / name).strip() for name in _LIMITS]
    limits = [int(text) for text in texts if text.isdigit()]
    # The first version writes a number near the largest for none.
    return min((limit for limit in limits if limit < 2**62), default=0)


def look_at_folders(report: Report) -> None:
    """Adds the folders that dogcat writes into."""
    report.begin("folders")
    _add_temporary(report)
    try:
        folder = cache.cache_folder()
    except InputError as error:
        report.add("cache", "not a folder")
        report.complain(str(error), stops=True)
    else:
        report.add("cache", f"{folder}: {_content(folder)}")
        if not _can_be_written(folder):
            report.complain(f"{folder} cannot be written: weights and features are made anew; set DOGCAT_CACHE")
    current = Path.cwd()
    report.add("current folder", f"{current}: {_room(current)}, {_writable(current)}")
    _require_room(report, current)


def _add_temporary(report: Report) -> None:
    try:
        files.find_temporary_folder()
    except InputError as error:
        report.add("temporary files", "cannot be written")
        report.complain(str(error), stops=True)
        return
    folder = Path(tempfile.gettempdir())
    report.add("temporary files", f"{folder}: {_room(folder)}")
    _require_room(report, folder)


def _require_room(report: Report, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _LEAST_DISK:
        report.complain(f"{folder}: {_gib(free)} are free; runs and temporary files need {_gib(_LEAST_DISK)} or more")


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return f"not there yet, {_writable(folder)}"
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{len(sizes)} files, {_gib(sum(sizes))}, {_writable(folder)}, {_room(folder)}"


def _can_be_written(folder: Path) -> bool:
    existing = files.nearest_there(folder)
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _writable(folder: Path) -> str:
    return "writable" if _can_be_written(folder) else "not writable"


def look_at_environment(report: Report) -> None:
    """Adds the variables that matter, without what others should not know."""
    report.begin("environment")
    for name, value in _variables():
        report.add(name, value)
    if not report.sections[-1][1]:
        report.add("variables", "none that matters is set")
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        report.complain("TF_ENABLE_ONEDNN_OPTS=0 switches oneDNN off, which makes processors slower; unset it")


def _variables() -> Iterator[tuple[str, str]]:
    for name in sorted(filter(_VARIABLES.fullmatch, os.environ)):
        if _OF_OTHERS.fullmatch(name):
            continue
        value = os.environ[name]
        if name == "TF_CONFIG":
            yield name, cluster_in_words(value)
        elif _SECRET.search(name.replace("KERAS", "")):
            yield name, "set, not shown"
        else:
            yield name, value or "set, empty"


def cluster_in_words(config: str) -> str:
    """TF_CONFIG without the names of machines."""
    try:
        parsed = json.loads(config)
        cluster = {job: len(hosts) for job, hosts in parsed.get("cluster", {}).items()}
        task = parsed.get("task", {})
        about = ", ".join(f"{count} x {job}" for job, count in cluster.items()) or "no workers"
        return f"{about}; this process is {task.get('type', 'none')} {task.get('index', '')}".rstrip()
    except (ValueError, TypeError, AttributeError):
        return "set, but not a cluster in JSON"


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _room(folder: Path) -> str:
    usage = shutil.disk_usage(folder)
    return f"{_gib(usage.free)} free of {_gib(usage.total)}"


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"


def _number(limit: int) -> str:
    return "no limit" if limit == resource.RLIM_INFINITY else f"{limit:,}"
