"""Trains the model on a data set of TFRecord shards.

Without more flags than those that name data and folders, the recipe is --preset=best. First the head is fitted on
features of the frozen backbone, in seconds once these are computed; then the layers from --unfreeze_from on train with
it, on augmented pictures. Each run gets a folder of its own below --runs, with its options, history, curves,
checkpoints and best model; runs/latest leads to the last one.

A run that was stopped or killed goes on with the same command and --resume. SIGTERM ends it with exit code 75, as the
end of its terminal does unless nohup started it, Ctrl-C with 130, each with its state saved. Several workers are
started by the same command in each, under TF_CONFIG or srun; when one is stopped or gone, all end with 75. With
--data_service other machines decode the pictures, and a run goes on from whole epochs.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from dogcat.core import commands, flags, runtime
from dogcat.core.text import printable
from dogcat.library import entry_points
from dogcat.pictures.options import TEST_FOLDER
from dogcat.training.options import TrainingOptions


def main(options: TrainingOptions) -> None:
    """Trains, makes the run's page, and says what to do next."""
    runtime.prepare()
    from dogcat.library import runs

    folder = runs.train_with_page(options)
    if folder is None:
        return
    wrote = "best.keras, history.csv, curves.png, checkpoints"
    if options.folds:
        wrote = f"out_of_fold.csv, metrics.json, models.txt, and a run in each of fold-1 to fold-{options.folds}"
    print(printable(f"wrote {folder}: {wrote}"))
    print(printable(f"next: {next_command(options, folder)}"))


def next_command(options: TrainingOptions, folder: Path) -> str:
    """A command that predicts with the run of a folder."""
    model = "" if options.runs == TrainingOptions.runs else f" {shlex.quote(f'--model={folder}')}"
    beside = Path(options.tfrecords).parent
    images = commands.folder_word(Path(TEST_FOLDER), beside / "test", beside / "data" / "test")
    return f"{commands.spelled('predict')} {images}{model} --output=submission.csv"


if __name__ == "__main__":
    flags.run(main, TrainingOptions)
else:
    entry_points.make_callable(__name__, "dogcat.library.runs")
