"""A run at Weights & Biases, online or offline as WANDB_MODE says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dogcat.training import trackers

# Of sending what is left at the end, after which it stays on this disk.
_SECONDS = 300.0


class WandbTracker:
    """See `trackers.Tracker`."""

    def __init__(self) -> None:
        """Imports the package, which sends its own errors to its maker unless it is kept from that."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        self._wandb = wandb
        # A program that dogcat is part of may have runs of its own, which share the package's process.
        self._is_alone = wandb.run is None
        self._run: Any = None

    def begin(self, folder: Path, identity: str, config: Mapping[str, Any]) -> tuple[str, str]:
        """See `trackers.Tracker`."""
        settings = self._wandb.Settings(
            console="off",
            silent=True,
            # The user's repository and its changes are none of a tracker's business; config has dogcat's commit.
            disable_git=True,
            disable_code=True,
            reinit="create_new",
            finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT", _SECONDS)),
            finish_timeout_raises=True,
        )
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", "dogcat"),
            dir=os.environ.get("WANDB_DIR", str(folder)),
            id=identity or None,
            name=os.environ.get("WANDB_NAME", folder.name),
            config=dict(config),
            allow_val_change=True,
            # What is offline is a run of its own on disk each time, which `wandb sync --append` joins by the id.
            resume="allow" if identity and os.environ.get("WANDB_MODE") != "offline" else None,
            settings=settings,
        )
        for axis, names in (("epoch", ("train/*", "validation/*")), ("step", ("step/*",))):
            self._run.define_metric(axis, hidden=True)
            for name in names:
                self._run.define_metric(name, step_metric=axis)
        where = f"offline; wandb sync {Path(self._run.dir).parent}" if self._run.offline else self._run.url
        return self._run.id, str(where)

    def add(self, figures: Mapping[str, float], axis: str, place: int) -> None:
        """See `trackers.Tracker`."""
        self._run.log({axis: place, **figures})

    def finish(self, figures: Mapping[str, float], page: Path | None) -> None:
        """See `trackers.Tracker`."""
        self._run.summary.update(dict(figures))
        if page:
            artifact = self._wandb.Artifact(f"report-{self._run.id}", type="report")
            artifact.add_file(str(page))
            self._run.log_artifact(artifact)

    def end(self, how: str) -> None:
        """See `trackers.Tracker`; ends the package's process too, unless another run may be using it."""
        try:
            if self._run is not None:
                self._run.finish(exit_code=int(how != trackers.FINISHED))
        finally:
            if self._is_alone:
                self._wandb.teardown()
