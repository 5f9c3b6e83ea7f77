"""Fetches and checks the ImageNet weights of a backbone, and keeps them where the trainer looks.

Training does the same by itself when it needs them; this command is for doing it beforehand, or from a file
that was fetched on another machine.
"""

from __future__ import annotations

from dogcat import flags, runtime
from dogcat.backbones import BACKBONES
from dogcat.config import InputError, ShardOptions, WeightsOptions


def main(options: WeightsOptions) -> None:
    """Fetches the weights and says where they are."""
    runtime.prepare()
    from dogcat import model, weights

    # Weights do not depend on the size of the pictures.
    backbone = model.make_backbone(options.backbone, BACKBONES[options.backbone].smallest_image)
    source = weights.load_imagenet(backbone, options.backbone, options.file)
    print(f"ImageNet weights of {options.backbone}, from {source}")
    if not weights.is_cached(options.backbone):
        raise InputError(f"{weights.cache_folder()} cannot be written; set DOGCAT_CACHE to a folder that can be")
    size = BACKBONES[options.backbone].image_size
    sized = f" --image_size={size}" if size != ShardOptions.image_size else ""
    print(f"next: python -m tools.make_tfrecords --images=data/train --output=data/tfrecords{sized}")


if __name__ == "__main__":
    flags.run(main, WeightsOptions)
