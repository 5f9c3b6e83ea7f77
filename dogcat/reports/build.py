"""Makes the page of a finished run, report.html, and the page that compares several."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tensorflow import keras

from dogcat.core import files, log, tables
from dogcat.core.options import InputError
from dogcat.core.places import Place, place_of
from dogcat.dataset import manifest, shard_plan
from dogcat.dataset.manifest import Manifest
from dogcat.evaluation import assess, metrics
from dogcat.evaluation.assess import LabelledPredictions, ModelAssessment
from dogcat.loading import readers
from dogcat.models import architecture, devices, model_files
from dogcat.models.gradcam import HeatMaps
from dogcat.models.model_files import Description
from dogcat.prediction.picture_sources import DataSetSplit
from dogcat.prediction.runner import Predictor
from dogcat.reports import comparison_page, html, plot_texts, prediction_plots, run_page
from dogcat.reports.comparison_page import Scored
from dogcat.reports.findings import PICTURES_COLUMNS, Findings, least_certain, pictures_table, worst_mistakes
from dogcat.reports.html import Plot
from dogcat.reports.run_page import Picture, Plots
from dogcat.reports.wording import legend_names
from dogcat.training import data_set, finished_runs, plots
from dogcat.training.finished_runs import PAGE, FinishedRun

# For a person's spreadsheet; nothing reads it.
TABLE = "pictures.csv"
# What `inference` takes at a time for runs that kept no logits.
_BATCH = 32
# Fewer tell nothing of how far figures can be trusted.
_FEWEST_PICTURES = 2


class Validated(NamedTuple):
    """How the best model of a run does on its validation split.

    Attributes:
        predictions: What it predicts.
        assessment: How good that is.
        folder: The data set's, or its address.
        data: The data set.
    """

    predictions: LabelledPredictions
    assessment: ModelAssessment
    folder: Place
    data: Manifest


def validated(run: FinishedRun, tfrecords: str = "") -> Validated | None:
    """How the best model of a run does, by the predictions that it kept; of an earlier version's run it is asked.

    Args:
        run: The run.
        tfrecords: Where its data set is; empty: where it was.

    Returns:
        None where the validation split has less than two pictures.

    Raises:
        InputError: The run or its data set cannot be used.
    """
    folder, data = _data_of(run, tfrecords)
    if data.splits[shard_plan.VALIDATION].pictures < _FEWEST_PICTURES:
        return None
    description = model_files.describe(run.path / model_files.BEST_MODEL)
    _require_fitting(description, data, run.path)
    predictions = _predictions(run, folder, data, description.temperature)
    return Validated(predictions, assess.assess(predictions, assess.Scoring()).models[0], folder, data)


def write(folder: Path, tfrecords: str = "") -> Path | None:
    """Writes report.html and pictures.csv into the folder of a finished run.

    It takes the predictions that the run kept and the heat maps of the pictures that are shown; only for a run from
    before predictions were kept it runs the model over the validation split.

    Args:
        folder: The run's.
        tfrecords: Where its data set is; empty: where it was.

    Returns:
        The page; None where the validation split has less than two pictures.

    Raises:
        InputError: The run or its data set cannot be used, or a file is in the way.
        OSError: A file cannot be written; then both are as they were.
    """
    run = finished_runs.read(folder)
    _require_own(folder)
    found = validated(run, tfrecords)
    if found is None:
        return None
    model, _ = model_files.load(folder / model_files.BEST_MODEL)
    findings = Findings(
        run=run,
        predictions=found.predictions,
        assessment=found.assessment,
        trained_on=found.data.splits[shard_plan.TRAIN].pictures,
        opening=_opening(run, model),
    )
    mistakes = worst_mistakes(findings)
    shown = mistakes + least_certain(findings, mistakes)
    page = run_page.render(findings, _pictures(findings, shown, model, found.folder, found.data), _plots(findings))
    with files.FileSet() as written:
        written.write(folder / TABLE, tables.for_spreadsheet(*pictures_table(findings)))
        written.write(folder / PAGE, page)
    return folder / PAGE


def _plots(findings: Findings) -> Plots:
    history = findings.run.history
    predictions = findings.predictions
    given = (predictions.labels, predictions.log_probabilities[0], legend_names(predictions.classes))

    def of_epochs(name: str) -> Plot | None:
        # One point is no curve.
        if len(history) == 1:
            return None
        return html.plot(functools.partial(plots.draw_curve, history, name, findings.opening))

    def of_predictions(draw: Callable[..., bytes | None]) -> Plot | None:
        return html.plot(functools.partial(draw, *given))

    return Plots(
        *map(of_epochs, plots.FIGURES),
        *map(
            of_predictions,
            (
                prediction_plots.draw_reliability,
                prediction_plots.draw_spread,
                prediction_plots.draw_roc,
                prediction_plots.draw_roc_corner,
            ),
        ),
    )


def _require_own(folder: Path) -> None:
    """Raises InputError where a file has the name of one of the two, and is not of this program."""
    # What each of them, whole, has of all runs; the first is of pages up to 0.2.0.
    footer = b"<footer>Made by dogcat "
    marks = {
        PAGE: ((b"<title>Run ", footer), (b'content="Report of the run ', footer)),
        TABLE: ((tables.for_spreadsheet(PICTURES_COLUMNS, []),),),
    }
    for name, alternatives in marks.items():
        path = folder / name
        if not os.path.lexists(path):
            continue
        is_file = path.is_file() and not path.is_symlink()
        content = path.read_bytes() if is_file else b""
        if not any(all(part in content for part in parts) for parts in alternatives):
            raise InputError(f"{path}: is in the way, since it is not what this program writes there; move it")


def compare(folders: Sequence[Path], tfrecords: str) -> bytes:
    """The page that sets several finished runs beside each other.

    Args:
        folders: Those of the runs, two or more.
        tfrecords: Where the data set of all is; empty: where each run's was.

    Raises:
        InputError: A run or its data set cannot be used.
    """
    runs = [finished_runs.read(folder) for folder in folders]
    # Runs that validated on different views are compared on the pictures as they are.
    views = {plot_texts.view_of(run) for run in runs}
    scored = []
    for run in runs:
        data_folder, data = _data_of(run, tfrecords)
        if data.splits[shard_plan.VALIDATION].pictures < _FEWEST_PICTURES:
            raise InputError(f"{run.path}: was validated on less than two pictures, too few to compare")
        description = model_files.describe(run.path / model_files.BEST_MODEL)
        _require_fitting(description, data, run.path)
        validated_on = plot_texts.view_of(run)
        as_stored = len(views) > 1 and validated_on != plot_texts.AS_STORED
        if as_stored:
            log.tell(
                f"{run.name}: predicts the pictures as they are stored, since not all runs validated on the same view"
            )
        predictions = _predictions(run, data_folder, data, description.temperature, as_stored)
        scored.append(Scored(run, predictions, plot_texts.AS_STORED if as_stored else validated_on, validated_on))
    curves = {name: run.history for name, run in zip(comparison_page.curve_names(runs), runs)}
    drawn = [html.plot(functools.partial(plots.draw_overlay, curves, name)) for name in plots.FIGURES]
    return comparison_page.render(scored, drawn)


def _data_of(run: FinishedRun, tfrecords: str) -> tuple[Place, Manifest]:
    """The data set of a run, as the run saw it."""
    folder = place_of(tfrecords or run.options["tfrecords"])
    is_foreign = bool(run.options.get("validation_tfrecords"))
    if tfrecords and is_foreign:
        raise InputError(
            f"--tfrecords={tfrecords}: {run.path} was trained on TFRecords of another program; leave it out, and have "
            f"these where they were, at {run.options['tfrecords']} and {run.options['validation_tfrecords']}"
        )
    if not tfrecords and not is_foreign and isinstance(folder, Path) and not folder.exists():
        raise InputError(f"{run.path}: its data set is no longer at {folder}; say where it is with --tfrecords")
    data: Manifest
    if fold := run.config.get("fold"):
        data = data_set.load_fold({**run.options, "tfrecords": str(folder)}, fold)
    else:
        data = data_set.load(run.options) if is_foreign else manifest.load(folder, shard_plan.VALIDATION)
    if run.options["limit"]:
        data = data.limited(run.options["limit"])
    if data.digest() != run.config["data_digest"]:
        raise InputError(f"--tfrecords={folder}: is not the data set that {run.path} was trained on; say where that is")
    return folder, data


def _require_fitting(description: Description, data: Manifest, run: Path) -> None:
    if (description.classes, description.image_size) != (data.classes, data.image_size):
        raise InputError(
            f"{run / model_files.BEST_MODEL}: is of other classes or another size of pictures than the data set of "
            "the run; put the run's own model back"
        )


def _predictions(
    run: FinishedRun, folder: Place, data: Manifest, temperature: float, as_stored: bool = False
) -> LabelledPredictions:
    """What the best model says of the pictures as the run validated them, or of them as they are stored."""
    path = run.path / model_files.BEST_MODEL
    pictures = DataSetSplit(folder, data, shard_plan.VALIDATION)
    logits = None if as_stored else run.validation_logits(len(pictures.keys), len(data.classes))
    if logits is None:
        # This process alone asks, also where several trained.
        strategy = devices.make_strategy("one_device")
        engine = devices.choose_engine("auto", keras.mixed_precision.global_policy().name, strategy)
        predictor = Predictor([path], "none", _BATCH, strategy, engine)
        logits = np.concatenate(list(predictor.logits(pictures)))[:, 0]
    return LabelledPredictions(
        source=f"{folder}, split {shard_plan.VALIDATION}",
        keys=pictures.keys,
        labels=pictures.labels,
        classes=data.classes,
        predicted_by=[run.name],
        log_probabilities=[metrics.log_probabilities(logits / temperature)],
        left_out={},
    )


def _opening(run: FinishedRun, model: keras.Model) -> str:
    """Name of the first layer of the backbone that trained; empty: none did."""
    opened = run.options["unfreeze_from"]
    if not opened or not run.summary["epochs"]:
        return ""
    if opened != "auto" and not opened.isdecimal():
        # As Keras called it when the run was made: MobileNetV3's layers have other names in another version.
        return opened
    backbone = architecture.backbone_of(model)
    return backbone.layers[architecture.find_layer(backbone, opened)].name


def _pictures(
    findings: Findings, places: Sequence[int], model: keras.Model, folder: Place, data: Manifest
) -> dict[int, Picture]:
    """Pixels and heat maps of the pictures at these places."""
    validation = readers.open_split(folder, data, shard_plan.VALIDATION)
    pixels = readers.take(validation, np.asarray(places, np.int64))
    heat = HeatMaps(model)(pixels, findings.predicted[places])
    return {place: Picture(*of_place) for place, of_place in zip(places, zip(pixels, heat))}
