"""Batched prediction over picture files and over the splits of a data set, by one model or an ensemble."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np

from dogcat.core import files
from dogcat.core.interrupts import Interrupts
from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.core.places import place_of
from dogcat.dataset import foreign_files, manifest
from dogcat.dataset.encoding import Rejection
from dogcat.dataset.foreign_features import Keys
from dogcat.dataset.manifest import Manifest
from dogcat.evaluation import metrics
from dogcat.evaluation.assess import LabelledPredictions
from dogcat.loading import foreign_set
from dogcat.loading.foreign_set import Part, Reading
from dogcat.models import model_files
from dogcat.pictures import folders
from dogcat.prediction import labelled_files, picture_sources, predictions, runner
from dogcat.prediction.options import OF_FOREIGN_FILES, EvaluationOptions, PredictionOptions
from dogcat.prediction.partial import PartialPredictions
from dogcat.prediction.picture_sources import DataSetSplit, PictureFiles, Pictures
from dogcat.prediction.pieces import Pieces, PiecesOfPredictions, setup_for
from dogcat.prediction.predictions import Predictions
from dogcat.prediction.runner import Manner, Predictor


class _Way(NamedTuple):
    """Where models run, and how.

    Attributes:
        predictor: Makes what predicts pictures with models.
        manner: How it computes.
        devices: On what, for people.
    """

    predictor: Callable[[list[Path], PictureFiles | DataSetSplit], Predictor | PiecesOfPredictions]
    manner: Manner
    devices: str


def _way(
    paths: list[Path],
    pictures: PictureFiles | DataSetSplit,
    options: PredictionOptions | EvaluationOptions,
    pieces: Pieces | None,
) -> _Way:
    """The devices of this process or, where the work is done in pieces, those of the workers."""
    if pieces is None:
        strategy, engine = runner.choose_devices(options.precision, options.strategy, options.engine, paths)

        def here(paths: list[Path], pictures: PictureFiles | DataSetSplit) -> Predictor:
            return Predictor(paths, options.tta, options.batch_size, strategy, engine)

        return _Way(here, runner.manner(strategy, engine), runner.describe(strategy, engine))

    def elsewhere(paths: list[Path], pictures: PictureFiles | DataSetSplit) -> PiecesOfPredictions:
        hashes = [files.sha256_of(model_files.weights_file(path)) for path in paths]
        temperatures = [model_files.describe(path).temperature for path in paths]
        return PiecesOfPredictions(pieces, setup_for(pictures, list(zip(paths, hashes)), options), temperatures)

    first = elsewhere(paths, pictures)
    return _Way(elsewhere, first.manner, first.devices)


def predict(options: PredictionOptions, pieces: Pieces | None = None) -> Predictions:
    """Predicts every picture of --images or --tfrecords, with --resume from where it was stopped.

    What it computes is kept in the file `partial.path_beside` the output, for the caller to remove when the output is
    written.

    Args:
        options: What is predicted, and how.
        pieces: Call `pieces.predict_piece`, and do the work; None: this process does it.

    Raises:
        InputError: A model or the pictures cannot be used, or do not fit each other; or --on_error=fail and a picture
            cannot be read.
    """
    paths = model_files.find_files(options.model, "model")
    descriptions = {f"--model={path}": model_files.describe(path) for path in paths}
    description = next(iter(descriptions.values()))
    classes = description.classes
    _require_classes(descriptions, classes)
    _require_size(descriptions, description, f"--model={paths[0]}", "give models for pictures of the same size")
    predictions.check_output(options, classes)
    pictures = picture_sources.open_pictures(options)
    if isinstance(pictures, DataSetSplit):
        _require_fitting_data(descriptions, pictures)
    way = _way(paths, pictures, options, pieces)
    made_from = {
        "model": [files.sha256_of(model_files.weights_file(path)) for path in paths],
        "tfrecords" if options.tfrecords else "images": pictures.digest(),
        "tta": options.tta,
        "batch_size": options.batch_size,
        "precision": way.manner.precision,
        "strategy": way.manner.replicas,
        "engine": way.manner.engine,
    }
    outputs = len(paths), 1 if len(classes) == 2 else len(classes)
    with Interrupts() as interrupts, PartialPredictions(options, made_from, pictures.keys, outputs) as partial:
        predictor = way.predictor(paths, pictures)
        for path in paths:
            tell(f"model: {path} ({' or '.join(classes)})")
        tell(f"device: {way.devices}")
        tell(f"pictures: {len(pictures.keys)} in {options.images or options.tfrecords}")
        _check_unreadable(partial.rejections, options)
        with contextlib.closing(predictor.logits(pictures, partial.pictures)) as batches:
            while True:
                # TensorFlow and OpenVINO call Python in many places, and an exception from outside suits none of them.
                # Workers elsewhere are not waited for.
                with interrupts.deferred() if pieces is None else contextlib.nullcontext():
                    logits = next(batches, None)
                    if logits is None:
                        break
                    keys = pictures.keys[partial.pictures : partial.pictures + len(logits)]
                    rejections = [pictures.rejections[key] for key in keys if key in pictures.rejections]
                    partial.add(logits, rejections)
                    _check_unreadable(rejections, options)
    temperatures = [options.temperature or temperature for temperature in predictor.temperatures]
    log_probabilities = metrics.averaged_log_probabilities(
        np.concatenate(partial.logits), temperatures, options.average
    )
    unreadable = {picture.key for picture in partial.rejections}
    log_probabilities[[key in unreadable for key in pictures.keys]] = -np.log(len(classes))
    rows = [
        (id_, place)
        for id_, place in folders.submission_order(pictures.keys)
        if options.on_error == "prior" or pictures.keys[place] not in unreadable
    ]
    return Predictions(
        ids=[id_ for id_, _ in rows],
        keys=[pictures.keys[place] for _, place in rows],
        log_probabilities=log_probabilities[[place for _, place in rows]],
        unreadable=partial.rejections,
        classes=classes,
        left_out=pictures.left_out if isinstance(pictures, PictureFiles) else "",
    )


def _check_unreadable(rejections: list[Rejection], options: PredictionOptions) -> None:
    if rejections and options.on_error == "fail":
        first = rejections[0]
        raise InputError(
            f"--on_error=fail: {first.key} cannot be read: {first.reason}, {first.detail}; mend or remove it, or go on "
            "with --resume and --on_error=prior or skip"
        )


def predict_labelled(options: EvaluationOptions, pieces: Pieces | None = None) -> LabelledPredictions:
    """Predicts pictures whose classes are known, with --model and, where given, --against.

    Args:
        options: What is predicted, and how.
        pieces: As for `predict`.

    Raises:
        InputError: A model, the data set or the folder cannot be used, or they do not fit each other.
    """
    paths = {"model": model_files.find_file(options.model, "model")}
    if options.against:
        paths["against"] = model_files.find_file(options.against, "against")
    descriptions = {f"--{flag}={path}": model_files.describe(path) for flag, path in paths.items()}
    return (_predict_labelled_files if options.images else _predict_split)(
        options, list(paths.values()), descriptions, pieces
    )


def _predict_labelled_files(
    options: EvaluationOptions,
    paths: list[Path],
    descriptions: dict[str, model_files.Description],
    pieces: Pieces | None,
) -> LabelledPredictions:
    folder = Path(options.images)
    classes = next(iter(descriptions.values())).classes
    labelled = labelled_files.find(folder, classes)
    _require_classes(descriptions, classes)
    way = _way(paths, PictureFiles(folder, labelled.keys), options, pieces)
    tell(f"device: {way.devices}")
    predicted = []
    left_out = {key: "no class" for key in labelled.unlabelled}
    for path in paths:
        pictures = PictureFiles(folder, labelled.keys)
        predicted.append(_log_probabilities(way.predictor([path], pictures), pictures))
        left_out |= {picture.key: f"{picture.reason}, {picture.detail}" for picture in pictures.rejections.values()}
    read = [place for place, key in enumerate(labelled.keys) if key not in left_out]
    if len(read) < 2:
        raise InputError(f"--images={folder}: {len(read)} pictures can be read; give two or more")
    return LabelledPredictions(
        source=str(folder),
        keys=[labelled.keys[place] for place in read],
        labels=labelled.labels[read],
        classes=classes,
        predicted_by=[str(path) for path in paths],
        log_probabilities=[log_probabilities[read] for log_probabilities in predicted],
        left_out=left_out,
    )


def _predict_split(
    options: EvaluationOptions,
    paths: list[Path],
    descriptions: dict[str, model_files.Description],
    pieces: Pieces | None,
) -> LabelledPredictions:
    folder = place_of(options.tfrecords)
    data = _data_set(options, next(iter(descriptions.values())))
    pictures = DataSetSplit(folder, data, options.split)
    if not data.classes:
        raise InputError(f"--tfrecords={folder}: its pictures have no labels; give a data set with labels")
    if len(pictures.keys) < 2:
        raise InputError(f"--split={options.split}: has {len(pictures.keys)} pictures; two are needed")
    _require_fitting_data(descriptions, pictures)
    way = _way(paths, pictures, options, pieces)
    tell(f"device: {way.devices}")
    return LabelledPredictions(
        source=f"{folder}, split {options.split}",
        keys=pictures.keys,
        labels=pictures.labels,
        classes=data.classes,
        predicted_by=[str(path) for path in paths],
        log_probabilities=[_log_probabilities(way.predictor([path], pictures), pictures) for path in paths],
        left_out={},
    )


def _data_set(options: EvaluationOptions, description: model_files.Description) -> Manifest:
    """The data set of --tfrecords; TFRecords of another program are read as the model needs them."""
    place = options.tfrecords
    if not foreign_files.are_meant(place):
        given = {name: getattr(options, name) for name in OF_FOREIGN_FILES}
        foreign_files.refuse_options_of(place, given, EvaluationOptions)
        return manifest.load(place_of(place))
    for name, default in (("split", EvaluationOptions.split), ("cluster", "")):
        value = getattr(options, name)
        if value != default:
            raise InputError(
                f"--{name}={value}: goes with the folder of a data set, not with TFRecords of another program"
            )
    keys = Keys(options.image_key, options.label_key)
    reading = Reading(keys, description.classes, options.first_label, description.image_size)
    data = foreign_set.load([Part(options.split, place, "tfrecords")], reading)
    tell(data.description())
    return data


def _log_probabilities(predictor: Predictor | PiecesOfPredictions, pictures: Pictures) -> np.ndarray:
    """Predicts with one model: its calibrated log-probabilities, float64 [pictures, classes]."""
    logits = np.concatenate(list(predictor.logits(pictures)))
    return metrics.averaged_log_probabilities(logits, predictor.temperatures, "logits")


def _require_fitting_data(descriptions: dict[str, model_files.Description], pictures: DataSetSplit) -> None:
    if pictures.data.classes:
        _require_classes(descriptions, pictures.data.classes)
    hint = "give a data set of the same, or the pictures with --images"
    _require_size(descriptions, pictures.data, str(pictures.folder), hint)


def _require_size(
    descriptions: dict[str, model_files.Description], given: model_files.Description | Manifest, place: str, hint: str
) -> None:
    """Raises InputError where a model is for pictures of another size than those of `given`, which `place` has."""
    for flag, description in descriptions.items():
        if (description.image_size, description.resize) != (given.image_size, given.resize):
            raise InputError(
                f"{flag}: made for pictures of {description.image_size} pixels ({description.resize}), {place} has "
                f"{given.image_size} ({given.resize}); {hint}"
            )


def _require_classes(descriptions: dict[str, model_files.Description], classes: list[str]) -> None:
    for flag, description in descriptions.items():
        if description.classes != classes:
            raise InputError(
                f"{flag}: knows {', '.join(description.classes)}, and not {', '.join(classes)}; give a model of the "
                "same classes in the same order"
            )
