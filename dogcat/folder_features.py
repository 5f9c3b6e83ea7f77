"""Features of the pictures of a folder by a frozen backbone: from the cache, or in one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tensorflow import keras

from dogcat import devices, extraction, weights
from dogcat import model as models
from dogcat.backbones import BACKBONES
from dogcat.forward import make_forward
from dogcat.sources import PictureFiles

# Pictures of each step.
_BATCH_SIZE = 32
# How pictures become square, as the shard tool does it unless it is told otherwise.
_RESIZE = "stretch"


def compute(
    folder: Path, keys: list[str], backbone: str, wanted_weights: str, image_size: int, seed: int
) -> np.ndarray:
    """Features of pictures that can be decoded, float32 [pictures, channels].

    Args:
        folder: The folder that keys are relative to.
        keys: The pictures.
        backbone: Name of the backbone.
        wanted_weights: Its weights, as `weights.load` takes them.
        image_size: Height and width to which pictures are resized, in pixels; 0: what the backbone was trained on.
        seed: Seed of random weights.

    Raises:
        InputError: The weights cannot be had, or the pictures are too small for the backbone.
    """
    size = image_size or BACKBONES[backbone].image_size
    policy, reason = devices.choose_precision("auto")
    keras.mixed_precision.set_global_policy(policy)
    strategy = devices.make_strategy("one_device")
    engine = devices.choose_engine("auto", policy, strategy)
    # The head is of no concern.
    classes = 2
    keras.utils.set_random_seed(seed)
    with strategy.scope():
        model = models.build_model(backbone, size, classes)
        source = weights.load(models.backbone_of(model), backbone, wanted_weights)
    print(f"features: {backbone} at {size} pixels, {source}; {policy} ({reason}), {devices.describe_engine(engine)}")
    pictures = PictureFiles(folder, keys)
    description = models.Description([], size, _RESIZE, backbone)
    made_from = {
        "pictures": pictures.digest(),
        "image_size": size,
        "resize": _RESIZE,
        **extraction.describe_network(model, backbone, engine),
    }

    def one_pass() -> np.ndarray:
        network = extraction.frozen_network(model, backbone, size, classes, _BATCH_SIZE, engine)
        return make_forward(network, strategy)(
            lambda context: pictures.dataset(description, _BATCH_SIZE, context, 0), len(keys), "features"
        )

    return extraction.from_cache(made_from, one_pass)
