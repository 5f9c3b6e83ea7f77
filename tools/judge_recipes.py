"""Judges training recipes on pictures that had no part in training.

Each recipe of the file --recipes, a JSON object from names to lists of flags of dogcat.train, is trained on --sizes
drawn pictures of --images with each of --seeds, and predicts the pictures of --judge with each of --views. The first
recipe and view are what all others are compared with, on the same draws and picture by picture. Written into --output
are table.md, recipes.csv and recipes.png. Stopped, the same command goes on; what --work holds is not computed again.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from dogcat.core import files, flags, outputs
from dogcat.core.options import InputError, Options, option, output_folder_option, words
from dogcat.core.text import printable
from dogcat.models.options import TTA
from dogcat.pictures import folders
from dogcat.pictures.folders import Listing
from dogcat.training.options import TrainingOptions

from .judging import verdicts
from .judging.trials import Losses, Trial, Workshop

TABLE, CSV, PLOT = "table.md", "recipes.csv", "recipes.png"
_LARGEST_FILE = 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]{0,39}")
# What the trial sets itself.
_OF_TRIALS = ("tfrecords", "runs", "seed", "resume", "dry_run", "report", "config", "init_from")


@dataclasses.dataclass(frozen=True)
class JudgingOptions(Options):
    """Options of `tools.judge_recipes`."""

    images: str = option("data/train", "Folder of the labelled pictures to train and validate on.", path=True)
    judge: str = option("data/judge", "Folder of other labelled pictures, to judge by alone.", path=True)
    recipes: str = option(
        "recipes.json",
        'JSON file with the recipes, like {"best": [], "longer": ["--preset=best", "--epochs=6"]}.',
        positional=True,
        path=True,
    )
    sizes: str = option("0", "How many pictures are drawn, numbers with commas between them; 0: all of them.")
    seeds: str = option("0,1,2", "Seeds, numbers with commas between them; each is a draw, a split and a training.")
    views: str = option("none,flip", "What the models are shown of pictures, values of --tta with commas between them.")
    work: str = option("judging", "Folder in which data sets, runs and predictions are kept.", path=True)
    output: str = output_folder_option("judged", "Folder for the table, the CSV and the plot.")

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used."""
        super().__post_init__()
        for name in ("sizes", "seeds"):
            given = words(getattr(self, name))
            are_numbers = bool(given) and all(re.fullmatch(r"\d{1,9}", word) for word in given)
            self.require(
                name, are_numbers and len(set(given)) == len(given), "give whole numbers like 0,1,2, each once"
            )
        views = words(self.views)
        known = bool(views) and set(views) <= set(TTA) and len(set(views)) == len(views)
        self.require("views", known, f"use some of {','.join(TTA)}, each once")


def main(options: JudgingOptions) -> None:
    """Does what is left to do, then compares."""
    outputs.require_own(Path(options.output), (TABLE, CSV, PLOT))
    recipes = _read_recipes(Path(options.recipes))
    listing, judge = (folders.list_images(Path(place)) for place in (options.images, options.judge))
    sizes = _sizes(options, listing)
    workshop = Workshop(Path(options.work), listing, judge, recipes)
    views, seeds = words(options.views), [int(word) for word in words(options.seeds)]
    judged = []
    for size in sizes:
        first: list[Losses] = []
        for recipe in recipes:
            of_trials = [Trial(recipe, size, seed) for seed in seeds]
            by_view = [workshop.losses(trial, views) for trial in of_trials]
            seconds = [workshop.seconds(trial) for trial in of_trials]
            for view in views:
                losses = [some[view] for some in by_view]
                first = first or losses
                judged.append(verdicts.judge((recipe, view, size), losses, first, seconds))
    # Without those that cannot be read.
    pictures = len(first[0].log_losses)
    table = verdicts.table(judged, pictures)
    contents = {TABLE: table.encode(), CSV: verdicts.as_csv(judged), PLOT: verdicts.draw(judged, pictures)}
    outputs.write(Path(options.output), contents)
    print(f"\n{table}")
    print(printable(f"wrote {options.output}: {TABLE}, {CSV}, {PLOT}"))


def _sizes(options: JudgingOptions, listing: Listing) -> list[int]:
    sizes = sorted({int(word) or len(listing.keys) for word in words(options.sizes)})
    if sizes[-1] > len(listing.keys):
        raise InputError(f"--sizes={options.sizes}: {options.images} has {len(listing.keys)} pictures; give 0 for all")
    return sizes


def _read_recipes(path: Path) -> dict[str, dict[str, object]]:
    """The options of each recipe that are not the defaults, by its name.

    Raises:
        InputError: The file is not as the help says, or a flag cannot be used.
    """
    place = f"--recipes={path}"
    try:
        content = json.loads(files.read_bounded(path, _LARGEST_FILE))
    except ValueError as error:
        raise InputError(f"{place}: is not JSON ({error}); see --help for an example") from error
    is_right = (
        isinstance(content, dict)
        and content
        and all(isinstance(given, list) and all(isinstance(flag, str) for flag in given) for given in content.values())
    )
    if not is_right:
        raise InputError(f"{place}: must be an object from names to lists of flags; see --help for an example")
    recipes = {}
    for name, given in content.items():
        if not _NAME.fullmatch(name):
            raise InputError(f"{place}: {name!r} names a recipe; use letters, digits, _ and . alone")
        try:
            recipes[name] = flags.given_in(given, TrainingOptions)
            TrainingOptions.from_given(recipes[name])
        except InputError as error:
            raise InputError(f"{place}: {name}: {error}") from error
        for unused in _OF_TRIALS:
            if unused in recipes[name]:
                raise InputError(f"{place}: {name}: --{unused} is not of a recipe; leave it out")
    return recipes


if __name__ == "__main__":
    flags.run(main, JudgingOptions)
