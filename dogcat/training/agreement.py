"""What the workers of a run agree on: that they do the same work, and after which steps to save and to end."""

from __future__ import annotations

import dataclasses
import hashlib
import time

import numpy as np
import tensorflow as tf

from dogcat.core.interrupts import Interrupts, Terminated
from dogcat.core.options import InputError, as_flag
from dogcat.dataset.manifest import Manifest
from dogcat.models import workers
from dogcat.training.options import TrainingOptions

# Options that a worker may have for itself: the files of the same content lie elsewhere, or it has less room.
_OF_ONE_WORKER = {"config", "runs", "tfrecords", "validation_tfrecords", "save_minutes", "keep", "cache", "cache_gib"}

# The time between two looks, each of which waits for the device and holds up the next step.
_SECONDS = 0.5
_MOST_STEPS = 1000


class Agreement:
    """Decides after which steps to look up, and what to do then.

    One process goes by its clock. Several workers save and end together, but their clocks and signals differ: at each
    look they tell each other what they know, and from that, the same in all, follows also after how many steps they
    look up next. A signal to one of them is raised there, in all.
    """

    def __init__(self, strategy: tf.distribute.Strategy, interrupts: Interrupts, save_seconds: float) -> None:
        """Begins to count steps.

        Args:
            strategy: The devices.
            interrupts: What signals come by; where there are several workers it raises none from now on.
            save_seconds: Time between saves.
        """
        self._interrupts = interrupts
        self._save_seconds = save_seconds
        self._gather = workers.make_gather(strategy)
        self._counts = workers.are_several(strategy)
        if self._counts:
            interrupts.note_only()
        self._steps, self._last_step = 0, 1
        self._looked = self._saved = time.perf_counter()

    def is_due(self) -> bool:
        """Counts a step; says whether to look up after it."""
        self._steps += 1
        if self._counts:
            return self._steps >= self._last_step
        return time.perf_counter() - self._looked > _SECONDS

    def look_up(self) -> bool:
        """Agrees with the other workers, all of which call this after the same step.

        Returns:
            Whether it is time to save.

        Raises:
            Terminated, KeyboardInterrupt: A signal came to one of the workers.
        """
        now = time.perf_counter()
        noted = self._interrupts.noted
        of_step = (now - self._looked) / max(self._steps, 1)
        known = self._gather([noted is not None, now - self._saved > self._save_seconds, of_step])
        stops, saves, slowest = known.max(axis=0)
        self._steps, self._last_step = 0, min(max(int(_SECONDS / slowest), 1), _MOST_STEPS)
        self._looked = time.perf_counter()
        if stops:
            raise noted() if noted else Terminated()
        return bool(saves)

    def saved(self) -> None:
        """Begins the time up to the next save."""
        self._saved = time.perf_counter()


def require_same_work(options: TrainingOptions, data: Manifest, strategy: tf.distribute.Strategy) -> None:
    """Compares the workers' options and data sets, so that none of them trains on something else.

    Raises:
        InputError: They differ; in all workers.
    """
    values = {name: value for name, value in dataclasses.asdict(options).items() if name not in _OF_ONE_WORKER}
    values["data set"] = data.digest()
    # As many bits as float64 holds.
    numbers = [int(hashlib.sha256(repr(value).encode()).hexdigest()[:12], 16) for value in values.values()]
    differ = np.ptp(workers.make_gather(strategy)(numbers), axis=0)
    for name, number in zip(values, differ):
        if number and name == "data set":
            raise InputError(
                f"--tfrecords={options.tfrecords}: another worker has other data; give all of them the same"
            )
        if number:
            raise InputError(
                f"{as_flag(name, values[name])}: another worker has another value; give all of them the same"
            )
