"""A run's figures on their way to trackers, none of which may cost the run anything when it fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Callable

from dogcat.core import files, typed_json
from dogcat.core.interrupts import Terminated
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.text import shortened
from dogcat.training import epoch_records, finished_runs, trackers
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.step_curve import StepPoint
from dogcat.training.trackers import Tracker

# In the folder of a run: what each tracker calls it.
IDENTITIES = "tracking.json"
_MOST_BYTES = 2**16

# Variables and parts of addresses that hold what nobody may see.
_SECRETS = re.compile("KEY|TOKEN|PASSWORD|SECRET")
_IN_ADDRESS = re.compile("://[^/@ ]+@")
_SHORTEST_SECRET = 6


class Tracking:
    """The trackers of a run; a context manager that ends them.

    What they raise after the run has begun at all of them is a note, and ends that tracker alone.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        """Takes the trackers' names, as `trackers.chosen` gives them."""
        self._names = names
        self._made: dict[str, Tracker] = {}
        self._begun: dict[str, Tracker] = {}
        self._failed: set[str] = set()

    def __enter__(self) -> Tracking:
        """Begins the block at whose end the trackers end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends the trackers, each as the block has ended."""
        how = trackers.FAILED if kind else trackers.FINISHED
        if kind and issubclass(kind, (Terminated, KeyboardInterrupt)):
            how = trackers.STOPPED
        for name in list(self._failed):
            # It may hold a process or a connection; what is wrong with it has been said.
            with contextlib.suppress(Exception):
                self._begun[name].end(how)
        self._each(lambda tracker: tracker.end(how))

    def load(self) -> None:
        """Imports the trackers' packages.

        Raises:
            InputError: One cannot be imported.
        """
        self._made = {name: trackers.make(name) for name in self._names}

    def begin(self, folder: Path, config: dict[str, Any]) -> None:
        """Begins the run at each tracker that `load` has imported, or goes on with it, and tells where it is.

        Args:
            folder: The folder of the run, in which the trackers' names for it are kept.
            config: What the run is made with: the content of config.json.

        Raises:
            InputError: A tracker does not take the run.
        """
        if not self._made:
            return
        path = folder / IDENTITIES
        known = typed_json.read(path, dict[str, str], _MOST_BYTES) if path.exists() else {}
        # The precision, for one, as it is and not as it was asked for.
        values = {**config["options"], **{name: value for name, value in config.items() if name != "options"}}
        for name, tracker in self._made.items():
            self._begun[name] = tracker
            try:
                identity, place = tracker.begin(folder, known.get(name, ""), values)
            # A tracker's package raises anything.
            except Exception as error:
                self._failed.add(name)
                raise InputError(
                    f"--track={name}: cannot begin ({_said(error)}); look at "
                    f"{trackers.VARIABLES[name]}, or leave it out"
                ) from error
            tell(f"tracking: {name}, {_without_secrets(place)}")
            known[name] = identity
            files.write_atomically(path, (json.dumps(known, indent=2) + "\n").encode())

    def add_epoch(self, record: EpochRecord) -> None:
        """Adds the figures of an epoch."""
        parts = epoch_records.in_parts(record)
        figures = {f"{part}/{name}": value for part, of_part in parts.items() for name, value in of_part.items()}
        self._each(lambda tracker: tracker.add(figures, "epoch", record.epoch))

    def add_step(self, point: StepPoint) -> None:
        """Adds a point of the curve over the steps."""
        figures = {f"step/{name}": value for name, value in point._asdict().items() if name != "step"}
        self._each(lambda tracker: tracker.add(figures, "step", point.step))

    def finish(self, folder: Path) -> None:
        """Adds what a finished run came to: the figures of its best epoch, its times, and its report if it has one."""
        if not self._begun:
            return
        run = finished_runs.read(folder)
        best = epoch_records.best_of(run.history)
        figures = {
            f"best/{name}": value for name, value in epoch_records.in_parts(best)[epoch_records.VALIDATION].items()
        }
        figures |= {"best/epoch": best.epoch, "total/epochs": run.summary["epochs"], "total/seconds": run.seconds}
        page = folder / finished_runs.PAGE
        self._each(lambda tracker: tracker.finish(figures, page if page.exists() else None))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        """Calls something of each tracker that works; one that fails is left out from then on."""
        for name, tracker in self._begun.items():
            if name in self._failed:
                continue
            try:
                call(tracker)
            # As in `begin`; the run is worth more than what is told of it.
            except Exception as error:
                self._failed.add(name)
                files.note(f"tracking by {name} has ended ({_said(error)}); the run goes on without it")


# Of a run that goes to no tracker.
NOWHERE = Tracking()


def _said(error: Exception) -> str:
    """A tracker's words, on one line, without secrets."""
    return shortened(_without_secrets(" ".join(str(error).split()) or type(error).__name__))


def _without_secrets(text: str) -> str:
    """A text without passwords in addresses and values of secret variables."""
    for name, value in os.environ.items():
        if _SECRETS.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return _IN_ADDRESS.sub("://***@", text)
