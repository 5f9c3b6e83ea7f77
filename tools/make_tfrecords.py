"""Makes a data set of TFRecord shards from a folder of pictures.

The class of a picture is its folder's name (cat/1.jpg, dog/2.jpg) or what its own name begins with (cat.1.jpg,
dog.2.jpg), unless --labels says otherwise. Pictures that cannot be used are left out and listed in rejected.csv with
the reason. The data set appears at --output when it is complete, with the manifest dataset.json. Stopped or killed,
the same command goes on after the shards that are finished.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from dogcat.core import commands, flags, runtime, tables
from dogcat.core.options import InputError, words
from dogcat.core.processes import Workers
from dogcat.core.text import printable
from dogcat.dataset import encoding, manifest, output_folder, writer
from dogcat.dataset.options import ShardOptions
from dogcat.pictures import folders, labels


def make_data_set(options: ShardOptions) -> manifest.Manifest:
    """Lists, labels and writes; see the module's text.

    Raises:
        InputError: The folder holds no usable pictures of two classes, or an option does not fit it.
        OSError: A folder cannot be read or written.
    """
    # Before the pictures are listed, which may take a while.
    output_folder.usable_output(options)
    # Nor do the workers need what this process then has in memory.
    with Workers(options.workers or runtime.available_cores(), encoding.encode_chunk) as workers:
        listing = folders.list_images(Path(options.images))
        print(listing.summary(options.images))
        pictures = select_pictures(listing, options)
        return writer.write_data_set(listing.folder, pictures, options, workers)


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
        print(f"leaving out {removed} pictures that {options.exclude} names")
    if changes:
        changed = labels.relabelled(listing, given)
        chosen_by["labels"] = {"sha256": changes.sha256, "changed": changed}
        print(f"changing the class of {changed} pictures as {options.labels} says")
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


def describe(made: manifest.Manifest, output: str) -> str:
    """The data set in a few lines."""
    lines = [f"wrote {output}"]
    for split, part in made.splits.items():
        counts = ", ".join(f"{name} {count}" for name, count in zip(made.classes, part.counts)) or "no labels"
        mib = sum(shard.bytes for shard in part.shards) / 2**20
        files = "1 shard" if len(part.shards) == 1 else f"{len(part.shards)} shards"
        lines.append(f"  {split}: {part.pictures} pictures ({counts}), {files}, {mib:.1f} MiB")
    if made.rejected:
        reasons = ", ".join(f"{reason} {count}" for reason, count in made.rejected.items())
        lines.append(f"  left out: {reasons}; named in {output}/{writer.REJECTED_FILE}")
    return "\n".join(map(printable, lines))


def main(options: ShardOptions) -> None:
    """Makes the data set and says what to do next."""
    made = make_data_set(options)
    print(describe(made, options.output))
    if made.classes and not options.validation:
        print("next: training needs validation pictures; make the data set with --validation above 0 for it")
    elif made.classes:
        where = "" if options.output == ShardOptions.output else f" --tfrecords={options.output}"
        print(f"next: {commands.spelled('train')}{where}")
    else:
        print(f"next: {commands.spelled('inspect-tfrecords')} {options.output} --verify")


if __name__ == "__main__":
    flags.run(main, ShardOptions)
