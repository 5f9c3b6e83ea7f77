"""Points of a curve over the steps of a run, few enough to be kept for days: loss, learning rate, pictures a second."""

from __future__ import annotations

from typing import Callable, NamedTuple

from dogcat.training.checkpoint import Progress

# Of training between two points; a longer step has one of its own.
_SECONDS = 2.0


class StepPoint(NamedTuple):
    """Figures of the steps since the point before.

    Attributes:
        step: Steps of the run that are done, those of earlier epochs too.
        loss: Their mean log loss, with augmentation.
        learning_rate: Learning rate of the last of them.
        pictures_per_second: Training pictures a second.
    """

    step: int
    loss: float
    learning_rate: float
    pictures_per_second: float


class StepCurve:
    """Takes the points from a run's progress as it grows; each epoch ends with one."""

    def __init__(self, steps: int, batch_size: int, rate: Callable[[int], float]) -> None:
        """Takes the steps of an epoch, the pictures of a step, and the learning rate of each step of the run."""
        self._steps = steps
        self._batch_size = batch_size
        self._rate = rate
        self._step, self._loss_sum, self._seconds = 0, 0.0, 0.0

    def begin(self, progress: Progress) -> None:
        """Begins the points of an epoch, or of what is left of one."""
        self._step, self._loss_sum, self._seconds = progress.step, progress.loss_sum, progress.seconds

    def next_point(self, progress: Progress) -> StepPoint | None:
        """The point after the last step, whose loss must have been read; None where it is too early for one."""
        seconds = progress.seconds - self._seconds
        if seconds < _SECONDS and progress.step < self._steps:
            return None
        pictures = (progress.step - self._step) * self._batch_size
        done = progress.epoch * self._steps + progress.step
        point = StepPoint(
            done, (progress.loss_sum - self._loss_sum) / pictures, self._rate(done - 1), pictures / seconds
        )
        self.begin(progress)
        return point
