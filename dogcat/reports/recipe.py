"""The options of a run as its report tells them: those that make it another than its preset, and how to repeat it."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from dogcat.core import commands
from dogcat.core.options import as_flag
from dogcat.training.augmentations import AUGMENTATIONS
from dogcat.training.finished_runs import FinishedRun
from dogcat.training.options import TrainingOptions
from dogcat.training.presets import PRESETS

# They say how the run was called and where its files are, not what it computed.
_OF_THE_CALL = ("config", "resume", "dry_run", "preset", "tfrecords", "validation_tfrecords", "runs", "track")


def differing(run: FinishedRun) -> dict[str, Any]:
    """The options in which a run differs from its preset, by name."""
    of_preset = _options_of({"preset": _preset(run)})
    # A set of augmentation is told as one.
    chosen = run.options.get("augment")
    sets: dict[str, Any] = (
        {"augment": chosen}
        if isinstance(chosen, str) and chosen in AUGMENTATIONS and chosen != of_preset["augment"]
        else {}
    )
    base = _options_of({"preset": _preset(run), **sets}) if sets else of_preset
    others = {name: value for name, value in run.options.items() if name in base and value != base[name]}
    return {name: value for name, value in dict(sets, **others).items() if name not in _OF_THE_CALL}


def command(run: FinishedRun) -> str:
    """A command that trains with the same options."""
    places = ("tfrecords", "validation_tfrecords", "runs")
    folders: dict[str, Any] = {name: run.options[name] for name in places if run.options.get(name)}
    given = {**folders, "preset": _preset(run), **differing(run)}
    return " ".join([commands.spelled("train"), *(_flag(name, value) for name, value in given.items())])


def _preset(run: FinishedRun) -> str:
    preset = run.options["preset"]
    return preset if preset in PRESETS else "none"


def _options_of(given: dict[str, Any]) -> dict[str, Any]:
    return dataclasses.asdict(TrainingOptions.from_given(given))


def _flag(name: str, value: Any) -> str:
    return shlex.quote(as_flag(name, value))
