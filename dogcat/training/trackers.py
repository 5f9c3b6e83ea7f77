"""The trackers of --track: their names, what each must do, and how one is made from its own package."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from dogcat.core.options import InputError, option, words
from dogcat.core.text import one_of

# The class of each; its package, which is imported with an object of it, has the tracker's name.
_CLASSES = {"wandb": "WandbTracker", "mlflow": "MlflowTracker"}
# What decides where the figures of each go.
VARIABLES = {"wandb": "WANDB_MODE and wandb's other variables", "mlflow": "MLFLOW_TRACKING_URI"}
# How a run came to its end.
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"


class Tracker(Protocol):
    """A run at a tracker. Its methods raise whatever the tracker's package does."""

    def begin(self, folder: Path, identity: str, config: Mapping[str, Any]) -> tuple[str, str]:
        """Begins a run, or goes on with one.

        Args:
            folder: The folder of the run.
            identity: The tracker's name of a run that goes on; empty for a new one.
            config: What the run is made with, by name.

        Returns:
            The tracker's name of the run, and where a person finds it.
        """

    def add(self, figures: Mapping[str, float], axis: str, place: int) -> None:
        """Adds figures at a place on an axis, `epoch` or `step`."""

    def finish(self, figures: Mapping[str, float], page: Path | None) -> None:
        """Adds what the whole run came to, and its report if there is one."""

    def end(self, how: str) -> None:
        """Sends what is left and lets go of everything; `how` is FINISHED, STOPPED (it may go on), or FAILED."""


def track_option() -> Any:
    """Declares the trackers of a run."""
    return option(
        "",
        f"Send options, figures and report to {' or '.join(_CLASSES)} too, or to both with a comma between; their own "
        "variables say where that is. Empty: to none; files for TensorBoard are written anyway.",
        several=True,
        heading="Tracking",
    )


def chosen(track: str) -> list[str]:
    """The names of the trackers in a value of --track.

    Raises:
        InputError: One of them is not one.
    """
    if "" in words(track):
        raise InputError(f"--track={track}: has a comma too many; give words like wandb,mlflow")
    for word in words(track):
        if word not in _CLASSES:
            raise InputError(f"--track={track}: {word!r} is not a tracker; {one_of(word, _CLASSES)}")
    return list(dict.fromkeys(words(track)))


def make(name: str) -> Tracker:
    """Makes the tracker of a name.

    Raises:
        InputError: Its package cannot be imported.
    """
    module = importlib.import_module(f"dogcat.training.{name}_tracker")
    try:
        tracker: Tracker = getattr(module, _CLASSES[name])()
    except ImportError as error:
        raise InputError(f"--track={name}: {name} cannot be imported ({error}); pip install {name}") from error
    return tracker
