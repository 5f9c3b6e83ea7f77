"""Trained models for other programs: prediction of files, arrays and Pillow's pictures, and heat maps."""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from PIL import Image, ImageOps

from dogcat.core.options import InputError
from dogcat.dataset import encoding
from dogcat.dataset.encoding import Rejection
from dogcat.library.process import own_precision, prepare
from dogcat.models.options import TTA
from dogcat.pictures import folders, rejections, resizing, srgb
from dogcat.pictures.geometry import MAX_PIXELS
from dogcat.prediction import picture_batches

if TYPE_CHECKING:
    import tensorflow as tf
    from tensorflow import keras

    from dogcat.models.model_files import Description
    from dogcat.prediction.runner import Predictor

# A file or folder, uint8 [height, width, 3], or an opened picture.
OnePicture = Union[str, "os.PathLike[str]", np.ndarray, Image.Image]
# A single picture does not wait for a batch of many.
_BATCHES = (1, 32)


@dataclasses.dataclass(frozen=True)
class Predicted:
    """What a model says of pictures.

    Attributes:
        keys: Of files the path that was given, of a folder's that below it; of others their number.
        classes: Names of the classes.
        probabilities: float64 [pictures, classes], rows of sum 1.
        unreadable: Why pictures were left out that cannot be read, by key.
    """

    keys: list[str]
    classes: list[str]
    probabilities: np.ndarray
    unreadable: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The most probable class of each picture."""
        return [self.classes[index] for index in self.probabilities.argmax(axis=1)]

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.keys)


def load_model(model: str | os.PathLike[str] = "runs/latest", precision: str = "auto", engine: str = "auto") -> Model:
    """Loads a trained model: a run's folder, or any file that `dogcat predict --model` takes.

    Args:
        model: The folder or file.
        precision: What `predict` computes in, as of `dogcat predict`.
        engine: What `predict` computes with, likewise.

    Raises:
        InputError: There is none, or it is damaged.
    """
    prepare()
    from dogcat.models import model_files

    return Model(model_files.find_file(os.fspath(model), "model"), precision, engine)


class Model:
    """A trained model.

    May be called from several threads; they take turns.

    Attributes:
        path: Its file.
        classes: Names of the classes.
        image_size: Height and width of the pictures that it is shown, in pixels.
        temperature: What its logits are divided by before they become probabilities.
    """

    def __init__(self, path: Path, precision: str, engine: str) -> None:
        """Takes the model's file, precision and engine; use `load_model`."""
        from dogcat.models import model_files

        self.path = path
        self._precision, self._engine = precision, engine
        self._description = model_files.describe(path)
        self.classes = list(self._description.classes)
        self.image_size = self._description.image_size
        self.temperature = self._description.temperature
        self._predictors: dict[tuple[str, int], Predictor] = {}
        self._lock = threading.RLock()

    @functools.cached_property
    def keras(self) -> keras.Model:
        """The plain Keras model, float32: uint8 [batch, image_size, image_size, 3] to probabilities.

        Of two classes the probability of the second one, [batch, 1]; it knows nothing of the temperature.
        """
        from dogcat.models import architecture, model_files

        with architecture.precision("float32"):
            return model_files.load(self.path)[0]

    def predict(
        self,
        pictures: OnePicture | Sequence[OnePicture],
        tta: str = "none",
        temperature: float | None = None,
        on_error: str = "raise",
    ) -> Predicted:
        """Predicts pictures of any size.

        Args:
            pictures: A file, a folder, an array or a picture of Pillow's; or several of them; or an array of several.
            tta: Views that are averaged, as of `dogcat predict`.
            temperature: What logits are divided by; None: what is stored with the model.
            on_error: What becomes of a picture that cannot be read: raise an InputError, or skip it.

        Raises:
            InputError: A picture cannot be read, or a folder has none.
            TypeError: Something is no picture.
            ValueError: An argument is out of range.
        """
        if tta not in TTA:
            raise ValueError(f"tta is {tta!r}; use one of {', '.join(TTA)}")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is {on_error!r}; use raise or skip")
        given = _Given(pictures, skip=on_error == "skip")
        if not given.keys:
            return Predicted([], list(self.classes), np.empty((0, len(self.classes))))
        from dogcat.evaluation import metrics

        with self._lock, own_precision():
            logits = np.concatenate(list(self._predictor(tta, len(given.keys)).logits(given)))
        log_probabilities = metrics.averaged_log_probabilities(logits, [temperature or self.temperature], "logits")
        read = [place for place, key in enumerate(given.keys) if key not in given.rejections]
        return Predicted(
            [given.keys[place] for place in read],
            list(self.classes),
            np.exp(log_probabilities[read]),
            {key: f"{rejection.reason}, {rejection.detail}" for key, rejection in given.rejections.items()},
        )

    def explain(self, picture: OnePicture, label: str = "") -> np.ndarray:
        """Where the model sees what speaks for a class: Grad-CAM.

        Args:
            picture: As for `predict`, one.
            label: The class; empty: the one that the model takes it for.

        Returns:
            float32 [image_size, image_size] of the picture as the model is shown it, 0 to 1.

        Raises:
            InputError: The picture cannot be read.
            ValueError: The model does not know the class.
        """
        if label and label not in self.classes:
            raise ValueError(f"label is {label!r}; use one of {', '.join(self.classes)}")
        pixels = self.shown(picture)
        wanted = label or self.predict(pixels).labels[0]
        with self._lock:
            [heat] = self._heat_maps(pixels[None], np.array([self.classes.index(wanted)]))
        size = (self.image_size, self.image_size)
        # The bicubic filter swings beyond its ends.
        return np.asarray(Image.fromarray(heat).resize(size, Image.Resampling.BICUBIC)).clip(0, 1)

    def shown(self, picture: OnePicture) -> np.ndarray:
        """A picture as the model is shown it: upright, in sRGB, square; uint8 [image_size, image_size, 3]."""
        shown = _Given(picture).shown(0, self._description)
        assert isinstance(shown, np.ndarray)
        return shown

    @functools.cached_property
    def _heat_maps(self) -> Any:
        from dogcat.models.gradcam import HeatMaps

        return HeatMaps(self.keras)

    def _predictor(self, tta: str, pictures: int) -> Predictor:
        """What predicts batches of a size that fits so many pictures."""
        from dogcat.prediction import runner

        batch_size = next((size for size in _BATCHES if size >= pictures), _BATCHES[-1])
        if (tta, batch_size) not in self._predictors:
            strategy, engine = runner.choose_devices(self._precision, "auto", self._engine, [self.path])
            self._predictors[tta, batch_size] = runner.Predictor([self.path], tta, batch_size, strategy, engine)
        return self._predictors[tta, batch_size]

    def __repr__(self) -> str:
        """The file, and what it tells apart."""
        return f"Model({str(self.path)!r}, classes={self.classes}, image_size={self.image_size})"


