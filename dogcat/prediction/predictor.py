"""Batched prediction over picture files and over the splits of a data set, by one model or an ensemble."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat.core import files
from dogcat.core.interrupts import Interrupts
from dogcat.core.options import InputError
from dogcat.core.spelling import Spellings
from dogcat.dataset import manifest
from dogcat.dataset.encoding import Rejection
from dogcat.dataset.manifest import Manifest
from dogcat.evaluation import metrics
from dogcat.evaluation.assess import LabelledPredictions
from dogcat.models import architecture, devices, model_files, tta_views
from dogcat.models.batch_runner import make_forward
from dogcat.models.openvino_network import OpenVinoNetwork
from dogcat.pictures import folders, labels
from dogcat.prediction import picture_sources, predictions
from dogcat.prediction.options import EvaluationOptions, PredictionOptions
from dogcat.prediction.partial import PartialPredictions
from dogcat.prediction.picture_sources import DataSetSplit, PictureFiles, Pictures
from dogcat.prediction.predictions import Predictions


class Predictor:
    """Models that predict on the devices of a strategy, all on the same batches, wherever these come from.

    Attributes:
        temperatures: That of each model.
    """

    def __init__(
        self, paths: list[Path], tta: str, batch_size: int, strategy: tf.distribute.Strategy, engine: str
    ) -> None:
        """Loads the models.

        Args:
            paths: Their files; all of them for the same classes and pictures.
            tta: none; or flip: the logits of each picture and its mirror image are averaged; or zoom: those of its
                middle, magnified.
            batch_size: Pictures a step; rounded up so that each replica gets the same share.
            strategy: The devices.
            engine: tensorflow or openvino.

        Raises:
            InputError: A file is not a model of this program, or is damaged.
        """
        policy = keras.mixed_precision.global_policy().name
        with strategy.scope(), architecture.precision("float32" if engine == "openvino" else policy):
            loaded = [model_files.load(path) for path in paths]
            to_logits = [architecture.logits_model(model) for model, _ in loaded]
        self._paths = paths
        self.temperatures = [description.temperature for _, description in loaded]
        self._description = loaded[0][1]

        def of_models(pictures: tf.Tensor) -> tf.Tensor:
            return tf.stack([of_model(pictures, training=False) for of_model in to_logits], axis=1)

        def network(pictures: tf.Tensor) -> tf.Tensor:
            if tta == "none":
                return of_models(pictures)
            shown = tta_views.magnified(pictures) if tta == "zoom" else pictures
            return (of_models(shown) + of_models(tta_views.mirrored(shown))) / 2

        replicas = strategy.num_replicas_in_sync
        self._batch_size = -(-batch_size // replicas) * replicas
        size = self._description.image_size
        with devices.naming_full_memory(self._batch_size):
            self._forward = make_forward(
                OpenVinoNetwork(network, to_logits, self._batch_size, size, policy)
                if engine == "openvino"
                else network,
                strategy,
            )

    def logits(self, pictures: Pictures, first: int = 0) -> Generator[np.ndarray, None, None]:
        """Predicts the pictures from place `first` on, batch by batch.

        Yields:
            Logits as the models give them, float32 [pictures of the batch, models, 1 or classes]; without meaning where
            a picture is unreadable.

        Raises:
            InputError: A model gives NaN or infinity.
        """
        with pictures.naming_damage(), devices.naming_full_memory(self._batch_size):
            for logits in self._forward.batches(
                lambda context: pictures.dataset(self._description, self._batch_size, context, first),
                len(pictures.keys),
                "predicting",
                first,
            ):
                finite = np.isfinite(logits).all(axis=(0, 2))
                if not finite.all():
                    raise InputError(f"{self._paths[finite.argmin()]}: its weights give no numbers; train it anew")
                yield logits

    def log_probabilities(self, pictures: Pictures) -> np.ndarray:
        """Predicts with one model: its calibrated log-probabilities, float64 [pictures, classes]."""
        return metrics.averaged_log_probabilities(
            np.concatenate(list(self.logits(pictures))), self.temperatures, "logits"
        )


def choose_devices(precision: str, strategy: str, engine: str) -> tuple[tf.distribute.Strategy, str]:
    """Sets the precision and gives the devices and the engine; `auto` for any is what this machine does fast.

    Raises:
        InputError: This machine does not have what is asked for.
    """
    policy = devices.choose_precision(precision)[0]
    keras.mixed_precision.set_global_policy(policy)
    chosen = devices.make_strategy(strategy, alone=True)
    return chosen, devices.choose_engine(engine, policy, chosen)


def _describe(strategy: tf.distribute.Strategy, engine: str) -> str:
    """Devices, precision and engine, for people."""
    policy = keras.mixed_precision.global_policy().name
    return f"{devices.describe(strategy)}; {policy}, {devices.describe_engine(engine)}"


def _choose_and_say(options: EvaluationOptions) -> tuple[tf.distribute.Strategy, str]:
    strategy, engine = choose_devices(options.precision, options.strategy, options.engine)
    print(f"device: {_describe(strategy, engine)}")
    return strategy, engine


def predict(options: PredictionOptions) -> Predictions:
    """Predicts every picture of --images or --tfrecords, with --resume from where it was stopped.

    What it computes is kept in the file `partial.path_beside` the output, for the caller to remove when the output is
    written.

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
    strategy, engine = choose_devices(options.precision, options.strategy, options.engine)
    made_from = {
        "model": [files.sha256_of(model_files.weights_file(path)) for path in paths],
        "tfrecords" if options.tfrecords else "images": pictures.digest(),
        "tta": options.tta,
        "batch_size": options.batch_size,
        "precision": keras.mixed_precision.global_policy().name,
        "strategy": strategy.num_replicas_in_sync,
        "engine": devices.describe_engine(engine),
    }
    outputs = len(paths), 1 if len(classes) == 2 else len(classes)
    with Interrupts() as interrupts, PartialPredictions(options, made_from, pictures.keys, outputs) as partial:
        predictor = Predictor(paths, options.tta, options.batch_size, strategy, engine)
        for path in paths:
            print(f"model: {path} ({' or '.join(classes)})")
        print(f"device: {_describe(strategy, engine)}")
        print(f"pictures: {len(pictures.keys)} in {options.images or options.tfrecords}")
        _check_unreadable(partial.rejections, options)
        with contextlib.closing(predictor.logits(pictures, partial.pictures)) as batches:
            while True:
                # TensorFlow and OpenVINO call Python in many places, and an exception from outside suits none of them.
                with interrupts.deferred():
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


