"""Batched prediction over picture files."""

from __future__ import annotations

import collections
import concurrent.futures
import csv
import dataclasses
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras

from dogcat import devices, evaluation, folders, images, pipeline, records
from dogcat import model as models
from dogcat.config import MAX_PIXELS, InputError, PredictionOptions, available_cores
from dogcat.forward import Forward


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A picture that could not be read: its key and why."""

    key: str
    reason: str
    detail: str


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Predictions for the pictures of a folder, in the order of their ids.

    Attributes:
        ids: One for each picture.
        probabilities: Of each class, float64 [pictures, classes]; the same for all where a picture is unreadable.
        unreadable: The pictures that could not be read.
        classes: Names of the classes.
    """

    ids: list[str]
    probabilities: np.ndarray
    unreadable: list[Unreadable]
    classes: list[str]


def predict_folder(options: PredictionOptions) -> Predictions:
    """Predicts every picture of a folder.

    Raises:
        InputError: The model or the folder cannot be used.
    """
    path = models.find_file(options.model, "model")
    folder = Path(options.images)
    listing = folders.list_images(folder)
    pairs = folders.submission_order(listing.keys)
    keys = [key for _, key in pairs]
    keras.mixed_precision.set_global_policy(devices.choose_precision("auto")[0])
    strategy = devices.make_strategy("auto")
    with strategy.scope():
        model, description = models.load(path)
        to_logits = models.logits_model(model)
    print(f"model: {path} ({' or '.join(description.classes)})")
    print(f"pictures: {len(keys)} in {folder}")

    # Each replica gets the same share of a batch.
    replicas = strategy.num_replicas_in_sync
    batch_size = -(-options.batch_size // replicas) * replicas
    unreadable: list[Unreadable] = []

    def batches() -> Iterator[np.ndarray]:
        yield from _read_batches(folder, keys, description, batch_size, unreadable)

    def of_batch(pictures: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        logits = to_logits(pictures, training=False)
        if options.tta == "none":
            return logits
        return (logits + to_logits(tf.reverse(pictures, [2]), training=False)) / 2

    predict = Forward(of_batch, strategy)
    logits = predict(
        lambda context: pipeline.prediction_dataset(batches, description.image_size, batch_size, context),
        len(keys),
        "predicting",
    )
    unknown = {picture.key for picture in unreadable}
    # Equal logits of all classes say nothing.
    logits[[key in unknown for key in keys]] = 0
    probabilities = np.exp(evaluation.log_probabilities(logits / description.temperature))
    ids = [id_ for id_, _ in pairs]
    return Predictions(ids, probabilities, unreadable, description.classes)


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


def write_submission(predictions: Predictions, clip: float, path: Path) -> Path | None:
    """Writes the CSV and, where pictures were unreadable, a list of them beside it.

    The columns are `id,label` for two classes, the label being the probability of the second; `id` and the name of
    each class for more.

    Args:
        predictions: What to write.
        clip: Distance that probabilities of two classes keep from 0 and 1; see `clip_probabilities` for more.
        path: The CSV.

    Returns:
        The list's path, or None if every picture was read.

    Raises:
        OSError: A file cannot be written; then the CSV is as it was.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    clipped = clip_probabilities(predictions.probabilities, clip)
    columns = predictions.classes
    if len(columns) == 2:
        columns, clipped = ["label"], clipped[:, 1:]
    writer.writerow(["id", *columns])
    writer.writerows([id_, *(f"{p:.6g}" for p in row)] for id_, row in zip(predictions.ids, clipped))
    beside = path.with_name(path.stem + ".unreadable.csv")
    if predictions.unreadable:
        listed = io.StringIO()
        list_writer = csv.writer(listed, lineterminator="\n")
        list_writer.writerow(("path", "reason", "detail"))
        list_writer.writerows(map(dataclasses.astuple, predictions.unreadable))
        records.write_atomically(beside, listed.getvalue().encode("utf-8", "surrogateescape"))
    else:
        # One of an earlier prediction would tell of other pictures.
        beside.unlink(missing_ok=True)
    records.write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))
    return beside if predictions.unreadable else None


def clip_probabilities(probabilities: np.ndarray, clip: float) -> np.ndarray:
    """Keeps probabilities away from 0 and 1.

    Args:
        probabilities: [pictures, classes], each row's sum 1.
        clip: Least probability of each of two classes. That of one of `n` classes is `2 * clip / n`, so that the
            most probable one is left about as much whatever their number.

    Returns:
        Of the same shape; each row's sum is 1.
    """
    classes = probabilities.shape[1]
    least = 2 * clip / classes
    clipped = np.clip(probabilities, least, 1 - least * (classes - 1))
    return clipped / clipped.sum(axis=1, keepdims=True)


def check_output(path: Path) -> None:
    """Raises InputError where the CSV could not be written, before the work is done."""
    if path.exists() and not path.is_file():
        raise InputError(f"--output={path}: is no file; give the name of a CSV file")
    if not path.parent.is_dir():
        raise InputError(f"--output={path}: the folder {path.parent} does not exist; make it first")
