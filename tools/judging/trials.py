"""Trials of recipes: a data set of drawn pictures, a model trained on it, and its losses on pictures it never saw."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogcat.core import files
from dogcat.core.options import InputError, as_flag
from dogcat.dataset import manifest
from dogcat.evaluation import metrics
from dogcat.pictures import labels
from dogcat.pictures.folders import Listing
from dogcat.prediction.options import EvaluationOptions
from dogcat.training import finished_runs
from dogcat.training.options import TrainingOptions

from .. import child_commands

_ABOUT = "judging.json"


class Trial(NamedTuple):
    """A recipe on a draw of the pictures.

    Attributes:
        recipe: Its name.
        pictures: So many pictures are drawn; of them some are for validation.
        seed: Seed of the draw, of the split into training and validation, and of the training.
    """

    recipe: str
    pictures: int
    seed: int

    def __str__(self) -> str:
        """A name for folders."""
        return f"{self.recipe}-{self.pictures}-{self.seed}"


class Losses(NamedTuple):
    """What a trial comes to on the pictures that judge.

    Attributes:
        log_losses: Of each picture, clipped as in a submission; float64 [pictures].
        right: Whether its class is the most probable; bool [pictures].
    """

    log_losses: np.ndarray
    right: np.ndarray


class Workshop:
    """The folder in which data sets, runs and scores are kept, so that no work is done twice."""

    def __init__(self, folder: Path, listing: Listing, judge: Listing, recipes: dict[str, dict[str, object]]) -> None:
        """Takes the folder, the pictures to train on, those that judge, and the options of each recipe by its name.

        Raises:
            InputError: The folder was made for other pictures.
        """
        self._folder = folder
        self._listing = listing
        self._judge = judge
        self._recipes = recipes
        about = {
            name: {
                "folder": str(some.folder.resolve()),
                "keys": hashlib.sha256("\n".join(some.keys).encode()).hexdigest(),
            }
            for name, some in (("images", listing), ("judge", judge))
        }
        path = folder / _ABOUT
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise InputError(f"--work={folder}: is not empty and not of this command; give another folder")
            files.write_atomically(path, (json.dumps(about, indent=1) + "\n").encode())
        elif json.loads(files.read_bounded(path, 2**16)) != about:
            raise InputError(f"--work={folder}: was made for other pictures; give another folder")

    def losses(self, trial: Trial, views: list[str]) -> dict[str, Losses]:
        """Does what is left to do of a trial; gives what it comes to by view."""
        model = self._trained(trial, self._data_set(trial))
        return {view: self._scored(model, view) for view in views}

    def seconds(self, trial: Trial) -> float:
        """What the finished training of a trial took, in seconds, but for features that another run had made."""
        return finished_runs.read(self._trained(trial, self._data_set(trial))).seconds

    def _data_set(self, trial: Trial) -> Path:
        name = f"{trial.pictures}-{trial.seed}"
        data = self._folder / "data" / name
        if not (data / manifest.FILE_NAME).exists():
            data.parent.mkdir(exist_ok=True)
            keys = self._listing.keys
            others = np.sort(np.random.default_rng(trial.seed).permutation(len(keys))[trial.pictures :])
            excluded = data.parent / f"{name}.excluded.txt"
            files.write_atomically(excluded, "".join(labels.exclusion_line(keys[at]) for at in others).encode())
            child_commands.call(
                f"{child_commands.TOOLS}.make_tfrecords",
                *(f"--images={self._listing.folder}", f"--output={data}", f"--exclude={excluded}"),
                f"--seed={trial.seed}",
            )
        return data

    def _trained(self, trial: Trial, data: Path) -> Path:
        """The folder of the finished run."""
        runs = self._folder / "runs" / str(trial)
        given = {**self._recipes[trial.recipe], "tfrecords": str(data), "runs": str(runs), "seed": trial.seed}
        wanted = TrainingOptions.from_given(given)
        digest = manifest.load(data).digest()

        def fitting(begun: list[Path]) -> list[Path]:
            return [run for run in begun if finished_runs.was_asked_for(finished_runs.read_config(run), wanted, digest)]

        def finished() -> list[Path]:
            return [run for run in fitting(finished_runs.begun_in(runs)) if finished_runs.is_finished(run)]

        if not finished():
            unfinished = fitting(finished_runs.unfinished_in(runs))
            flags = [as_flag(name, value) for name, value in {**given, "report": False}.items()]
            child_commands.call("dogcat.train", *flags, *(["--resume"] if unfinished else []))
        return finished()[0]

    def _scored(self, run: Path, view: str) -> Losses:
        scores = self._folder / "scores" / f"{run.parent.name}-{run.name}-{view}"
        table = scores / "predictions.csv"
        if not table.exists():
            scores.parent.mkdir(exist_ok=True)
            child_commands.call(
                "dogcat.evaluate",
                *(f"--model={run}", f"--images={self._judge.folder}", f"--tta={view}", f"--output={scores}"),
            )
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        classes = [name.removeprefix("p_") for name in rows[0] if name.startswith("p_")]
        probabilities = np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows])
        of_label = np.array([classes.index(row["class"]) for row in rows])
        clipped = metrics.clip_probabilities(probabilities, EvaluationOptions.clip)
        return Losses(-np.log(clipped[np.arange(len(rows)), of_label]), probabilities.argmax(axis=1) == of_label)


def _digest(keys: list[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode("utf-8", "surrogateescape")).hexdigest()
