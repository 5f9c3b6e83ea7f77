"""What the folder of a finished run tells: options, history, summary, and what its best model says of validation."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from dogcat import files
from dogcat import history as histories
from dogcat.config import InputError
from dogcat.history import EpochRecord

CONFIG = "config.json"
SUMMARY = "summary.json"
HISTORY = "history.jsonl"
# Folder beside the runs in which TensorBoard finds the events of each. In a run's own folder it would find them twice,
# since it follows the link to the last run.
EVENTS = "tensorboard"
# Logits of the best model for the validation split, float32 [pictures, 1 or classes], in the order of the split.
VALIDATION_LOGITS = "validation.npy"

_LATEST = "latest"
_NOTE_START = "dogcat run: "
_NOTE = re.compile(_NOTE_START.encode() + rb"([^/\0\n]+)\n")
_LARGEST_NOTE = 1024

# What pages are made of, beside the options.
_CONFIG_FIELDS = {"options", "data_digest", "device", "replicas", "precision", "versions", "commit"}
_SUMMARY_FIELDS = {"best", "epochs", "seconds", "input_wait"}
_OPTIONS = {"backbone", "limit", "preset", "tfrecords", "unfreeze_from"}


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run that came to its end.

    Attributes:
        path: Its folder.
        config: The content of config.json: options, data set, device, versions.
        summary: That of summary.json: the best epoch, seconds of each stage, share of waiting for input.
        history: The epochs.
    """

    path: Path
    config: dict[str, Any]
    summary: dict[str, Any]
    history: list[EpochRecord]

    @property
    def name(self) -> str:
        """The folder's own name, also where a link led to it."""
        return self.path.resolve().name

    @property
    def options(self) -> dict[str, Any]:
        """The options it was made with."""
        return self.config["options"]

    @property
    def seconds(self) -> float:
        """Time of all stages together."""
        return sum(self.summary["seconds"].values())

    def validation_logits(self) -> np.ndarray | None:
        """See `VALIDATION_LOGITS`; None where the run is from before they were kept.

        Raises:
            InputError: The file is damaged, or holds anything but numbers.
        """
        path = self.path / VALIDATION_LOGITS
        if not path.exists():
            return None
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise InputError(f"{path}: is damaged; remove it, and the model is asked again ({error})") from error


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


def unfinished_in(runs: Path) -> list[Path]:
    """The folders of runs that were begun in a folder and not finished, in no order."""
    begun = [path.parent for path in runs.glob(f"*/{CONFIG}") if not path.parent.is_symlink()]
    return [path for path in begun if not (path / SUMMARY).exists()]


def read(folder: Path) -> FinishedRun:
    """Reads a run.

    Raises:
        InputError: There is none, it is not finished, or its files are damaged.
    """
    folder = resolve(folder)
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: no run there; give the folder of a run, like runs/latest")
    if not (folder / SUMMARY).is_file():
        raise InputError(f"{folder}: the run is not finished; go on with it with dogcat.train --resume")
    try:
        config, summary = (json.loads((folder / name).read_text("utf-8")) for name in (CONFIG, SUMMARY))
        lines = (folder / HISTORY).read_text("utf-8").splitlines()
        run = FinishedRun(folder, config, summary, [histories.from_json(json.loads(line)) for line in lines])
        if not run.history:
            raise ValueError(f"{HISTORY} has no epoch")
        _require_fields(config, _CONFIG_FIELDS, CONFIG)
        _require_fields(run.options, _OPTIONS, CONFIG)
        _require_fields(summary, _SUMMARY_FIELDS, SUMMARY)
        return run
    except (ValueError, TypeError) as error:
        raise InputError(f"{folder}: a file of the run is damaged ({' '.join(str(error).split())[:200]})") from error


def _require_fields(content: Any, fields: set[str], name: str) -> None:
    """Raises ValueError unless the content of a file is an object with these fields."""
    missing = sorted(fields - content.keys()) if isinstance(content, dict) else ["an object"]
    if missing:
        raise ValueError(f"{name} lacks {missing[0]}")
