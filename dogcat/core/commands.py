"""The commands, in the order of the work, and how a user calls each.

That is `dogcat train` or, in a checkout, `python -m dogcat.train`.
"""

from __future__ import annotations

import shlex
from pathlib import Path

# Subcommand of `dogcat`, and the module that it runs.
COMMANDS = {
    "make-sample-images": "tools.make_sample_images",
    "survey-images": "tools.survey_images",
    "clean-images": "tools.clean_images",
    "make-tfrecords": "tools.make_tfrecords",
    "inspect-tfrecords": "tools.inspect_tfrecords",
    "fetch-weights": "tools.fetch_weights",
    "serve-data": "tools.serve_data",
    "train": "dogcat.train",
    "make-report": "tools.make_report",
    "evaluate": "dogcat.evaluate",
    "predict": "dogcat.predict",
    "try": "tools.try_model",
    "export-model": "tools.export_model",
    "reproduce": "tools.reproduce",
    "judge-recipes": "tools.judge_recipes",
    "benchmark": "tools.benchmark",
    "doctor": "tools.doctor",
    "completion": "dogcat.completion",
}

# How this process was started, where it was by the console command: "dogcat" or "python -m dogcat".
_started_by: list[str] = []


def started_by(program: str) -> None:
    """Notes that this process was started by the console command, called like this."""
    _started_by[:] = [program]


def spelled(command: str) -> str:
    """How the user calls a subcommand, in the way in which this process was called.

    Args:
        command: A key of `COMMANDS`.
    """
    return f"{_started_by[0]} {command}" if _started_by else f"python -m {COMMANDS[command]}"


def folder_word(*places: Path) -> str:
    """The first of some folders that is there, as a word for a shell; where none is, one that a user has to replace."""
    return next((shlex.quote(str(place)) for place in places if place.is_dir()), "FOLDER")


def spelled_module(module: str) -> str:
    """The same, of the module that a subcommand runs; of another module, how Python runs it."""
    of_module = {name: command for command, name in COMMANDS.items()}
    command = of_module.get(module.removeprefix("dogcat.") if ".tools." in module else module)
    return spelled(command) if command else f"python -m {module}"
