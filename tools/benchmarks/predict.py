"""Batch inference from picture files to a CSV, beside the same network on a batch that stays in memory."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import dogcat
from dogcat.core import runtime
from dogcat.prediction.options import PredictionOptions

from . import rounds
from .peer_writers import SIZE, Work

# Half a minute of a processor; so many that start and end hardly count.
_PICTURES = 512
_BATCH_SIZE = 32
_CLASSES = ["cat", "dog"]


@contextlib.contextmanager
def contestants(images: Path, backbone: str) -> Iterator[list[rounds.Contestant]]:
    """Files to CSV through the engine that `dogcat.predict` chooses, the network alone, and through TensorFlow.

    Networks are loaded and compiled beforehand: that takes seconds whatever the number of pictures.

    Args:
        images: Folder of readable pictures, of which a run takes 512 at most.
        backbone: The network, with random weights: its speed does not depend on them.

    Yields:
        The contestants, which work while the block lasts.
    """
    runtime.prepare()
    import tensorflow as tf
    from tensorflow import keras

    from dogcat.evaluation import metrics
    from dogcat.loading import pipeline
    from dogcat.models import architecture, model_files
    from dogcat.pictures import folders
    from dogcat.prediction import predictions, runner
    from dogcat.prediction.picture_sources import PictureFiles
    from dogcat.prediction.predictions import Predictions

    class SameBatch:
        """As many pictures as there are files, in memory; `picture_sources.Pictures` says what each member is."""

        def __init__(self, keys: list[str]) -> None:
            self.keys = keys
            self.rejections: dict[str, Any] = {}
            self._batch = np.random.default_rng(0).integers(0, 256, (_BATCH_SIZE, SIZE, SIZE, 3), np.uint8)

        def dataset(self, description: Any, batch_size: int, context: Any, first: int) -> tf.data.Dataset:
            batches = -(-len(self.keys) // batch_size)
            return pipeline.finish(tf.data.Dataset.from_tensors(self._batch).repeat(batches))

        def naming_damage(self) -> contextlib.AbstractContextManager[None]:
            return contextlib.nullcontext()

        def digest(self) -> str:
            return ""

    keys = folders.list_images(images).keys[:_PICTURES]
    with tempfile.TemporaryDirectory(prefix="dogcat-benchmark-") as folder:
        output = PredictionOptions(output=str(Path(folder, "submission.csv")))
        strategy, engine = runner.choose_devices("auto", "auto", "auto")
        path = Path(folder, "model.keras")
        model_files.save(
            architecture.build_model(backbone, SIZE, len(_CLASSES)),
            path,
            model_files.Description(_CLASSES, SIZE, "stretch", backbone),
        )
        policy = keras.mixed_precision.global_policy().name

        def made_for(through: str) -> runner.Predictor:
            return runner.Predictor([path], "none", _BATCH_SIZE, strategy, through)

        def to_csv(made: runner.Predictor) -> Work:
            started = time.perf_counter()
            files = PictureFiles(images, keys)
            logits = np.concatenate(list(made.logits(files)))
            log_probabilities = metrics.averaged_log_probabilities(logits, made.temperatures, "logits")
            ids = [id_ for id_, _ in folders.submission_order(keys)]
            predictions.write(Predictions(ids, keys, log_probabilities, [], _CLASSES), output)
            seconds = time.perf_counter() - started
            rows = Path(output.output).read_text().count("\n") - 1
            return Work(rows - len(files.rejections), 0, seconds, dogcat.__version__)

        def alone(made: runner.Predictor) -> Work:
            started = time.perf_counter()
            done = sum(map(len, made.logits(SameBatch(keys))))
            return Work(done, 0, time.perf_counter() - started, dogcat.__version__)

        chosen = made_for(engine)
        words = f"{engine}, {policy}"
        found = [
            rounds.Contestant("files", "files to CSV", words, lambda: to_csv(chosen), ours=True),
            rounds.Contestant(
                "memory", "the network alone", f"the limit: one batch in memory, {words}", lambda: alone(chosen)
            ),
        ]
        if engine != "tensorflow":
            other = made_for("tensorflow")
            found.append(
                rounds.Contestant("tensorflow", "files to CSV", f"tensorflow, {policy}", lambda: to_csv(other))
            )
        # The first batch of each compiles what is compiled late.
        for contestant in found:
            contestant.run()
        yield found
