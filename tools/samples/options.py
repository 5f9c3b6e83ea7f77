"""Options of `tools.make_sample_images`."""

from __future__ import annotations

import dataclasses

from dogcat.core.options import Options, option


@dataclasses.dataclass(frozen=True)
class SampleOptions(Options):
    """Options of `tools.make_sample_images`."""

    output: str = option("data", "Folder in which train/ and test/ are drawn.", path=True)
    train: int = option(200, "Number of flawless training pictures, cats and dogs together.")
    test: int = option(40, "Number of flawless test pictures.")
    faults: int = option(
        0, "Number of training pictures of neither, with a wrong label, and that are copies: so many of each; 0: none."
    )
    seed: int = option(0, "Seed of the drawing; the same seed draws the same bytes.")

    def __post_init__(self) -> None:
        """Raises InputError for a value out of range."""
        super().__post_init__()
        self.require("train", self.train >= 2, "draw at least 2 pictures")
        self.require("test", self.test >= 1, "draw at least 1 picture")
        self.require("faults", self.faults >= 0, "use 1 or more, or 0 for none")
        self.require("seed", self.seed >= 0, "use 0 or more")