def predict_labelled(options: EvaluationOptions) -> LabelledPredictions:
    """Predicts pictures whose classes are known, with --model and, where given, --against.

    Raises:
        InputError: A model, the data set or the folder cannot be used, or they do not fit each other.
    """
    paths = {"model": model_files.find_file(options.model, "model")}
    if options.against:
        paths["against"] = model_files.find_file(options.against, "against")
    descriptions = {f"--{flag}={path}": model_files.describe(path) for flag, path in paths.items()}
    return (_predict_labelled_files if options.images else _predict_split)(options, list(paths.values()), descriptions)


def _predict_labelled_files(
    options: EvaluationOptions, paths: list[Path], descriptions: dict[str, model_files.Description]
) -> LabelledPredictions:
    folder = Path(options.images)
    listing = folders.list_images(folder)
    print(listing.summary(options.images))
    labelled = labels.label_keys(listing, {}, [])
    classes = next(iter(descriptions.values())).classes
    spellings = Spellings(classes)
    meant = [spellings.find(name, f"--images={folder}") for name in labelled.classes]
    unknown = [name for name, found in zip(labelled.classes, meant) if found is None]
    if unknown:
        raise InputError(
            f"--images={folder}: has pictures of {unknown[0]!r}, which is none of the model's classes, "
            f"{', '.join(classes)}; name pictures or their folders after these"
        )
    _require_classes(descriptions, classes)
    strategy, engine = _choose_and_say(options)
    predicted = []
    left_out = {key: "no class" for key in labelled.unlabelled}
    for path in paths:
        pictures = PictureFiles(folder, labelled.keys)
        predictor = Predictor([path], options.tta, options.batch_size, strategy, engine)
        predicted.append(predictor.log_probabilities(pictures))
        left_out |= {picture.key: f"{picture.reason}, {picture.detail}" for picture in pictures.rejections.values()}
    read = [place for place, key in enumerate(labelled.keys) if key not in left_out]
    if len(read) < 2:
        raise InputError(f"--images={folder}: {len(read)} pictures can be read; give two or more")
    return LabelledPredictions(
        source=str(folder),
        keys=[labelled.keys[place] for place in read],
        labels=np.array([classes.index(meant[label]) for label in labelled.labels[read]]),
        classes=classes,
        predicted_by=[str(path) for path in paths],
        log_probabilities=[log_probabilities[read] for log_probabilities in predicted],
        left_out=left_out,
    )


def _predict_split(
    options: EvaluationOptions, paths: list[Path], descriptions: dict[str, model_files.Description]
) -> LabelledPredictions:
    folder = Path(options.tfrecords)
    data = manifest.load(folder)
    pictures = DataSetSplit(folder, data, options.split)
    if not data.classes:
        raise InputError(f"--tfrecords={folder}: its pictures have no labels; give a data set with labels")
    if len(pictures.keys) < 2:
        raise InputError(f"--split={options.split}: has {len(pictures.keys)} pictures; two are needed")
    _require_fitting_data(descriptions, pictures)
    strategy, engine = _choose_and_say(options)
    return LabelledPredictions(
        source=f"{folder}, split {options.split}",
        keys=pictures.keys,
        labels=pictures.labels,
        classes=data.classes,
        predicted_by=[str(path) for path in paths],
        log_probabilities=[
            Predictor([path], options.tta, options.batch_size, strategy, engine).log_probabilities(pictures)
            for path in paths
        ],
        left_out={},
    )


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
