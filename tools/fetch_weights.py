"""Fetches and checks the ImageNet weights of Xception, and keeps them where the trainer looks.

Training does the same by itself when it needs them; this command is for doing it beforehand, or from a file
that was fetched on another machine.
"""

from __future__ import annotations

from dogcat import flags, runtime
from dogcat.config import WeightsOptions


def main(options: WeightsOptions) -> None:
    """Fetches the weights and says where they are."""
    runtime.prepare()
    from dogcat import model, weights

    source = weights.load_imagenet(model.make_backbone(), options.file)
    print(f"ImageNet weights of Xception, from {source}")
    print(f"checked (sha256 {weights.DIGEST[:16]}...) and kept in {weights.cache_path()}")
    print("next: python -m tools.make_tfrecords --images=data/train --output=data/tfrecords")


if __name__ == "__main__":
    flags.run(main, WeightsOptions)
