"""Batched prediction over picture files and over the splits of a data set."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat import devices, evaluation, folders, images, labels, manifest, pipeline
from dogcat import model as models
from dogcat.assessment import LabelledPredictions
from dogcat.config import MAX_PIXELS, EvaluationOptions, InputError, PredictionOptions, available_cores
from dogcat.forward import Forward
from dogcat.manifest import Manifest
from dogcat.submission import Predictions, Unreadable


class Predictor:
    """A model that predicts on the devices of a strategy, whatever its pictures come from.

    Attributes:
        description: What the model was made for.
    """

    def __init__(self, path: Path, tta: str, batch_size: int, strategy: tf.distribute.Strategy) -> None:
        """Loads the model.

        Args:
            path: The model's file.
            tta: none, or flip: the logits of each picture and its mirror image are averaged.
            batch_size: Pictures a step; rounded up so that each replica gets the same share.
            strategy: The devices.

        Raises:
            InputError: The file is no model of this program, or is damaged.
        """
        with strategy.scope():
            model, self.description = models.load(path)
            to_logits = models.logits_model(model)

        def of_batch(pictures: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            logits = to_logits(pictures, training=False)
            if tta == "none":
                return logits
            return (logits + to_logits(tf.reverse(pictures, [2]), training=False)) / 2

        replicas = strategy.num_replicas_in_sync
        self._batch_size = -(-batch_size // replicas) * replicas
        self._forward = Forward(of_batch, strategy)

    def predict_files(self, folder: Path, keys: list[str]) -> tuple[np.ndarray, list[Unreadable]]:
        """Predicts picture files.

        Args:
            folder: Their folder.
            keys: Their paths relative to it, at least one.

        Returns:
            Log-probabilities, float64 [pictures, classes], in the order of `keys`, of unreadable pictures the same for
            all classes; and the unreadable pictures.
        """
        unreadable: list[Unreadable] = []

        def batches() -> Iterator[np.ndarray]:
            yield from _read_batches(folder, keys, self.description, self._batch_size, unreadable)

        logits = self._forward(
            lambda context: pipeline.prediction_dataset(
                batches, self.description.image_size, self._batch_size, context
            ),
            len(keys),
            "predicting",
        )
        unknown = {picture.key for picture in unreadable}
        # Equal logits of all classes say nothing.
        logits[[key in unknown for key in keys]] = 0
        return self._log_probabilities(logits), unreadable

    def predict_split(self, folder: Path, data: Manifest, split: str) -> np.ndarray:
        """Log-probabilities for a split, float64 [pictures, classes], in the order of `pipeline.read_labels`."""
        logits = self._forward(
            lambda context: pipeline.evaluation_dataset(folder, data, split, self._batch_size, context),
            data.splits[split].pictures,
            "predicting",
        )
        return self._log_probabilities(logits)

    def _log_probabilities(self, logits: np.ndarray) -> np.ndarray:
        return evaluation.log_probabilities(logits / self.description.temperature)


def make_strategy() -> tf.distribute.Strategy:
    """Sets the arithmetic that this machine does fast, and gives its devices."""
    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    return devices.make_strategy("auto")


def predict_folder(options: PredictionOptions) -> Predictions:
    """Predicts every picture of a folder.

    Raises:
        InputError: The model or the folder cannot be used.
    """
    path = models.find_file(options.model, "model")
    folder = Path(options.images)
    listing = folders.list_images(folder)
    pairs = folders.submission_order(listing.keys)
    predictor = Predictor(path, options.tta, options.batch_size, make_strategy())
    print(f"model: {path} ({' or '.join(predictor.description.classes)})")
    print(f"pictures: {len(pairs)} in {folder}")
    log_probabilities, unreadable = predictor.predict_files(folder, [key for _, key in pairs])
    ids = [id_ for id_, _ in pairs]
    return Predictions(ids, np.exp(log_probabilities), unreadable, predictor.description.classes)


def predict_labelled(options: EvaluationOptions) -> LabelledPredictions:
    """Predicts pictures whose classes are known, with --model and, where given, --against.

    Raises:
        InputError: A model, the data set or the folder cannot be used, or they do not fit each other.
    """
    paths = {"model": models.find_file(options.model, "model")}
    if options.against:
        paths["against"] = models.find_file(options.against, "against")
    descriptions = {f"--{flag}={path}": models.describe(path) for flag, path in paths.items()}
    return (_predict_labelled_files if options.images else _predict_split)(options, list(paths.values()), descriptions)


def _predict_labelled_files(
    options: EvaluationOptions, paths: list[Path], descriptions: dict[str, models.Description]
) -> LabelledPredictions:
    folder = Path(options.images)
    labelled = labels.label_keys(folders.list_images(folder), {}, [])
    classes = next(iter(descriptions.values())).classes
    unknown = [name for name in labelled.classes if name not in classes]
    if unknown:
        raise InputError(
            f"--images={folder}: has pictures of {unknown[0]!r}, which is none of the model's classes, "
            f"{', '.join(classes)}; name pictures or their folders after these"
        )
    _require_classes(descriptions, classes)
    strategy = make_strategy()
    predicted = []
    left_out = {key: "no class" for key in labelled.unlabelled}
    for path in paths:
        predictor = Predictor(path, options.tta, options.batch_size, strategy)
        log_probabilities, unreadable = predictor.predict_files(folder, labelled.keys)
        predicted.append(log_probabilities)
        left_out |= {picture.key: f"{picture.reason}, {picture.detail}" for picture in unreadable}
    read = [place for place, key in enumerate(labelled.keys) if key not in left_out]
    if len(read) < 2:
        raise InputError(f"--images={folder}: {len(read)} pictures can be read; give two or more")
    return LabelledPredictions(
        source=str(folder),
        keys=[labelled.keys[place] for place in read],
        labels=np.array([classes.index(labelled.classes[label]) for label in labelled.labels[read]]),
        classes=classes,
        predicted_by=[str(path) for path in paths],
        log_probabilities=[log_probabilities[read] for log_probabilities in predicted],
        left_out=left_out,
    )


def _predict_split(
    options: EvaluationOptions, paths: list[Path], descriptions: dict[str, models.Description]
) -> LabelledPredictions:
    folder = Path(options.tfrecords)
    data = manifest.load(folder)
    if options.split not in data.splits:
        raise InputError(f"--split={options.split}: {folder} has no such split; use one of {', '.join(data.splits)}")
    if not data.classes:
        raise InputError(f"--tfrecords={folder}: its pictures have no labels; give a data set with labels")
    if data.splits[options.split].pictures < 2:
        raise InputError(f"--split={options.split}: has {data.splits[options.split].pictures} pictures; two are needed")
    _require_classes(descriptions, data.classes)
    for flag, description in descriptions.items():
        made_for, given = (description.image_size, description.resize), (data.image_size, data.resize)
        if made_for != given:
            raise InputError(
                f"{flag}: made for pictures of {made_for[0]} pixels ({made_for[1]}), {folder} has {given[0]} "
                f"({given[1]}); give a data set of the same, or the pictures with --images"
            )
    strategy = make_strategy()
    with pipeline.naming_damaged_shards(folder, data):
        return LabelledPredictions(
            source=f"{folder}, split {options.split}",
            keys=pipeline.read_keys(folder, data, options.split),
            labels=pipeline.read_labels(folder, data, options.split),
            classes=data.classes,
            predicted_by=[str(path) for path in paths],
            log_probabilities=[
                Predictor(path, options.tta, options.batch_size, strategy).predict_split(folder, data, options.split)
                for path in paths
            ],
            left_out={},
        )


def _require_classes(descriptions: dict[str, models.Description], classes: list[str]) -> None:
    for flag, description in descriptions.items():
        if description.classes != classes:
            raise InputError(
                f"{flag}: knows {', '.join(description.classes)}, and not {', '.join(classes)}; give a model of the "
                "same classes in the same order"
            )


def _read_batches(
    folder: Path, keys: list[str], description: models.Description, batch_size: int, unreadable: list[Unreadable]
) -> Iterator[np.ndarray]:
    """Decodes pictures in parallel, two batches ahead; a black picture stands for an unreadable one.

    Yields:
        uint8 [up to batch_size, size, size, 3], in the order of `keys`. Adds to `unreadable`.
    """
    size = description.image_size

    def read(key: str) -> np.ndarray | Unreadable:
        try:
            return images.read_pixels(folders.read_file(folder / key), size, description.resize, MAX_PIXELS)
        except images.RejectedPicture as rejected:
            return Unreadable(key, rejected.reason, rejected.detail)
        except OSError as error:
            return Unreadable(key, "unreadable", str(error.strerror))

    black = np.zeros((size, size, 3), np.uint8)
    # Threads, since Pillow decodes and resizes without holding the interpreter's lock.
    with concurrent.futures.ThreadPoolExecutor(available_cores()) as executor:
        waiting = iter(keys)
        pending = collections.deque(executor.submit(read, key) for key in itertools.islice(waiting, 2 * batch_size))
        batch = []
        while pending:
            picture = pending.popleft().result()
            for key in itertools.islice(waiting, 1):
                pending.append(executor.submit(read, key))
            if isinstance(picture, Unreadable):
                unreadable.append(picture)
                picture = black
            batch.append(picture)
            if len(batch) == batch_size or not pending:
                yield np.stack(batch)
                batch = []
