"""Trains the model on a data set of TFRecord shards.

Without more flags than those that name data and folders, the recipe is --preset=best. First the head is fitted on
features of the frozen backbone, in seconds once these are computed; then the layers from --unfreeze_from on train with
it, on augmented pictures. Each run gets a folder of its own below --runs, with its options, history, curves,
checkpoints and best model; runs/latest leads to the last one.

A run that was stopped or killed goes on with the same command and --resume. SIGTERM ends it with exit code 75, as the
end of its terminal does unless nohup started it, Ctrl-C with 130, each with its state saved. Several workers are
started by the same command in each, under TF_CONFIG or srun; when one is stopped or gone, all end with 75.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from dogcat.core import commands, flags, runtime
from dogcat.core.interrupts import Interrupts, Terminated
from dogcat.core.text import printable
from dogcat.pictures.options import TEST_FOLDER
from dogcat.training.options import TrainingOptions


def main(options: TrainingOptions) -> None:
    """Trains, makes the run's page, and says what to do next."""
    runtime.prepare()
    folder = train(options)
    if folder is None:
        return
    print(printable(f"wrote {folder}: best.keras, history.csv, curves.png, checkpoints"))
    model = "" if options.runs == TrainingOptions.runs else f" {shlex.quote(f'--model={folder}')}"
    beside = Path(options.tfrecords).parent
    images = commands.folder_word(Path(TEST_FOLDER), beside / "test", beside / "data" / "test")
    print(printable(f"next: {commands.spelled('predict')} {images}{model} --output=submission.csv"))


def train(options: TrainingOptions) -> Path | None:
    """Trains, and makes the page of the run; of a run that only lacks its page, makes that.

    Returns:
        The run's folder; None for a dry run, and in a worker that does not write.

    Raises:
        InputError: Something cannot be used, or training diverged.
        Terminated, KeyboardInterrupt: The process was told to stop; the message says how to go on.
    """
    from dogcat.training import run

    folder = run.train(options)
    if folder and options.report:
        _make_page(folder)
    return folder


def _make_page(run: Path) -> None:
    from dogcat.reports import build
    from dogcat.training.run_folder import RunFolder

    try:
        with RunFolder(run), Interrupts():
            page = build.write(run)
    except (Terminated, KeyboardInterrupt) as stop:
        stop.args = (f"the run {run} is finished; the same command with --resume makes its page",)
        raise
    print(printable(f"report: {page or 'none, since validation has less than two pictures'}"))


if __name__ == "__main__":
    flags.run(main, TrainingOptions)
