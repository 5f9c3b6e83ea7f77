"""The folder of a run: its name, its files, what leads to the last one, and finding one that was not finished."""

from __future__ import annotations

import contextlib
import datetime
import errno
import io
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tensorflow import keras

from dogcat.core import files
from dogcat.core.options import InputError, as_flag
from dogcat.core.text import shortened
from dogcat.models import latest_run, model_files
from dogcat.models.latest_run import EVENTS
from dogcat.training import epoch_records, plots
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.finished_runs import (
    CONFIG,
    HISTORY,
    PAGE,
    SUMMARY,
    VALIDATION_LOGITS,
    begun_in,
    is_finished,
    read_config,
    unfinished_in,
)
from dogcat.training.options import OF_FOREIGN_FILES, TrainingOptions

LAST_MODEL = "last.keras"
BATCH = "diverged.txt"
_STATE = "state"
# For so many times as long as the curves took to draw they are not drawn again.
_TIMES_ITSELF = 20


class RunFolder:
    """The folder of a run, held against other processes while it is open; a context manager.

    Attributes:
        path: Its path.
        state: Folder of the states to go on from.
        events: Folder of its events for TensorBoard.
    """

    def __init__(self, path: Path) -> None:
        """Takes the path of a folder that exists."""
        self.path = path
        self.state = path / _STATE
        in_run = path / EVENTS
        # Runs of earlier versions have them in their own folder.
        self.events = in_run if in_run.is_dir() else path.parent / EVENTS / path.name
        # Epochs that curves.png does not show, and when it is drawn again.
        self._undrawn: Sequence[EpochRecord] = ()
        self._next_drawing = 0.0
        self._lock = os.open(path, os.O_RDONLY)
        try:
            if not files.lock(self._lock, path / CONFIG):
                raise InputError(f"{path}: another process is training this run; wait for it or stop it")
        except BaseException:
            os.close(self._lock)
            raise
        # What a kill in the middle of saving left.
        for leftover in path.rglob(".saving-*"):
            shutil.rmtree(leftover)

    def __enter__(self) -> RunFolder:
        """Begins the block in which the folder is held."""
        return self

    def __exit__(self, *error: object) -> None:
        """Lets other processes in."""
        os.close(self._lock)

    def remove(self) -> None:
        """Removes the run."""
        shutil.rmtree(self.events, ignore_errors=True)
        # Other runs may have theirs there.
        with contextlib.suppress(OSError):
            self.events.parent.rmdir()
        shutil.rmtree(self.path)

    def write_config(self, config: dict[str, Any]) -> None:
        """Writes what the run is made with, under `options`, and on what."""
        _write_json(self.path / CONFIG, config)

    def add_epoch(
        self,
        history: Sequence[EpochRecord],
        model: keras.Model,
        description: model_files.Description,
        keep: int,
        logits: np.ndarray,
    ) -> None:
        """Saves the model of the history's last epoch, and writes history and curves anew.

        Args:
            history: The epochs so far.
            model: The model as it is.
            description: What it was made for.
            keep: Number of checkpoints to keep, 0 for all.
            logits: What the model says of the validation split, float32 [pictures, 1 or classes].
        """
        checkpoints = self.path / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        last = history[-1]
        saved = checkpoints / f"model-{last.epoch:02d}-{last.val_loss:.4f}.keras"
        model_files.save(model, saved, description)
        _link(saved, self.path / LAST_MODEL)
        if last is epoch_records.best_of(history):
            _link(saved, self.path / model_files.BEST_MODEL)
            content = io.BytesIO()
            np.save(content, logits)
            files.write_atomically(self.path / VALIDATION_LOGITS, content.getvalue())
        if keep:
            for old in sorted(checkpoints.glob("model-*.keras"), key=_epoch_of)[:-keep]:
                old.unlink()
        self.write_history(history)

    def write_history(self, history: Sequence[EpochRecord]) -> None:
        """Writes history.csv and history.jsonl, and now and then curves.png, which `finish` sees to at the end."""
        files.write_atomically(self.path / "history.csv", epoch_records.as_csv(history).encode())
        files.write_atomically(self.path / HISTORY, epoch_records.as_jsonl(history).encode())
        self._undrawn = history
        if time.monotonic() >= self._next_drawing:
            self._draw()

    def _draw(self) -> None:
        begun = time.monotonic()
        files.write_atomically(self.path / "curves.png", plots.draw_curves(self._undrawn, dark=False))
        self._undrawn = ()
        # Half a second, which an epoch may take, too.
        ended = time.monotonic()
        self._next_drawing = ended + _TIMES_ITSELF * (ended - begun)

    def write_batch(self, where: str, keys: Sequence[str]) -> None:
        """Writes which pictures a step had."""
        text = "".join(f"{key}\n" for key in [where, *keys])
        files.write_atomically(self.path / BATCH, text.encode("utf-8", "surrogateescape"))

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes the summary, which makes the run a finished one; no state is needed any more."""
        if self._undrawn:
            self._draw()
        _write_json(self.path / SUMMARY, summary)
        shutil.rmtree(self.state, ignore_errors=True)


def fold_name(number: int | str) -> str:
    """The name that the run of a fold has in the folder of all folds; of `*` a pattern for all."""
    return f"fold-{number}"


def create(options: TrainingOptions, name: str = "") -> Path:
    """Makes the folder runs/<time>-<what>, with a number behind where two runs begin in the same second.

    Args:
        options: The options.
        name: What it is called instead, also where it is there and empty, after a kill.
    """
    runs = Path(options.runs)
    if name:
        (runs / name).mkdir(exist_ok=True)
        return runs / name
    for path in _ways_to_last(runs, options):
        if not _is_way_to_run(path):
            raise InputError(f"{path} is in the way of the link to the last run; move it, or give another --runs")
    # Keras has names of layers with slashes.
    layers = f"from-{options.unfreeze_from.replace('/', '-')}" if options.unfreeze_from else "head"
    what = options.preset if options.preset != "none" else f"{options.backbone}-{layers}-{options.optimizer}"
    what += f"-{options.folds}-folds" if options.folds else ""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    for ending in ("", *(f"-{number}" for number in range(2, 100))):
        folder = runs / f"{now}-{what}{ending}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise InputError(f"--runs={runs}: has 99 runs of this second; start again")


class Unfinished(NamedTuple):
    """A run that was begun and not finished: its folder and the content of its config.json."""

    path: Path
    config: dict[str, Any]


def unfinished(options: TrainingOptions, data_digest: str) -> Unfinished:
    """The last run in --runs that was begun with these options and not finished.

    Args:
        options: The options.
        data_digest: What tells the data set, wherever it lies by now.

    Raises:
        InputError: There is none.
    """
    runs = Path(options.runs)
    differences: list[tuple[str, Path, Any]] = []
    damaged: list[InputError] = []
    for path in unfinished_in(runs):
        try:
            config = read_config(path)
        except InputError as error:
            damaged.append(error)
            continue
        different = _difference(options, data_digest, config)
        if not different:
            return Unfinished(path, config)
        differences.append((different, path, config["options"].get(different)))
    if damaged:
        # It may be the one that is meant.
        raise damaged[0]
    if not differences:
        finished = _last_of(options, data_digest)
        also = f"; {finished} is finished" if finished else ""
        raise InputError(f"--resume: {runs} has no unfinished run{also}; start one without --resume")
    # Of the newest one.
    name, path, before = differences[0]
    if name == "tfrecords":
        what = f"is not the data set that {path} began with, {before}"
        if options.tfrecords == before:
            what = f"has changed since {path} began; put back what was there, or start a new run without --resume"
        raise InputError(f"--tfrecords={options.tfrecords}: {what}")
    raise InputError(
        f"{as_flag(name, getattr(options, name))}: {path} began with {shortened(as_flag(name, before), 60)}; give what "
        "it began with, or start a new run without --resume"
    )


def finished_without_page(options: TrainingOptions, data_digest: str) -> Path | None:
    """The last run in --runs that was begun with these options, where it is finished and its page was not made."""
    run = _last_of(options, data_digest)
    return run if run and is_finished(run) and not (run / PAGE).exists() else None


def _last_of(options: TrainingOptions, data_digest: str) -> Path | None:
    """The last run in --runs that was begun with these options, finished or not."""
    for path in begun_in(Path(options.runs)):
        try:
            if not _difference(options, data_digest, read_config(path)):
                return path
        except InputError:
            # Whether it matters, `unfinished` says.
            continue
    return None


def _difference(options: TrainingOptions, data_digest: str, config: dict[str, Any]) -> str:
    """The first option in which a run is another than these make; empty: none."""
    stored = config["options"]
    different = options.difference(stored)
    if different or config["data_digest"] == data_digest:
        return different
    # Runs of earlier versions have none of these.
    given = {name: getattr(options, name) for name in OF_FOREIGN_FILES}
    return next((name for name, value in given.items() if stored.get(name, value) != value), "tfrecords")


def copy_state(run: Path, folder: Path) -> None:
    """Copies the state of a run, if it has one, for a process that writes elsewhere."""
    if (run / _STATE).is_dir():
        shutil.copytree(run / _STATE, folder / _STATE)


def lead_to(folder: Path, options: TrainingOptions) -> None:
    """Makes runs/latest, and runs/latest-<preset> of a preset's run, lead to the run.

    They are links or, where the file system has none, files that `latest_run.resolve` follows.
    """
    for path in _ways_to_last(folder.parent, options):
        temporary = files.temporary_beside(path)
        try:
            if not _is_way_to_run(path):
                raise FileExistsError(errno.EEXIST, "is in the way")
            try:
                temporary.symlink_to(folder.name)
            except OSError:
                with files.create(temporary) as file:
                    file.write(latest_run.note_of(folder.name))
            os.replace(temporary, path)
        # No reason to give up a run.
        except OSError as error:
            files.note(f"{path} does not lead to this run ({error.strerror}); give {folder} by its name")
        finally:
            temporary.unlink(missing_ok=True)


def _ways_to_last(runs: Path, options: TrainingOptions) -> list[Path]:
    presets = ["", options.preset] if options.preset != "none" else [""]
    return [runs / latest_run.latest(preset) for preset in presets]


def _is_way_to_run(path: Path) -> bool:
    """Whether a path is one that `lead_to` made, or nothing is there."""
    if path.is_symlink():
        # A link to another folder is somebody else's.
        return "/" not in os.readlink(path)
    return not path.exists() or bool(latest_run.run_in_note(path))


def _link(file: Path, link: Path) -> None:
    """Gives a file a second name, which outlives the first."""
    temporary = files.temporary_beside(link)
    try:
        with files.naming(link):
            files.copy_name(file, temporary)
        os.replace(temporary, link)
    finally:
        temporary.unlink(missing_ok=True)


def _epoch_of(checkpoint: Path) -> int:
    return int(checkpoint.name.split("-")[1])


def _write_json(path: Path, content: dict[str, Any]) -> None:
    files.write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
