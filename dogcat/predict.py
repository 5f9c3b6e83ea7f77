"""Predicts pictures and writes a Kaggle submission: a CSV with id,label, or the same as JSON lines.

The pictures are those of a folder, a list or a data set. The label is the probability of the second class, dog; with
more than two classes there is a column for each. Every picture has its row, in the order of the ids; one that cannot be
read gets the same probability for each class and is listed with the reason, here and in a file beside the output.
Several models are an ensemble. A prediction that was stopped goes on with --resume.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dogcat.core import cluster, flags, runtime
from dogcat.core.text import printable
from dogcat.prediction import pieces
from dogcat.prediction.options import PredictionOptions

_EXIT_UNREADABLE = 3


def main(options: PredictionOptions) -> int:
    """Predicts, writes the output, says what came out; returns the exit code."""
    # Before TensorFlow is there, which no process is forked with.
    with cluster.workers_if(options.cluster, pieces.predict_piece) as workers:
        runtime.prepare()
        from dogcat.prediction import partial, predictions, predictor

        predicted = predictor.predict(options, workers)
    path = Path(options.output)
    kept = partial.path_beside(path)
    try:
        listed = predictions.write(predicted, options)
    except OSError as error:
        if error.strerror:
            error.strerror += f" (all pictures are predicted and kept in {kept}; --resume goes on from there)"
        raise
    # Another process may have gone on from there, to the same end.
    kept.unlink(missing_ok=True)
    unreadable = predicted.unreadable
    for picture in unreadable:
        print(printable(f"unreadable: {picture.key}: {picture.reason}, {picture.detail}"), file=sys.stderr)
    decided = predicted.log_probabilities[np.ptp(predicted.log_probabilities, axis=1) > 0]
    counts = np.bincount(decided.argmax(axis=1), minlength=len(predicted.classes))
    likely = ", ".join(f"{count} {name}" for name, count in zip(predicted.classes, counts))
    label = f", {predictions.LABEL} the probability of {predicted.classes[1]}" if len(predicted.classes) == 2 else ""
    print(printable(f"wrote {path}: {len(predicted.ids)} rows{label}; most probably {likely}"))
    is_submission = path.suffix == ".csv" and not options.columns and not options.tfrecords
    then = f"next: submit {path}; " if is_submission else ""
    if predicted.left_out:
        print(printable(f"left out: {predicted.left_out}"))
    if listed:
        row = "without a row" if options.on_error == "skip" else "undecided in it"
        print(f"{then}unreadable pictures: {len(unreadable)}, {row}, see {listed}")
    else:
        print(f"{then}{f'{len(predicted.ids)} pictures were' if predicted.left_out else 'every picture was'} read")
    return _EXIT_UNREADABLE if unreadable and options.strict else 0


if __name__ == "__main__":
    flags.run(main, PredictionOptions)
