"""Repeats the five runs that the recipe comes from, and sets them beside their published figures.

Trains --preset=top, continue, open2, open4 and open4-sgd in this order, predicts the test pictures with each, and
writes into --output a CSV for each run, table.md and comparison.png. Stopped, the same command goes on with the run
that it was at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dogcat.core import flags, outputs, plot_style
from dogcat.core.bounds import Bounds
from dogcat.core.options import InputError, Options, as_flag, option, output_folder_option
from dogcat.dataset import manifest
from dogcat.dataset.options import data_set_option
from dogcat.models import latest_run
from dogcat.pictures import folders
from dogcat.pictures.options import TEST_FOLDER
from dogcat.training import epoch_records, finished_runs
from dogcat.training.finished_runs import FinishedRun
from dogcat.training.options import TrainingOptions
from dogcat.training.presets import PRESETS
from dogcat.training.source_runs import SOURCE_RUNS

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from . import child_commands

TABLE, PLOT = "table.md", "comparison.png"


@dataclasses.dataclass(frozen=True)
class ReproductionOptions(Options):
    """Options of `tools.reproduce`."""

    tfrecords: str = data_set_option()
    test_images: str = option(TEST_FOLDER, "Folder of the test pictures.", path=True)
    runs: str = option("runs", "Folder of the runs.", path=True)
    output: str = output_folder_option("reproduction", "Folder for the predictions, the table and the plot.")
    epochs: int = option(
        0,
        "For small machines: train for at most this many epochs in each run.",
        bounds=Bounds(at_least=1, zero="for as many as the source, 30 and 50"),
    )
    limit: int = option(
        0,
        "For small machines: use at most this many pictures of each split, but no fewer than a batch of the source.",
        bounds=Bounds(at_least=PRESETS["top"]["batch_size"], zero="for all"),
    )


def main(options: ReproductionOptions) -> None:
    """Runs what is left to do, then draws the comparison."""
    if not Path(options.test_images).is_dir():
        raise InputError(f"--test_images={options.test_images} does not exist as a folder; give one of pictures")
    folders.list_images(Path(options.test_images))
    data = manifest.load(Path(options.tfrecords))
    digest = (data.limited(options.limit) if options.limit else data).digest()
    output = Path(options.output)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output={options.output}: is a file; give a folder")
    outputs.require_own(output, (TABLE, PLOT, *(f"{source.preset}.csv" for source in SOURCE_RUNS)))
    own = []
    for source in SOURCE_RUNS:
        run = finished_run(options, source.preset, digest)
        if run is None:
            _train(options, source.preset, digest)
            run = finished_run(options, source.preset, digest)
            assert run is not None, "training ended without a summary"
        output.mkdir(parents=True, exist_ok=True)
        submission = f"{source.preset}.csv"
        child_commands.call(
            *("dogcat.predict", f"--model={run.path}", f"--images={options.test_images}"),
            *(f"--output={output / submission}", "--resume"),
        )
        outputs.note(output, [submission])
        own.append(run)
    table = compare(own, options)
    outputs.write(output, {TABLE: table.encode(), PLOT: draw(own, options)})
    print(table)
    names = ", ".join(f"{source.preset}.csv" for source in SOURCE_RUNS)
    print(f"wrote {output}: {TABLE}, {PLOT}, {names}")


def finished_run(options: ReproductionOptions, preset: str, digest: str) -> FinishedRun | None:
    """The last run of a preset, if it is finished and was made with these options on the data of this digest."""
    folder = latest_run.preset_run(options.runs, preset).resolve()
    if not (folder / finished_runs.SUMMARY).exists():
        return None
    run = finished_runs.read(folder)
    return run if _fits(run.config, options, preset, digest) else None


def _fits(config: dict[str, Any], options: ReproductionOptions, preset: str, digest: str) -> bool:
    """Whether a run with this config.json is what the options ask for."""
    wanted = TrainingOptions.from_given({"preset": preset, **_changes(options)})
    return finished_runs.was_asked_for(config, wanted, digest)


def _changes(options: ReproductionOptions) -> dict[str, object]:
    """Options of training that are not the preset's."""
    changes: dict[str, object] = {"tfrecords": options.tfrecords, "limit": options.limit}
    if options.epochs:
        changes["epochs"] = options.epochs
    return changes


