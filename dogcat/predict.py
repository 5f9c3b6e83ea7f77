"""Predicts the pictures of a folder and writes a Kaggle submission: a CSV with id,label.

The label is the probability of the second class, dog. Every picture has its row, in the order of the ids;
one that cannot be read gets 0.5 and is listed with the reason, here and in a file beside the output.
"""

from __future__ import annotations

import sys
from pathlib import Path

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
    likely = int((predictions.probabilities > 0.5).sum())
    print(f"wrote {path}: {len(predictions.ids)} rows, {likely} of them more likely {predictions.second_class}")
    if listed:
        print(f"wrote {listed}: what could not be read ({len(predictions.unreadable)}), at 0.5 in the CSV")
    print("next: submit the CSV, or look at the run's curves.png")


if __name__ == "__main__":
    flags.run(main, PredictionOptions)
