"""A network over the pictures of a folder that can be decoded: in one pass, or what an earlier one found."""

from __future__ import annotations

import functools
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from dogcat.core.log import tell
from dogcat.core.options import InputError
from dogcat.models.batch_runner import Forward, Network, make_forward
from dogcat.models.model_files import Description
from dogcat.models.openvino_network import OpenVinoNetwork
from dogcat.prediction.picture_sources import PictureFiles
from dogcat.training import frozen_features

# Pictures of each step.
BATCH_SIZE = 32
# How pictures become square, as the shard tool does it unless it is told otherwise.
_RESIZE = "stretch"


class FolderNetwork:
    """A network in this process, and what its outputs follow from.

    Attributes:
        about: What it is, for people.
        made_from: What its outputs follow from besides the pictures, for the cache.
        strategy: The devices.
    """

    def __init__(
        self,
        about: str,
        image_size: int,
        make: Callable[[], Network | OpenVinoNetwork],
        strategy: tf.distribute.Strategy,
        made_from: dict[str, Any],
    ) -> None:
        """Takes what the attributes are, and how the network is had.

        Args:
            about: What it is, for people.
            image_size: Height and width to which pictures are resized, in pixels.
            make: Makes the network, for batches of `BATCH_SIZE`, where a pass is needed.
            strategy: The devices.
            made_from: What its outputs follow from besides pictures and their size.
        """
        self.about = about
        self.made_from = {"image_size": image_size, "resize": _RESIZE, **made_from}
        self.strategy = strategy
        self._description = Description([], image_size, _RESIZE, "")
        self._make = make

    @functools.cached_property
    def _forward(self) -> Forward:
        return make_forward(self._make(), self.strategy)

    def one_pass(self, pictures: PictureFiles, what: str) -> np.ndarray:
        """What it gives for each picture, float32 [pictures, ...].

        Args:
            pictures: Such as could all be decoded before.
            what: What the progress bar says.

        Raises:
            InputError: A picture cannot be decoded any more.
        """
        computed = self._forward(
            lambda context: pictures.dataset(self._description, BATCH_SIZE, context, 0), len(pictures.keys), what
        )
        for key, rejection in pictures.rejections.items():
            raise InputError(
                f"{key}: could be read at first and now cannot ({rejection.reason}, {rejection.detail}); leave the "
                "folder as it is and start again"
            )
        return computed


def outputs(network: FolderNetwork, pictures: PictureFiles, what: str) -> np.ndarray:
    """What a network gives for each picture, or gave in an earlier pass; arguments and errors as of `one_pass`."""
    tell(f"{what}: {network.about}")
    return kept(network.made_from, pictures, lambda: network.one_pass(pictures, what), network.strategy)


def kept(
    made_from: dict[str, Any],
    pictures: PictureFiles,
    compute: Callable[[], np.ndarray],
    strategy: tf.distribute.Strategy,
) -> np.ndarray:
    """What an earlier pass over the same pictures gave, else what `compute` gives, kept for another run."""
    return frozen_features.from_cache({"pictures": pictures.digest(), **made_from}, compute, strategy)
