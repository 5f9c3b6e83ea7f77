"""The names beside the runs that lead to the last one: links or, where the file system has none, files."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dogcat.core import files

# Folder beside the runs in which TensorBoard finds the events of each. In a run's own folder it would find them twice,
# since it follows the link to the last run.
EVENTS = "tensorboard"

_LATEST = "latest"
_NOTE_START = "dogcat run: "
_NOTE = re.compile(_NOTE_START.encode() + rb"([^/\0\n]+)\n")
_LARGEST_NOTE = 1024


def latest(preset: str = "") -> str:
    """The name beside the runs that leads to the last one, or to the last one of a preset."""
    return f"{_LATEST}-{preset}" if preset else _LATEST


def preset_run(runs: str, preset: str) -> Path:
    """The folder of the last run of a preset."""
    return resolve(Path(runs) / latest(preset))


def note_of(run: str) -> bytes:
    """The content of a file that leads to a run beside it, where the file system has no links."""
    return f"{_NOTE_START}{run}\n".encode("utf-8", "surrogateescape")


def run_in_note(path: Path) -> str:
    """The name of the run that such a file leads to; empty where it is not one."""
    if not path.name.startswith(_LATEST) or not path.is_file() or path.stat().st_size > _LARGEST_NOTE:
        return ""
    match = _NOTE.fullmatch(files.read_bounded(path, _LARGEST_NOTE))
    return os.fsdecode(match[1]) if match else ""


def resolve(place: str | Path) -> Path:
    """The path that is meant: where a file stands for the last run, as `runs/latest` may, that of the run."""
    path = Path(place)
    for start in (path, *path.parents):
        run = run_in_note(start)
        if run:
            return start.with_name(run) / path.relative_to(start)
    return path


def may_be_run(path: str) -> bool:
    """Whether a path that a pattern like runs/* fits may be meant as a run."""
    return bool(run_in_note(Path(path))) or (os.path.isdir(path) and os.path.basename(path) != EVENTS)