def _train(options: ReproductionOptions, preset: str, digest: str) -> None:
    """Trains a preset, going on with a run of it that was stopped."""
    arguments = [f"--preset={preset}", f"--runs={options.runs}"]
    arguments += [as_flag(name, value) for name, value in _changes(options).items()]
    begun = finished_runs.unfinished_in(Path(options.runs))
    if any(_fits(finished_runs.read_config(path), options, preset, digest) for path in begun):
        arguments.append("--resume")
    child_commands.call("dogcat.train", *arguments)


def compare(own: Sequence[FinishedRun], options: ReproductionOptions) -> str:
    """The table, in Markdown; a number after a slash is the report's."""
    lines = [
        "Validation log loss of the best epoch, epochs and time; after the slash the source's, on two GPUs of 2018.",
        "",
        "| run | starts from | trains | epochs | best epoch | validation log loss | accuracy | time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for source, run in zip(SOURCE_RUNS, own):
        best = epoch_records.best_of(run.history)
        lines.append(
            f"| {source.preset} | {source.starts_from} | {source.trains} | {run.history[-1].epoch} / {source.epochs} "
            f"| {best.epoch} / {source.best_epoch} | {best.val_loss:.4f} / {source.val_loss:g} "
            f"| {best.val_accuracy:.2%} | {run.seconds:,.0f} s / {source.seconds:,} s |"
        )
    lines += ["", f"On {own[0].config['device']}, {options.tfrecords}{_shortened(options)}.", ""]
    lines.append(
        "The source validated on augmented pictures of its own split, so that the figures are near, not equal."
    )
    return "\n".join(lines) + "\n"


def _shortened(options: ReproductionOptions) -> str:
    """Words for what the options leave out of the source's runs, with a comma before them."""
    words = ""
    if options.epochs:
        words += f", shortened to {options.epochs} epochs a run at most, where the source allowed 30 and 50"
    if options.limit:
        words += f", shortened to {options.limit} pictures of each split at most"
    return words


def draw(own: Sequence[FinishedRun], options: ReproductionOptions) -> bytes:
    """Draws the best validation losses beside the report's, and how they came down, as PNG."""
    with plot_style.style(dark=False):
        return plot_style.png(_figure(own, options))


def _figure(own: Sequence[FinishedRun], options: ReproductionOptions) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    places = np.arange(len(own))
    bars = (
        ("this run", [epoch_records.best_of(run.history).val_loss for run in own], -0.2, "tab:blue"),
        ("the source's report", [source.val_loss for source in SOURCE_RUNS], 0.2, "tab:grey"),
    )
    for label, values, shift, colour in bars:
        drawn = left.bar(places + shift, values, 0.4, label=label, color=colour)
        left.bar_label(drawn, [f"{value:.4f}" for value in values], fontsize=8, padding=2)
    left.set_xticks(places, [source.preset for source in SOURCE_RUNS])
    left.set_ylabel("validation log loss of the best epoch")
    left.margins(y=0.12)
    left.legend()
    for source, run in zip(SOURCE_RUNS, own):
        right.plot(
            [record.epoch for record in run.history],
            [record.val_loss for record in run.history],
            marker="o",
            markersize=4,
            label=source.preset,
        )
    right.set_yscale("log")
    right.set_xlabel("epoch (0: what the run starts from)")
    right.set_ylabel("validation log loss")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.grid(alpha=0.3, which="both")
    right.legend()
    figure.suptitle(f"{own[0].config['device']}{_shortened(options)}", fontsize=10)
    return figure


if __name__ == "__main__":
    flags.run(main, ReproductionOptions)
