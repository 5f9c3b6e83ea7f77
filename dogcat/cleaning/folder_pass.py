"""A network over the pictures of a folder that can be decoded: in one pass, or what an earlier one found."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import tensorflow as tf

from dogcat.core.options import InputError
from dogcat.models.batch_runner import Network, make_forward
from dogcat.models.model_files import Description
from dogcat.models.openvino_network import OpenVinoNetwork
from dogcat.prediction.picture_sources import PictureFiles
from dogcat.training import frozen_features

# Pictures of each step.
BATCH_SIZE = 32
# How pictures become square, as the shard tool does it unless it is told otherwise.
_RESIZE = "stretch"


def outputs(
    pictures: PictureFiles,
    image_size: int,
    make_network: Callable[[], Network | OpenVinoNetwork],
    strategy: tf.distribute.Strategy,
    made_from: dict[str, Any],
    what: str,
) -> np.ndarray:
    """What a network gives for each picture, float32 [pictures, ...].

    Args:
        pictures: Such as could all be decoded before.
        image_size: Height and width to which they are resized, in pixels.
        make_network: Makes the network, for batches of `BATCH_SIZE`, where the pass is needed.
        strategy: The devices.
        made_from: What the network's outputs follow from besides the pictures, for the cache.
        what: What the progress bar says.

    Raises:
        InputError: A picture cannot be decoded any more.
    """
    made_from = {"pictures": pictures.digest(), "image_size": image_size, "resize": _RESIZE, **made_from}
    description = Description([], image_size, _RESIZE, "")

    def one_pass() -> np.ndarray:
        computed = make_forward(make_network(), strategy)(
            lambda context: pictures.dataset(description, BATCH_SIZE, context, 0), len(pictures.keys), what
        )
        for key, rejection in pictures.rejections.items():
            raise InputError(
                f"{key}: could be read at first and now cannot ({rejection.reason}, {rejection.detail}); leave the "
                "folder as it is and start again"
            )
        return computed

    return frozen_features.from_cache(made_from, one_pass, strategy)
