"""The run that a model is of, if it is the best one of a run, and the model card that tells of both."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import NamedTuple

import numpy as np

import dogcat
from dogcat.core import files
from dogcat.core.options import InputError
from dogcat.dataset import shard_plan
from dogcat.models import export, keras_versions, model_files
from dogcat.reports import build, model_card
from dogcat.reports.build import Validated
from dogcat.training import finished_runs
from dogcat.training.finished_runs import FinishedRun

from .quantizing_loss import Loss


class KnownRun(NamedTuple):
    """What is known of a model beside itself.

    Attributes:
        path: The model's file.
        run: Its run; None: it is not a finished run's best model.
        validated: How it does on the run's validation split; None: not known.
        no_figures: Why that is not known.
    """

    path: Path
    run: FinishedRun | None
    validated: Validated | None
    no_figures: str

    def card(self, form: str, quantize: str, folder: Path, loss: Loss | None) -> bytes:
        """The model card of an export.

        Args:
            form: Its format.
            quantize: How it was quantized.
            folder: What was written of it so far.
            loss: What quantizing costs; None: not measured, or nothing.
        """
        figures = []
        if self.run and self.validated:
            count = len(self.validated.predictions.keys)
            caption = f"Validation: {count:,} pictures of the data set that it was trained on another part of."
            figures.append(model_card.figures(caption, self.validated.assessment.overall))
        evaluated = model_card.evaluation_of(self.run, self.path) if self.run else None
        written = sorted(file for file in folder.rglob("*") if file.is_file())
        subject = model_card.Subject(
            form=form,
            quantize=quantize,
            description=model_files.describe(self.path),
            run=self.run,
            data=self.validated.data if self.validated else None,
            figures=[*figures, *([evaluated] if evaluated else [])],
            no_figures=self.no_figures,
            loss=model_card.loss(f"On {loss.pictures:,} pictures of {loss.source}.", loss.assessment) if loss else None,
            files={str(file.relative_to(folder)): (file.stat().st_size, files.sha256_of(file)) for file in written},
            versions={
                "dogcat": dogcat.__version__,
                "python": platform.python_version(),
                **keras_versions.versions(),
                "numpy": np.__version__,
                **{name: importlib.metadata.version(name) for name in export.PACKAGES.get(form, ())},
            },
        )
        return model_card.render(subject)


def find(path: Path, tfrecords: str) -> KnownRun:
    """What is known of a model.

    Args:
        path: Its file.
        tfrecords: Where the data set of its run is; empty: where it was.

    Raises:
        InputError: Its run is damaged, or `tfrecords` is not its data set.
    """
    folder = path.parent
    if path.name != model_files.BEST_MODEL or not finished_runs.is_finished(folder):
        return KnownRun(path, None, None, "not known from the file of the model")
    run = finished_runs.read(folder)
    try:
        validated = build.validated(run, tfrecords)
    except InputError as error:
        # What was asked for is an error; what is gone since is told.
        if tfrecords:
            raise
        return KnownRun(path, run, None, str(error))
    fewest = f"the {shard_plan.VALIDATION} split has less than two pictures"
    return KnownRun(path, run, validated, "" if validated else fewest)
