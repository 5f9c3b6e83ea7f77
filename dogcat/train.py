"""Trains the model on a data set of TFRecord shards.

Without more flags than those that name data and folders, the recipe is --preset=best. First the head is fitted on
features of the frozen backbone, in seconds once these are computed; then the layers from --unfreeze_from on train with
it, on augmented pictures. Each run gets a folder of its own below --runs, with its options, history, curves,
checkpoints and best model; runs/latest leads to the last one.

A run that was stopped or killed goes on with the same command and --resume. SIGTERM ends it with exit code 75, as the
end of its terminal does unless nohup started it, Ctrl-C with 130, each with its state saved. Under TF_CONFIG, start the
same command in each worker.
"""

from __future__ import annotations

from dogcat import flags, runtime
from dogcat.printing import printable
from dogcat.training_options import TrainingOptions


def main(options: TrainingOptions) -> None:
    """Trains, and says what to do next."""
    runtime.prepare()
    from dogcat import training

    folder = training.train(options)
    if folder is None:
        return
    print(printable(f"wrote {folder}: best.keras, history.csv, curves.png, checkpoints"))
    where = "" if options.runs == TrainingOptions.runs else f" --model={folder}"
    print(printable(f"next: python -m dogcat.predict{where} --images=data/test --output=submission.csv"))


if __name__ == "__main__":
    flags.run(main, TrainingOptions)
