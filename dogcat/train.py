"""Trains the model on a data set of TFRecord shards.

First the head is fitted on features of the frozen backbone, in seconds; then the layers from
--unfreeze_from on train with it, on augmented pictures. Each run gets a folder of its own below --runs, with
its options, history, curves, checkpoints and best model; runs/latest points to the last one.
"""

from __future__ import annotations

from dogcat import flags, runtime
from dogcat.training_options import TrainingOptions


def main(options: TrainingOptions) -> None:
    """Trains, and says what to do next."""
    runtime.prepare()
    from dogcat import training

    folder = training.train(options)
    if folder is None:
        return
    print(f"wrote {folder}: best.keras, history.csv, curves.png, checkpoints, tensorboard")
    where = "" if options.runs == TrainingOptions.runs else f" --model={folder}"
    print(f"next: python -m dogcat.predict{where} --images=data/test --output=submission.csv")


if __name__ == "__main__":
    flags.run(main, TrainingOptions)
