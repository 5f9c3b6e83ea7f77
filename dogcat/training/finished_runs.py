"""What the folder of a finished run tells: options, history, summary, and what its best model says of validation."""

from __future__ import annotations

import dataclasses
import io
import reprlib
from pathlib import Path
from typing import Any, Optional

import numpy as np

from dogcat.core import commands, files, typed_json
from dogcat.core.options import InputError
from dogcat.models import latest_run, model_list
from dogcat.training import epoch_records
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.options import TrainingOptions

CONFIG = "config.json"
SUMMARY = "summary.json"
HISTORY = "history.jsonl"
PAGE = "report.html"
# Logits of the best model for the validation split, float32 [pictures, 1 or classes], in the order of the split.
VALIDATION_LOGITS = "validation.npy"

# The largest that these files may be, far above those of a run of 100,000 epochs.
_MOST_BYTES = 2**25
_MOST_HEADER_BYTES = 2**10
# A hundred years.
_MOST_SECONDS = 3.2e9

_LONGEST_PATH, _LONGEST_LAYER = 4096, 200
_PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")

# What config.json and summary.json have at least: what --resume and pages are made of.
_CONFIG_FIELDS: dict[str, Any] = {
    "options": {"backbone": str, "limit": int, "preset": str, "tfrecords": str, "unfreeze_from": str},
    "data_digest": str,
    "device": str,
    "replicas": int,
    "precision": str,
    "versions": dict[str, str],
    "commit": Optional[str],
}
_SUMMARY_FIELDS: dict[str, Any] = {
    "best": {"epoch": int},
    "epochs": int,
    "seconds": dict[str, float],
    "input_wait": Optional[float],
}


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

    def validation_logits(self, pictures: int, classes: int) -> np.ndarray | None:
        """See `VALIDATION_LOGITS`; None where the run is from before they were kept.

        Args:
            pictures: Number of pictures of the validation split.
            classes: Number of classes.

        Raises:
            InputError: The file is damaged, or of another number of pictures or classes.
        """
        path = self.path / VALIDATION_LOGITS
        if not path.exists():
            return None
        shape = (pictures, 1 if classes == 2 else classes)
        size = 4 * shape[0] * shape[1]
        data = files.read_bounded(path, size + _MOST_HEADER_BYTES)
        # NumPy would allocate whatever the header says, so that only the one header that it must be is taken.
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        start = len(data) - size
        if start < 0 or data[:8] + data[10:start].strip() != header.getvalue()[:8] + header.getvalue()[10:].strip():
            raise InputError(
                f"{path}: is not of the {pictures:,} validation pictures of the data set, or damaged; remove it, and "
                "the model is asked again"
            )
        logits = np.frombuffer(data, "<f4", offset=start).reshape(shape)
        if not np.isfinite(logits).all():
            raise InputError(f"{path}: has a number that is infinite or none; remove it, and the model is asked again")
        return logits


def begun_in(runs: Path) -> list[Path]:
    """The folders of runs that were begun in a folder, the last one first."""
    begun = [path for path in runs.glob(f"*/{CONFIG}") if not path.parent.is_symlink()]
    return [path.parent for path in sorted(begun, key=lambda path: path.stat().st_mtime_ns, reverse=True)]


def is_finished(run: Path) -> bool:
    """Whether a run came to its end."""
    return (run / SUMMARY).exists()


def was_asked_for(config: dict[str, Any], wanted: TrainingOptions, data_digest: str) -> bool:
    """Whether a run with this config.json is what options ask for, on the data of this digest."""
    return bool(config["data_digest"] == data_digest) and not wanted.difference(config["options"])


def unfinished_in(runs: Path) -> list[Path]:
    """The folders of runs that were begun in a folder and not finished, the last one first."""
    return [path for path in begun_in(runs) if not is_finished(path)]


def read(folder: Path) -> FinishedRun:
    """Reads a run.

    Raises:
        InputError: There is none, it is not finished, or its files are damaged.
    """
    folder = latest_run.resolve(folder)
    if model_list.is_in(folder):
        raise InputError(f"{folder}: is several runs; give one of them, like {model_list.read(folder)[0]}")
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: no run there; give the folder of a run, like runs/latest")
    if not (folder / SUMMARY).is_file():
        raise InputError(f"{folder}: the run is not finished; go on with it by {commands.spelled('train')} --resume")
    config = read_config(folder)
    summary = typed_json.read(folder / SUMMARY, _SUMMARY_FIELDS, _MOST_BYTES)
    epochs = epoch_records.read(folder / HISTORY)
    if summary["epochs"] != epochs[-1].epoch or summary["best"]["epoch"] not in [record.epoch for record in epochs]:
        raise InputError(f"{folder / SUMMARY}: is damaged: its epochs are not those of {HISTORY}")
    for name, seconds in summary["seconds"].items():
        if not 0 <= seconds <= _MOST_SECONDS:
            raise InputError(f"{folder / SUMMARY}: is damaged: seconds[{reprlib.repr(name)}] is {seconds:.4g}")
    return FinishedRun(folder, config, summary, epochs)


def read_config(folder: Path) -> dict[str, Any]:
    """What a run was made with, finished or not: the content of its config.json.

    Raises:
        InputError: The file is damaged.
    """
    path = folder / CONFIG
    config: dict[str, Any] = typed_json.read(path, _CONFIG_FIELDS, _MOST_BYTES)
    options = config["options"]
    # Runs from before there were these do not have them.
    magnify, start = options.get("magnify", 0.0), config.get("start", "")
    folds, fold = options.get("folds", 0), config.get("fold", 0)
    for name, value, is_right in (
        ("options.backbone", options["backbone"], _may_be("backbone", options["backbone"])),
        ("options.limit", options["limit"], _may_be("limit", options["limit"])),
        ("options.tfrecords", options["tfrecords"], _is_path(options["tfrecords"])),
        ("options.unfreeze_from", options["unfreeze_from"], len(options["unfreeze_from"]) <= _LONGEST_LAYER),
        ("options.magnify", magnify, isinstance(magnify, (int, float)) and 0 <= magnify <= 1),
        ("options.folds", folds, isinstance(folds, int) and _may_be("folds", folds)),
        ("fold", fold, isinstance(fold, int) and 0 <= fold <= folds),
        ("start", start, isinstance(start, str) and _is_path(start)),
        ("replicas", config["replicas"], config["replicas"] >= 1),
        ("precision", config["precision"], config["precision"] in _PRECISIONS),
    ):
        if not is_right:
            raise InputError(f"{path}: is damaged: {name} is {reprlib.repr(value)}")
    return config


def _may_be(name: str, value: Any) -> bool:
    return not TrainingOptions.wanted(name, value)


def _is_path(text: str) -> bool:
    return len(text) <= _LONGEST_PATH and "\0" not in text
