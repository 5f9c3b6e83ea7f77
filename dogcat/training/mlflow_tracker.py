"""A run at MLflow, in the store that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dogcat.training import trackers

# Between two requests that add figures of steps: each waits for the server.
_SECONDS = 10.0
# The most that a server takes at once, and the longest text.
_MOST_PARAMETERS, _LONGEST = 100, 500
# While a server does not answer, so does the training wait.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
_STATUS = {trackers.FINISHED: "FINISHED", trackers.STOPPED: "KILLED", trackers.FAILED: "FAILED"}


class MlflowTracker:
    """See `trackers.Tracker`."""

    def __init__(self) -> None:
        """Imports the package, which tells its maker of its use unless it is kept from that."""
        for name, value in {"MLFLOW_DISABLE_TELEMETRY": "true", **_PATIENCE}.items():
            os.environ.setdefault(name, value)
        import mlflow

        self._mlflow = mlflow
        self._client: Any = None
        self._run = ""
        self._unsent: list[Any] = []
        self._sent = 0.0

    def begin(self, folder: Path, identity: str, config: Mapping[str, Any]) -> tuple[str, str]:
        """See `trackers.Tracker`."""
        self._client = client = self._mlflow.MlflowClient()
        if identity:
            client.update_run(identity, status="RUNNING")
            self._run = identity
        else:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "dogcat")
            experiment = client.get_experiment_by_name(name)
            number = experiment.experiment_id if experiment else client.create_experiment(name)
            self._run = client.create_run(number, run_name=folder.name).info.run_id
            texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in config.items()}
            parameters = [self._mlflow.entities.Param(name, text[:_LONGEST]) for name, text in texts.items()]
            for start in range(0, len(parameters), _MOST_PARAMETERS):
                client.log_batch(self._run, params=parameters[start : start + _MOST_PARAMETERS])
        return self._run, f"{self._mlflow.get_tracking_uri()}, run {self._run}"

    def add(self, figures: Mapping[str, float], axis: str, place: int) -> None:
        """See `trackers.Tracker`."""
        now = int(1000 * time.time())
        self._unsent += [self._mlflow.entities.Metric(name, value, now, place) for name, value in figures.items()]
        if axis == "epoch" or time.monotonic() - self._sent > _SECONDS:
            self._send()

    def finish(self, figures: Mapping[str, float], page: Path | None) -> None:
        """See `trackers.Tracker`."""
        self.add(figures, "epoch", 0)
        if page:
            self._client.log_artifact(self._run, str(page))

    def end(self, how: str) -> None:
        """See `trackers.Tracker`."""
        if self._run:
            self._send()
            self._client.set_terminated(self._run, _STATUS[how])

    def _send(self) -> None:
        """Sends the figures that were added."""
        self._client.log_batch(self._run, metrics=self._unsent)
        self._unsent, self._sent = [], time.monotonic()
