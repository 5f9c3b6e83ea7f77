"""What is known of the pictures of a folder before training: copies, outliers, labels that others contradict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dogcat.cleaning import (
    duplicates,
    fingerprints,
    folder_pass,
    label_errors,
    neighbours,
    network_pieces,
    outliers,
    suspects,
)
from dogcat.cleaning.fingerprints import Fingerprint
from dogcat.cleaning.folder_pass import FolderNetwork
from dogcat.cleaning.imagenet import pet_ranks
from dogcat.cleaning.network_pieces import WantedBackbone, WantedClassifier
from dogcat.cleaning.options import CleaningOptions
from dogcat.cleaning.suspects import Evidence
from dogcat.core import runtime
from dogcat.core.calls import Calls
from dogcat.core.options import InputError
from dogcat.core.text import printable
from dogcat.dataset import shard_plan
from dogcat.dataset.encoding import Rejection
from dogcat.pictures import folders, labels
from dogcat.pictures.labels import LabelledKeys
from dogcat.prediction.picture_sources import PictureFiles


def examine(options: CleaningOptions, calls: Calls[Any] | None = None) -> tuple[Evidence, list[Rejection], list[str]]:
    """Looks at all pictures that have a class.

    Args:
        options: Which, and how.
        calls: Call `pieces.do_piece`, and look at the pictures; None: this process does it.

    Returns:
        What is known of those that can be decoded, the others, and the keys that --exclude names.

    Raises:
        InputError: The folder has too few pictures, or an option does not fit it.
        OSError: A folder cannot be read.
    """
    folder = Path(options.images)
    listing = folders.list_images(folder)
    print(listing.summary(options.images))
    given = labels.read_labels(Path(options.labels), listing) if options.labels else {}
    excluded: list[str] = []
    if options.exclude:
        remaining = labels.exclude(Path(options.exclude), listing)
        kept = set(remaining.keys)
        excluded = [key for key in listing.keys if key not in kept]
        listing = remaining
    pictures = labels.label_keys(listing, given, [], ", or give --labels")
    if pictures.unlabelled:
        first, *more = pictures.unlabelled
        others = f" and {len(more)} other{'s' if len(more) > 1 else ''}" if more else ""
        print(printable(f"left out, since nothing tells their class: {first}{others}"))
    if options.method != "imagenet":
        _require_enough(pictures, options.images)
    # Before anything that takes long.
    classifier = None if options.method == "features" else WantedClassifier(options.classifier).open()
    workers = calls or options.workers or runtime.available_cores()
    prints, rejections = fingerprints.take(folder, pictures.keys, options.max_pixels, workers)
    left_out = {one.key for one in rejections}
    read = [key not in left_out for key in pictures.keys]
    usable = LabelledKeys([one.key for one in prints], pictures.labels[read], pictures.classes, [])
    if options.method != "imagenet":
        _require_enough(usable, options.images)
    elif not usable.keys:
        raise InputError(f"{options.images}: no picture can be read; give others")
    return _gather(options, folder, usable, prints, classifier, calls), rejections, excluded


def _gather(
    options: CleaningOptions,
    folder: Path,
    pictures: LabelledKeys,
    prints: list[Fingerprint],
    classifier: FolderNetwork | None,
    calls: Calls[Any] | None,
) -> Evidence:
    """What is known of pictures that can be decoded, by the method that is asked for."""
    files = PictureFiles(folder, pictures.keys, options.max_pixels)
    split = shard_plan.split_and_order(pictures.keys, pictures.labels, options.validation, options.seed)
    in_validation = np.zeros(len(pictures.keys), bool)
    in_validation[split[shard_plan.VALIDATION]] = True
    far = held_out = similar = mislabelled = ranks = directions = None
    evidences = []
    if options.method != "imagenet":
        backbone = WantedBackbone(options.weights, options.backbone, options.image_size, options.seed)
        features = (
            network_pieces.outputs(backbone, files, calls, "features")
            if calls
            else folder_pass.outputs(backbone.open(), files, "features")
        )
        components = outliers.principal_components(features)
        directions = neighbours.normalised(components)
        near = neighbours.nearest(directions, outliers.neighbours_that_count(len(directions)))
        similar = near.places[:, : label_errors.NEIGHBOURS]
        evidences.append(outliers.evidence_of_neighbours(near))
        far = outliers.probability(evidences[0])
        held_out = label_errors.held_out_probabilities(components, pictures.labels, options.seed)
        mislabelled = label_errors.scores(held_out, pictures.labels, similar)
    if classifier:
        scores = (
            network_pieces.outputs(WantedClassifier(options.classifier), files, calls, "classifier")
            if calls
            else folder_pass.outputs(classifier, files, "classifier")
        )
        ranks = pet_ranks(scores, options.wild_cats)
        evidences.append(outliers.evidence_of_ranks(ranks, options.top_n))
    return Evidence(
        prints=prints,
        labels=pictures.labels,
        classes=pictures.classes,
        in_validation=in_validation,
        copies=duplicates.find(
            prints,
            directions,
            suspects.LEAST_CONTRAST,
            lambda key: fingerprints.pixels_digest(folder, key, options.max_pixels),
        ),
        far=far,
        held_out=held_out,
        similar=similar,
        neither=outliers.probability(np.mean(evidences, axis=0)),
        mislabelled=mislabelled,
        pet_ranks=ranks,
        top_n=options.top_n,
    )


def _require_enough(pictures: LabelledKeys, folder: str) -> None:
    if len(pictures.classes) < 2:
        raise InputError(
            f"--images={folder}: all pictures are of one class, {pictures.classes[0]}; give two or more classes, or "
            "take --method=imagenet"
        )
    counts = np.bincount(pictures.labels, minlength=len(pictures.classes))
    fewest = int(counts.argmin())
    if counts[fewest] < label_errors.FOLDS:
        raise InputError(
            f"--images={folder}: {counts[fewest]} pictures of class {pictures.classes[fewest]} are too few to judge "
            f"by; give {label_errors.FOLDS} or more of each class"
        )
