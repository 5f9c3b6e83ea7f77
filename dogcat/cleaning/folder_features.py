"""Features of the pictures of a folder by a frozen backbone."""

from __future__ import annotations

import numpy as np
from tensorflow import keras

from dogcat.cleaning import folder_pass
from dogcat.models import architecture, devices, weights
from dogcat.models.backbones import BACKBONES
from dogcat.prediction.picture_sources import PictureFiles
from dogcat.training import frozen_features


def compute(pictures: PictureFiles, backbone: str, wanted_weights: str, image_size: int, seed: int) -> np.ndarray:
    """Features of pictures that can be decoded, float32 [pictures, channels].

    Args:
        pictures: The pictures.
        backbone: Name of the backbone.
        wanted_weights: Its weights, as `weights.load` takes them.
        image_size: Height and width to which pictures are resized, in pixels; 0: what the backbone was trained on.
        seed: Seed of random weights.

    Raises:
        InputError: The weights cannot be had, the pictures are too small for the backbone, or one cannot be decoded
            any more.
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
        model = architecture.build_model(backbone, size, classes)
        source = weights.load(architecture.backbone_of(model), backbone, wanted_weights)
    print(f"features: {backbone} at {size} pixels, {source}; {policy} ({reason}), {devices.describe_engine(engine)}")
    return folder_pass.outputs(
        pictures,
        size,
        lambda: frozen_features.frozen_network(model, backbone, size, classes, folder_pass.BATCH_SIZE, engine),
        strategy,
        frozen_features.describe_network(model, backbone, engine),
        "features",
    )
