"""Makes a data set of TFRecord shards from a folder of pictures.

The class of a picture is its folder's name (cat/1.jpg, dog/2.jpg) or what its own name begins with (cat.1.jpg,
dog.2.jpg), unless --labels says otherwise. Pictures that cannot be used are left out and listed in rejected.csv with
the reason. The data set appears at --output when it is complete, with the manifest dataset.json. Stopped or killed,
the same command goes on after the shards that are finished.
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from dogcat.core import cluster, commands, flags, runtime, tables
from dogcat.core.options import InputError, words
from dogcat.core.processes import Workers
from dogcat.core.text import printable
from dogcat.dataset import encoding, manifest, output_folder, shard_pieces, shard_steps, writer
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
    if options.cluster:
        with cluster.workers(options.cluster, shard_pieces.write_piece) as pieces:
            return shard_steps.write_data_set(_prepare(options), pieces)
    # Nor do the workers need what this process then has in memory.
    with Workers(options.workers or runtime.available_cores(), encoding.encode_chunk) as workers:
        return writer.write_data_set(_prepare(options), workers)


def _prepare(options: ShardOptions) -> writer.Work:
    listing = folders.list_images(Path(options.images))
    print(listing.summary(options.images))
    return writer.prepare(listing.folder, select_pictures(listing, options), options)


def do_step(options: ShardOptions) -> None:
    """Does one of the steps plan and part, and says what to do next.

    Raises:
        InputError: As `make_data_set`; or there is no plan, or this machine does not see the folders.
        OSError: A folder cannot be read or written.
    """
    command = f"{commands.spelled('make-tfrecords')} {shlex.quote(f'--output={options.output}')}"
    if options.part is None:
        shards = shard_steps.write_plan(_prepare(options))
        print(f"planned {shards} shards in {options.output}.partial")
        print(printable(f"next: {command} --only=0/{shards}, and so on to {shards - 1}/{shards}, or in fewer parts"))
        return
    with Workers(options.workers or runtime.available_cores(), shard_pieces.write_piece) as workers:
        shards = shard_steps.write_part(options.output, *options.part, workers)
    print(f"part {options.only}: {shards} shards are written")
    print(printable(f"next, after all parts: {command} --only=commit"))


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
    if options.only not in ("", "commit"):
        do_step(options)
        return
    made = shard_steps.commit(options.output) if options.only else make_data_set(options)
    print(describe(made, options.output))
    if made.classes and not made.options["validation"]:
        print("next: training needs validation pictures; make the data set with --validation above 0 for it")
    elif made.classes:
        where = "" if options.output == ShardOptions.output else f" {shlex.quote(options.output)}"
        print(printable(f"next: {commands.spelled('train')}{where}"))
    else:
        print(printable(f"next: {commands.spelled('inspect-tfrecords')} {shlex.quote(options.output)} --verify"))


if __name__ == "__main__":
    flags.run(main, ShardOptions)
