"""The data set that the options of a run name: a folder of the shard tool, or TFRecords of another program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dogcat.core import commands
from dogcat.core.options import InputError, words
from dogcat.core.places import place_of
from dogcat.dataset import foreign_files, manifest, shard_plan
from dogcat.dataset.foreign_features import Keys
from dogcat.dataset.manifest import Manifest
from dogcat.loading import fold_set, foreign_set
from dogcat.loading.fold_set import FoldSet
from dogcat.loading.foreign_set import Part, Reading
from dogcat.models.backbones import BACKBONES
from dogcat.training.options import OF_FOREIGN_FILES, TrainingOptions


def load(options: Mapping[str, Any]) -> Manifest:
    """Reads or makes the manifest, with splits for training and validation.

    Args:
        options: Those of a run, by name; one of an earlier version may lack what tells of other programs' TFRecords.

    Raises:
        InputError: There is no such data set, or it cannot be used.
    """
    place = options["tfrecords"]
    given = {name: options.get(name, getattr(TrainingOptions, name)) for name in OF_FOREIGN_FILES}
    validation = options.get("validation_tfrecords", "")
    if not foreign_files.are_meant(place):
        given["validation_tfrecords"] = validation
        foreign_files.refuse_options_of(place, given, TrainingOptions)
        return manifest.load(place_of(place), shard_plan.TRAIN, shard_plan.VALIDATION)
    if not validation:
        raise InputError(
            f"--tfrecords={place}: TFRecords of another program need others to validate on; give them by "
            "--validation_tfrecords"
        )
    keys = Keys(given["image_key"], given["label_key"])
    size = given["image_size"] or BACKBONES[options["backbone"]].image_size
    return foreign_set.load(
        [
            Part(shard_plan.TRAIN, place, "tfrecords"),
            Part(shard_plan.VALIDATION, validation, "validation_tfrecords"),
        ],
        Reading(keys, words(given["classes"]), given["first_label"], size),
    )


def load_fold(options: Mapping[str, Any], number: int) -> FoldSet:
    """The data set with one of the folds of --folds for validation.

    Args:
        options: Those of a run, by name.
        number: The fold, from 1.

    Raises:
        InputError: There is no such data set, or it cannot be used in so many folds.
    """
    if foreign_files.are_meant(options["tfrecords"]):
        raise InputError(
            f"--folds={options['folds']}: takes a data set of {commands.spelled('make-tfrecords')}; --tfrecords="
            f"{options['tfrecords']} is of another program"
        )
    folder = place_of(options["tfrecords"])
    return fold_set.choose(folder, load(options), options["folds"], options["seed"], number)
