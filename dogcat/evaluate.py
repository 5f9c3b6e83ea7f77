"""Tells how good a model is, and how far its figures can be trusted.

The pictures are those of a split of a data set, or of a folder whose names tell the classes; or --predictions and
--labels take a CSV of dogcat.predict and run no model. --against adds a second model, and says whether the data tells
the two apart. Each figure has a 95% interval by bootstrap. A temperature and a clip are fitted on one half of the
pictures and scored on the other. Written are metrics.json and predictions.csv in the folder --output.
"""

from __future__ import annotations

import os
from pathlib import Path

from dogcat.core import cluster, flags, outputs, runtime
from dogcat.core.options import InputError
from dogcat.core.text import printable
from dogcat.evaluation.calibration import Adjustment
from dogcat.library import entry_points
from dogcat.prediction import pieces
from dogcat.prediction.options import EvaluationOptions

_METRICS = "metrics.json"
_PREDICTIONS = "predictions.csv"


def main(options: EvaluationOptions) -> None:
    """Evaluates, writes what came out and shows it."""
    output = Path(options.output)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output={output}: is not a folder; give the name of one")
    if not output.parent.is_dir():
        raise InputError(f"--output={output}: the folder {output.parent} does not exist; make it first")
    for flag in ("predictions", "against", "labels"):
        place = getattr(options, flag)
        if place and os.path.realpath(place) in (os.path.realpath(output / name) for name in (_METRICS, _PREDICTIONS)):
            raise InputError(f"--{flag}={place}: --output={output} would replace it; give another folder")
    outputs.require_own(output, (_METRICS, _PREDICTIONS))
    if options.predictions:
        from dogcat.prediction import submission_csv

        predictions = submission_csv.read_labelled(options)
    else:
        # Before TensorFlow is there, which no process is forked with.
        with cluster.workers_if(options.cluster, pieces.predict_piece) as workers:
            runtime.prepare()
            from dogcat.models import model_files
            from dogcat.prediction import predictor

            if options.save_temperature:
                model_files.require_archive(model_files.find_file(options.model, "model"))
            predictions = predictor.predict_labelled(options, workers)
    from dogcat.evaluation import assess, results

    assessed = assess.assess(predictions, options.scoring)
    texts = {
        _PREDICTIONS: results.predictions_csv(predictions),
        _METRICS: results.metrics_json(predictions, assessed, options.scoring),
    }
    outputs.write(output, {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()})
    print(results.table(predictions, assessed, options.scoring))
    print(printable(f"wrote {output}: {_METRICS}, {_PREDICTIONS}"))
    if options.save_temperature:
        _save_temperature(Path(predictions.predicted_by[0]), assessed.models[0].temperature)


def _save_temperature(path: Path, fitted: Adjustment) -> None:
    """Stores a fitted temperature with the model that it is of, if it helped."""
    from dogcat.models import model_files

    if not fitted.helped:
        print("the temperature was not stored, since it does not lower the log loss by more than chance explains")
        return
    # It was fitted to what the stored one made of the logits.
    temperature = model_files.describe(path).temperature * fitted.value
    model_files.store_temperature(path, temperature)
    print(printable(f"stored the temperature {temperature:.4g} with {path}"))


if __name__ == "__main__":
    flags.run(main, EvaluationOptions)
else:
    entry_points.make_callable(__name__, "dogcat.library.runs")
