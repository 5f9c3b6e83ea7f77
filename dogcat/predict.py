"""Predicts the pictures of a folder and writes a Kaggle submission: a CSV with id,label.

The label is the probability of the second class, dog; with more than two classes there is a column for each. Every
picture has its row, in the order of the ids; one that cannot be read gets the same probability for each class and is
listed with the reason, here and in a file beside the output.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dogcat import flags, runtime
from dogcat.config import PredictionOptions
from dogcat.printing import printable


def main(options: PredictionOptions) -> None:
    """Predicts, writes the CSV and says what came out."""
    runtime.prepare()
    from dogcat import inference

    path = Path(options.output)
    inference.check_output(path)
    predictions = inference.predict_folder(options)
    listed = inference.write_submission(predictions, options.clip, path)
    for picture in predictions.unreadable:
        print(printable(f"unreadable: {picture.key}: {picture.reason}, {picture.detail}"), file=sys.stderr)
    decided = predictions.probabilities[np.ptp(predictions.probabilities, axis=1) > 0]
    counts = np.bincount(decided.argmax(axis=1), minlength=len(predictions.classes))
    likely = ", ".join(f"{count} {name}" for name, count in zip(predictions.classes, counts))
    print(f"wrote {path}: {len(predictions.ids)} rows, most probably {likely}")
    if listed:
        print(f"wrote {listed}: what could not be read ({len(predictions.unreadable)}), undecided in the CSV")
    print("next: submit the CSV, or look at the run's curves.png")


if __name__ == "__main__":
    flags.run(main, PredictionOptions)