class _Given:
    """Pictures of any kind; a `prediction.picture_sources.Pictures`."""

    def __init__(self, pictures: OnePicture | Sequence[OnePicture], skip: bool = False) -> None:
        """Takes the pictures, and whether one that cannot be read is skipped and not an error."""
        self._skip = skip
        self._one_at_a_time = threading.Lock()
        self.rejections: dict[str, Rejection] = {}
        self.keys: list[str] = []
        self._pictures: list[Path | np.ndarray | Image.Image] = []
        is_one = isinstance(pictures, (str, os.PathLike, Image.Image)) or getattr(pictures, "ndim", 0) == 3
        several: Any = [pictures] if is_one else pictures
        for picture in several:
            self._add(picture)

    def _add(self, picture: Any) -> None:
        if isinstance(picture, (str, os.PathLike)):
            path = Path(picture)
            if path.is_dir():
                listing = folders.list_images(path)
                self.keys += listing.keys
                self._pictures += [path / key for key in listing.keys]
            else:
                self.keys.append(os.fspath(picture))
                self._pictures.append(path)
            return
        if isinstance(picture, np.ndarray) and (picture.dtype != np.uint8 or picture.shape[2:] != (3,)):
            raise TypeError(
                f"picture {len(self.keys)} is {picture.dtype} {list(picture.shape)}; give uint8 [height, width, 3]"
            )
        if not isinstance(picture, (np.ndarray, Image.Image)):
            raise TypeError(
                f"picture {len(self.keys)} is a {type(picture).__name__}; give a path, an array or Pillow's picture"
            )
        self.keys.append(str(len(self.keys)))
        self._pictures.append(picture)

    def shown(self, place: int, description: Description) -> np.ndarray | Rejection:
        """The picture at a place as a model is shown it, uint8 [size, size, 3], or why it is skipped.

        Raises:
            InputError: It cannot be read, and is not to be skipped.
        """
        size = description.image_size
        key = self.keys[place]
        read = self._read(key, self._pictures[place], size)
        if not isinstance(read, Rejection):
            return resizing.resize(read, size, description.resize)[:, :, :3]
        if self._skip:
            return read
        raise InputError(f"{key} cannot be read: {read.reason}, {read.detail}")

    def _read(self, key: str, picture: Path | np.ndarray | Image.Image, size: int) -> np.ndarray | Rejection:
        """Any picture as uint8 [height, width, 4], or why it cannot be read."""
        if isinstance(picture, Path):
            read = encoding.read_picture(picture.parent, picture.name, MAX_PIXELS, size)
            return Rejection(key, read.reason, read.detail) if isinstance(read, Rejection) else read.rgbx
        if isinstance(picture, Image.Image):
            try:
                # Pillow reads an opened file when its pixels are asked for, and the same may be given twice.
                with self._one_at_a_time:
                    return srgb.to_reduced_srgb(ImageOps.exif_transpose(picture), size)
            except rejections.RejectedPicture as rejected:
                return Rejection(key, rejected.reason, rejected.detail)
            except OSError as error:
                return Rejection(key, rejections.DECODER_ERROR, str(error))
        return np.dstack([picture, np.zeros(picture.shape[:2], np.uint8)])

    def dataset(
        self, description: Description, batch_size: int, context: tf.distribute.InputContext, first: int
    ) -> tf.data.Dataset:
        """See `picture_sources.Pictures`."""
        from dogcat.loading import pipeline

        size = description.image_size

        def batches() -> Iterator[np.ndarray]:
            places = range(first, len(self.keys))
            read = functools.partial(self.shown, description=description)
            return picture_batches.read_ahead(places, read, size, batch_size, self.rejections)

        return pipeline.prediction_dataset(batches, size, batch_size, context)

    def naming_damage(self) -> AbstractContextManager[None]:
        """See `picture_sources.Pictures`."""
        from dogcat.loading import damage

        return damage.naming_damage()
