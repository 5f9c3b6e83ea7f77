"""The batches of the epochs: from one endless dataset of this machine, or from a data service, an epoch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from dogcat.core.log import tell
from dogcat.loading import pipeline
from dogcat.loading.data_service import DataService, DataServiceLost
from dogcat.loading.encoded_pictures import EncodedPictures
from dogcat.loading.pictures import Pictures
from dogcat.loading.pipeline import Position, TrainingOrder, Views
from dogcat.models.distribution import distribute
from dogcat.training.options import TrainingOptions


class EpochBatches:
    """Gives each epoch its batches, and knows what a position within an epoch tells.

    Attributes:
        order: In which order and batches training takes the pictures.
    """

    def __init__(
        self, options: TrainingOptions, order: TrainingOrder, strategy: tf.distribute.Strategy, pictures: Pictures
    ) -> None:
        """Takes the run's options, its order, its devices and its pictures."""
        self.order = order
        self._strategy = strategy
        self._pictures = pictures
        self._endless: Iterator[Any] | None = None
        self._service: DataService | None = None
        if options.data_service:
            # `data_service.require_servable` has refused others.
            assert isinstance(pictures, EncodedPictures)
            self._service = DataService(options.data_service, options.data_service_wait, pictures)

    def of_epoch(self, start: Position, views: Views | None) -> Iterator[Any]:
        """Batches on the devices, from a step on, to which those before have led.

        Args:
            start: The step.
            views: What is read in place of the pictures.

        Returns:
            Those of the epoch, which a data service may end early; further ones may follow.
        """
        if self._service:
            service = self._service
            return distribute(self._strategy, lambda context: service.epoch(self.order, start, context))
        if self._endless is None:
            self._endless = distribute(
                self._strategy,
                lambda context: pipeline.train_dataset(self._pictures, self.order, start, context, views),
            )
        return self._endless

    def know_what_is_left(self, step: int) -> bool:
        """Whether a step tells which pictures the epoch has left: a data service gives them as they come."""
        return self._service is None or step in (0, self.order.steps)

    def keys(self, position: Position) -> list[str]:
        """Keys of a step's pictures, over all workers; none where a data service gave them."""
        return [] if self._service else pipeline.keys_of_batch(self._pictures, self.order, position)

    def accept_end(self, end: Position) -> None:
        """Tells that an epoch has fewer steps, since workers of the data service ended with pictures of it.

        Raises:
            DataServiceLost: It has none.
        """
        if not end.step:
            raise DataServiceLost("the data service had no batch for an epoch")
        lost = "the data service has lost pictures"
        tell(f"note: epoch {end.epoch + 1} ends after {end.step} of {self.order.steps} steps, since {lost}")
