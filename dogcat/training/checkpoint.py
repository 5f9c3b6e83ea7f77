"""The state of a run between two steps, on disk: what it takes to go on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from dogcat.core import files, typed_json
from dogcat.core.options import InputError
from dogcat.loading.pipeline import Position
from dogcat.models import keras_versions, object_graph, workers
from dogcat.models.bundle import Bundle
from dogcat.training import epoch_records
from dogcat.training.epoch_records import EpochRecord

_PROGRESS = "progress.json"
_VARIABLES = "variables"
_STATES = "[0-9]*-[0-9]*"
# Far above what a run of 100,000 epochs has, and a hundred years.
_MOST_BYTES, _MOST_SECONDS = 2**25, 3.2e9
_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("epoch", "step"), int),
    **dict.fromkeys(("loss_sum", "right", "seconds", "waited"), float),
    "stages": dict[str, float],
    "history": list[Any],
}


# A stage of a run beside those of work.
WAITING = "waiting for input"


@dataclasses.dataclass
class Progress:
    """How far a run is.

    Attributes:
        epoch: Epochs that are done and recorded.
        step: Steps of the next epoch that are done.
        loss_sum: Sum of the log losses over these steps.
        right: Number of pictures that were right in them.
        seconds: Time of these steps.
        waited: Part of it in which a batch was waited for, seconds.
        stages: Seconds of each stage of the run so far, by name.
        history: The records of the epochs.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    right: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    stages: dict[str, float] = dataclasses.field(default_factory=dict)
    history: list[EpochRecord] = dataclasses.field(default_factory=list)

    @property
    def position(self) -> Position:
        """The next step."""
        return Position(self.epoch, self.step)

    def add_time(self, stage: str, seconds: float) -> None:
        """Adds to the time of a stage."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def stages_of_work(self) -> dict[str, float]:
        """The stages but for waiting, which is a part of others."""
        return {stage: seconds for stage, seconds in self.stages.items() if stage != WAITING}

    def input_wait(self) -> float | None:
        """Share of the training time that went into waiting for batches, 0..1; None where nothing was trained."""
        training = self.stages.get("training")
        return self.stages.get(WAITING, 0.0) / training if training else None

    def seconds_left(self, epochs: int, steps: int, validation: float) -> float | None:
        """Time that the epochs left take at the speed of those done; None where nothing was trained.

        Args:
            epochs: Largest number of epochs.
            steps: Steps of an epoch.
            validation: Size of the validation split, in batches of a step, each of which is taken for as long.
        """
        done = self.epoch * (steps + validation) + self.step
        seconds = self.seconds + sum(self.stages.get(stage, 0.0) for stage in ("training", "validation", "saving"))
        return (epochs * (steps + validation) - done) * seconds / done if done else None

    def next_epoch(self, record: EpochRecord) -> None:
        """Closes an epoch."""
        self.history.append(record)
        self.epoch, self.step = record.epoch, 0
        self.loss_sum = self.right = self.seconds = self.waited = 0.0


def save(folder: Path, progress: Progress, variables: tf.train.Checkpoint) -> None:
    """Writes a state into a folder of its own below `folder`, and removes earlier ones.

    It is whole once it has its progress, which is written last: not every file system renames a folder.

    Raises:
        InputError: The disk does not take it.
        OSError: Likewise.
    """
    folder.mkdir(exist_ok=True)
    earlier = list(folder.glob(_STATES))
    path = folder / _name(progress)
    if _is_whole(path):
        # Saved at this step before: the same, since all follows from the position.
        return
    values = dataclasses.asdict(progress)
    values["history"] = [epoch_records.to_json(record) for record in progress.history]
    try:
        path.mkdir(exist_ok=True)
        # What a kill left.
        for file in path.iterdir():
            file.unlink()
        try:
            variables.write(str(path / _VARIABLES))
        # TensorFlow's own; what the system said stands behind the last semicolon.
        except tf.errors.OpError as error:
            if workers.tells_of_lost(error):
                raise
            said = error.message.rpartition("; ")[2]
            raise InputError(f"{folder}: the state cannot be written ({said}); make room, then --resume") from error
        for file in path.iterdir():
            files.make_durable(file)
        # Python writes floats so that they come back the same.
        files.write_atomically(path / _PROGRESS, (json.dumps(values, indent=2) + "\n").encode())
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    files.make_durable(path)
    files.make_durable(folder)
    for old in earlier:
        if old != path:
            shutil.rmtree(old)


def _is_whole(path: Path) -> bool:
    return (path / _PROGRESS).exists()


def load(folder: Path, variables: tf.train.Checkpoint) -> Progress | None:
    """Reads the newest state below `folder`, if there is one, and sets the variables.

    Raises:
        InputError: The state is damaged.
    """
    states = sorted(filter(_is_whole, folder.glob(_STATES)))
    if not states:
        return None
    folder = states[-1]
    advice = "start a new run without --resume"
    try:
        progress = _progress(folder / _PROGRESS)
        if folder.name != _name(progress):
            raise ValueError(f"{_PROGRESS} is of epoch {progress.epoch} and step {progress.step}")
        _require_sound(folder / _VARIABLES, variables)
        variables.read(str(folder / _VARIABLES)).expect_partial()
    # TensorFlow's own for variables of other objects than these, which lead to one another in other ways.
    except (OSError, ValueError, LookupError, AttributeError, tf.errors.OpError) as error:
        raise InputError(f"{folder} is damaged ({' '.join(str(error).split())[:160]}); {advice}") from error
    return progress


def _require_sound(prefix: Path, variables: tf.train.Checkpoint) -> None:
    """Raises ValueError for files with which TensorFlow would end the process."""
    # An optimizer's slots have the shapes of their variables.
    sizes = [math.prod(variable.shape) * variable.dtype.size for variable in keras_versions.variables_below(variables)]
    bundle = Bundle(prefix, largest=max(sizes))
    for name in bundle.entries:
        bundle.data(name)
    object_graph.require_sound(bundle)


def _progress(path: Path) -> Progress:
    """Reads how far a run was.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be read.
    """
    values = typed_json.parse(files.read_bounded(path, _MOST_BYTES), _FIELDS)
    known = {name: values[name] for name in _FIELDS}
    progress = Progress(**{**known, "history": epoch_records.all_from_json(known["history"])})
    times = [progress.seconds, progress.waited, *progress.stages.values()]
    # Of steps that are done, speed is told.
    if min(times) < 0 or max(times) > _MOST_SECONDS or progress.step < 0 or (progress.step and not progress.seconds):
        raise ValueError(f"the steps or times in {path.name} are those of no run")
    if not progress.history or progress.history[-1].epoch != progress.epoch:
        raise ValueError(f"the epoch in {path.name} is not the last of its history")
    return progress


def _name(progress: Progress) -> str:
    return f"{progress.epoch:05d}-{progress.step:07d}"
