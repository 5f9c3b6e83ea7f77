"""A run's events for TensorBoard, with the names that Keras' callback gives: training and validation on one chart."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from dogcat.training import epoch_records
from dogcat.training.epoch_records import EpochRecord
from dogcat.training.step_curve import StepPoint


class Board:
    """Writes events, of training and of validation into a folder each: to TensorBoard these are two runs to compare."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder of the run's events."""
        self._writers = {
            part: tf.summary.create_file_writer(str(folder / part))
            for part in (epoch_records.TRAIN, epoch_records.VALIDATION)
        }

    def add_epoch(self, record: EpochRecord) -> None:
        """Adds the figures of an epoch, and shows all so far."""
        for part, figures in epoch_records.in_parts(record).items():
            with self._writers[part].as_default(record.epoch):
                for name, value in figures.items():
                    tf.summary.scalar(f"epoch_{name}", value)
        self.flush()

    def add_step(self, point: StepPoint) -> None:
        """Adds a point of the curve over the steps."""
        with self._writers[epoch_records.TRAIN].as_default(point.step):
            for name in ("loss", "learning_rate", "pictures_per_second"):
                tf.summary.scalar(f"batch_{name}", getattr(point, name))

    def add_graph(self, graph: tf.Graph) -> None:
        """Adds the graph of a step."""
        with self._writers[epoch_records.TRAIN].as_default():
            tf.summary.graph(graph)

    def add_pictures(self, pictures: tf.Tensor) -> None:
        """Adds augmented pictures, uint8 [pictures, size, size, 3]."""
        with self._writers[epoch_records.TRAIN].as_default(0):
            tf.summary.image("augmented", pictures, max_outputs=len(pictures))

    def flush(self) -> None:
        """Writes what was added."""
        for writer in self._writers.values():
            writer.flush()
