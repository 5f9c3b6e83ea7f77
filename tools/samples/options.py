"""Options of `tools.make_sample_images`."""

from __future__ import annotations

import dataclasses

from dogcat.core.bounds import Bounds
from dogcat.core.options import Options, option, output_folder_option, seed_option


@dataclasses.dataclass(frozen=True)
class SampleOptions(Options):
    """Options of `tools.make_sample_images`."""

    output: str = output_folder_option("data", "Folder in which train/ and test/ are drawn.")
    train: int = option(200, "Number of flawless training pictures, cats and dogs together.", bounds=Bounds(at_least=2))
    test: int = option(40, "Number of flawless test pictures.", bounds=Bounds(at_least=1))
    faults: int = option(
        0,
        "Number of training pictures with each of these faults: neither a cat nor a dog, a wrong label, a copy.",
        bounds=Bounds(at_least=1, zero="for none"),
    )
    seed: int = seed_option("Seed of the drawing; the same seed draws the same bytes.")
