"""Features of the pictures of a folder by a frozen backbone."""

from __future__ import annotations

from tensorflow import keras

from dogcat.cleaning.folder_pass import BATCH_SIZE, FolderNetwork
from dogcat.models import architecture, devices, weights
from dogcat.models.backbones import BACKBONES
from dogcat.training import frozen_features


def open_backbone(backbone: str, wanted_weights: str, image_size: int, seed: int) -> FolderNetwork:
    """A network that gives features, float32 [channels], in the precision that this machine computes fast.

    Args:
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
        model = architecture.build_model(backbone, size, classes)
        source = weights.load(architecture.backbone_of(model), backbone, wanted_weights)
    return FolderNetwork(
        f"{backbone} at {size} pixels, {source}; {policy} ({reason}), {devices.describe_engine(engine)}",
        size,
        lambda: frozen_features.frozen_network(model, backbone, size, classes, BATCH_SIZE, engine),
        strategy,
        frozen_features.describe_network(model, backbone, engine),
    )
