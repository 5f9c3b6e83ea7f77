"""Making a data set: the folder listed and labelled, then written by processes of this machine or of a cluster."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from dogcat.core import cluster, runtime, tables
from dogcat.core.log import tell
from dogcat.core.options import InputError, is_address, words
from dogcat.core.places import place_of
from dogcat.core.processes import Workers
from dogcat.dataset import encoding, manifest, output_folder, remote_staging, shard_pieces, shard_steps, writer
from dogcat.dataset.options import ShardOptions
from dogcat.pictures import folders, labels


def make_data_set(options: ShardOptions) -> manifest.Manifest:
    """Lists, labels and writes; what could not be used is listed beside the shards.

    Raises:
        InputError: The folder holds no usable pictures of two classes, or an option does not fit it.
        OSError: A folder cannot be read or written.
    """
    # Before the pictures are listed, which may take a while.
    if is_address(options.output):
        remote_staging.require_usable(options)
    else:
        output_folder.usable_output(options)
    if options.cluster:
        with cluster.workers(options.cluster, shard_pieces.write_piece) as pieces:
            return shard_steps.write_data_set(prepare(options), pieces)
    # Nor do the workers need what this process then has in memory.
    with Workers(options.workers or runtime.available_cores(), encoding.encode_chunk) as workers:
        return writer.write_data_set(prepare(options), workers)


def prepare(options: ShardOptions) -> writer.Work:
    """Lists the pictures and gives each its class, split and place."""
    listing = folders.list_images(place_of(options.images))
    tell(listing.summary(options.images))
    return writer.prepare(listing.folder, select_pictures(listing, options), options)


def select_pictures(listing: folders.Listing, options: ShardOptions) -> labels.LabelledKeys:
    """Leaves out what --exclude names, and gives the others their classes."""
    if options.unlabeled and (options.labels or options.classes):
        raise InputError("--unlabeled: goes with neither --labels nor --classes; leave one out")
    given: dict[str, str] = {}
    chosen_by: dict[str, dict[str, Any]] = {}
    changes = tables.read_text(Path(options.labels), "--labels") if options.labels else None
    if changes:
        given = labels.labels_in(changes, listing)
    if options.exclude:
        exclusions = tables.read_text(Path(options.exclude), "--exclude")
        before = len(listing.keys)
        listing = labels.without(exclusions, listing)
        removed = before - len(listing.keys)
        chosen_by["exclude"] = {"sha256": exclusions.sha256, "removed": removed}
        tell(f"leaving out {removed} pictures that {options.exclude} names")
    if changes:
        changed = labels.relabelled(listing, given)
        chosen_by["labels"] = {"sha256": changes.sha256, "changed": changed}
        tell(f"changing the class of {changed} pictures as {options.labels} says")
    if options.unlabeled:
        return dataclasses.replace(labels.without_labels(listing), chosen_by=chosen_by)
    other_ways = ", or give --labels (or --unlabeled for test pictures)"
    pictures = labels.label_keys(listing, given, words(options.classes), other_ways)
    if len(pictures.classes) < 2:
        folders_below = {key.split("/")[1] for key in pictures.keys if key.count("/") > 1}
        instead = ""
        if len(folders_below) > 1:
            above = labels.above_the_classes(pictures.keys, pictures.keys[0].split("/", 1)[0])
            instead = f"; if the folders in {above} are the classes, give --images={listing.folder / above}"
        raise InputError(f"{options.images} holds one class only ({pictures.classes[0]}); training needs two{instead}")
    return dataclasses.replace(pictures, chosen_by=chosen_by)
