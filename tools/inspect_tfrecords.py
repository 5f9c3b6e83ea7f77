"""Tells what a data set of TFRecord shards holds, and whether it is right.

Without flags: a summary from the manifest, and whether the shards are there in full size. --verify reads
everything: checksums and hashes of the shards, labels, counts, names, and every picture. --preview draws a sheet
of pictures of each class and split; --show writes one picture into a file. Of TFRecords of another program, given by a
pattern in quotes, it shows the features, their types, counts and values, and how training would read them.

Exit codes: 0 the data set is right as far as it was looked at, 1 it is not (a dataset.json that cannot be read counts
as that), 2 the call is wrong: no such folder, or none with a dataset.json.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from dogcat.core import files, flags, places
from dogcat.core.bounds import Bounds
from dogcat.core.options import InputError, Options, is_address, option, refuse_unused, workers_option
from dogcat.core.places import Place
from dogcat.core.text import printable, shortened
from dogcat.dataset import foreign_files, foreign_summary, manifest, stored_picture, verify
from dogcat.dataset.manifest import Manifest
from dogcat.dataset.options import records_option
from dogcat.dataset.problems import Problem
from dogcat.pictures import encoder

from .pages import contact_sheet

EXIT_WRONG_DATA_SET = 1

_MIB = 2**20
# More classes have no columns of their own.
_MOST_COLUMNS = 12
# Of a longer name of a class the middle is left out.
_LONGEST_NAME = 40
# What the names of pictures end with, by format.
_ENDINGS = {manifest.JPEG: (".jpg", ".jpeg"), manifest.PNG: (".png",)}


@dataclasses.dataclass(frozen=True)
class InspectOptions(Options):
    """Options of `tools.inspect_tfrecords`."""

    folder: str = records_option()
    verify: bool = option(False, "Read everything: checksums, hashes, labels, counts, names, pictures.")
    preview: str = option(
        "", "Picture file to write, like sheet.png: some pictures of each class. Empty: none.", path=True
    )
    preview_pictures: int = option(
        8, "Number of pictures of each class and split in the preview.", bounds=Bounds(at_least=1, at_most=100)
    )
    show: str = option("", "Key of a picture (image/filename) to write into a file of its own. Empty: none.")
    output: str = option(
        "",
        "The file that --show writes. Empty: named like the key's last part, with the ending of its format, in the "
        "current folder.",
        path=True,
    )
    json: bool = option(False, "Print the summary, the problems and the files written as JSON.")
    workers: int = workers_option("Number of threads that decode for --verify.")

    @classmethod
    def from_given(cls, given: dict[str, Any]) -> InspectOptions:
        """Refuses what goes with another flag that is not given."""
        if not given.get("preview"):
            refuse_unused(given, ("preview_pictures",), "goes with --preview=FILE")
        return cls(**given)

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used."""
        super().__post_init__()
        is_picture = self.preview.lower().endswith((".png", ".jpg", ".jpeg"))
        self.require("preview", not self.preview or is_picture, "use a name that ends in .png or .jpg")
        self.require("output", not self.output or self.show != "", "say with --show=KEY which picture to write")


def summary(folder: Place, made: Manifest) -> dict[str, Any]:
    """What the manifest says, with totals; plain values for JSON."""
    splits = {
        name: {
            "pictures": split.pictures,
            "counts": dict(zip(made.classes, split.counts)),
            "shards": len(split.shards),
            "bytes": sum(shard.bytes for shard in split.shards),
        }
        for name, split in made.splits.items()
    }
    return {
        "folder": str(folder),
        "classes": made.classes,
        "image_size": made.image_size,
        **{total: sum(split[total] for split in splits.values()) for total in ("pictures", "shards", "bytes")},
        "splits": splits,
        "resize": made.resize,
        "mean": made.mean,
        "deviation": made.deviation,
        "options": made.options,
        "rejected": made.rejected,
        "made_by": made.made_by,
    }


def describe(facts: dict[str, Any]) -> str:
    """The summary in a few lines for a person."""
    size = facts["image_size"]
    shown = [f"{label} {shortened(name, _LONGEST_NAME)}" for label, name in enumerate(facts["classes"][:_MOST_COLUMNS])]
    more = len(facts["classes"]) - len(shown)
    classes = ", ".join([*shown, f"and {more:,} more, which dataset.json lists"] if more else shown) or "no labels"
    rejected = ", ".join(f"{reason} {count}" for reason, count in facts["rejected"].items()) or "none"
    options = " ".join(
        f"{name}={value}" if not isinstance(value, dict) else f"{name}={json.dumps(value)}"
        for name, value in facts["options"].items()
    )
    return "\n".join(
        [
            f"{printable(facts['folder'])}: {facts['pictures']} pictures of {size}x{size}",
            "",
            *_table(facts),
            "",
            f"classes   {classes}",
            f"resize    {printable(facts['resize'])}",
            f"mean      {_channels(facts['mean'])}; deviation {_channels(facts['deviation'])} (R G B, 0 to 255)",
            f"options   {shortened(options)}",
            f"rejected  {shortened(rejected)}",
            f"made by   {shortened(facts['made_by'])}",
        ]
    )


def write_picture(folder: Path, made: Manifest, key: str, output: str) -> tuple[Path, str]:
    """Writes the picture with a key into a file of its own; pixels that are not encoded become PNG.

    Args:
        folder: The data set.
        made: Its manifest.
        key: The picture's `image/filename`.
        output: The file; empty: the key's last part with the ending of the format, in the current folder.

    Returns:
        The file, and what it is in words.

    Raises:
        InputError: No picture has this key, or the file is there already.
        OSError: The file cannot be written.
    """
    picture = stored_picture.find(folder, made, key)
    encoded, form = picture.encoded, picture.format
    if form == manifest.RAW:
        encoded, form = (
            encoder.encode(stored_picture.pixels_of(picture), manifest.PNG, quality=100, chroma="444"),
            manifest.PNG,
        )
    name = key.rsplit("/", 1)[-1]
    endings = _ENDINGS.get(form, ("",))
    if not name.lower().endswith(endings):
        name = name.rpartition(".")[0] + endings[0]
    path = Path(output or name)
    if not path.parent.is_dir():
        raise InputError(f"--output={output}: the folder {path.parent} does not exist; make it first")
    of_others = {ending for known in _ENDINGS.values() for ending in known} - set(endings)
    if path.suffix.lower() in of_others:
        raise InputError(f"--output={output}: the picture is {printable(form)}; use a name that ends in {endings[0]}")
    if os.path.lexists(path):
        raise InputError(f"{printable(str(path))} is there already; give another file with --output")
    files.write_atomically(path, encoded)
    label = f"label {picture.label} {printable(picture.text)}".rstrip()
    return path, f"{printable(form)}, {picture.width}x{picture.height}, {label}"


def _table(facts: dict[str, Any]) -> list[str]:
    """The splits as a table: pictures, those of each class or of the smallest and the largest, shards, size."""
    classes = facts["classes"]
    are_few = len(classes) <= _MOST_COLUMNS
    of_classes = (
        [shortened(name, _LONGEST_NAME) for name in classes] if are_few else ["smallest class", "largest class"]
    )
    heads = ["split", "pictures", *of_classes, "shards", "MiB"]
    rows = []
    for name, split in facts["splits"].items():
        if are_few:
            counts = [split["counts"].get(of_class, "-") for of_class in classes]
        else:
            counts = [which(split["counts"].values(), default="-") for which in (min, max)]
        rows.append([printable(name), split["pictures"], *counts, split["shards"], f"{split['bytes'] / _MIB:.1f}"])
    widths = [max(len(str(row[column])) for row in [heads, *rows]) for column in range(len(heads))]
    lines = []
    for first, *others in [heads, *rows]:
        cells = [str(first).ljust(widths[0]), *(str(cell).rjust(width) for cell, width in zip(others, widths[1:]))]
        lines.append("  ".join(cells))
    return lines


def _channels(values: list[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)


def _print_result(facts: dict[str, Any], problems: list[Problem], options: InspectOptions) -> None:
    """Prints what was found; as JSON together with the facts."""
    if options.json:
        told = {"verified": options.verify, "problems": [problem._asdict() for problem in problems]}
        print(json.dumps({**facts, **told}, indent=2))
    else:
        print("\n".join([*map(str, problems), _verdict(problems, options)]))


def _verdict(problems: list[Problem], options: InspectOptions) -> str:
    """The last line of what is printed."""
    if problems:
        return f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found"
    if options.verify:
        return "verified: every checksum, hash, label, count, name and picture is right"
    more = "" if is_address(options.folder) else "; --verify reads them"
    return f"the shards are there in full size{more}"


def _inspect_foreign(options: InspectOptions) -> int:
    """Inspects TFRecords of another program; returns the exit code."""
    for name in ("preview", "show", "workers"):
        value = getattr(options, name)
        options.require(name, not value, "goes with the folder of a data set, not with TFRecords of another program")
    summary = foreign_summary.summarize(options.folder, options.verify)
    if options.json:
        told = {"verified": options.verify, "problems": [problem._asdict() for problem in summary.problems]}
        print(json.dumps({**summary.facts(), **told}, indent=2))
    else:
        count = len(summary.files)
        size = sum(file.bytes for file in summary.files) / _MIB
        packed = sum(file.is_gzip for file in summary.files)
        gzip = f", {'gzip' if packed == count else f'{packed} of them gzip'}" if packed else ""
        read = f"{summary.records} records" if options.verify else f"the first {summary.records} records"
        files_ = f"{count} file{'s' if count > 1 else ''} of another program, {size:.1f} MiB{gzip}"
        print(f"{printable(options.folder)}: {files_}; {read}:\n")
        print("\n".join([*summary.lines(), "", *map(str, summary.problems)]).rstrip())
        verified = "every checksum is right, and every picture's header" if options.verify else ""
        wrong = len(summary.problems)
        print(f"{wrong} file{'s' if wrong > 1 else ''} with problems" if wrong else verified or "--verify reads all")
    return EXIT_WRONG_DATA_SET if summary.problems else 0


def main(options: InspectOptions) -> int:
    """Inspects; returns the exit code."""
    if foreign_files.are_meant(options.folder):
        return _inspect_foreign(options)
    folder = places.place_of(options.folder)
    if is_address(options.folder):
        for name in ("verify", "preview", "show"):
            options.require(name, not getattr(options, name), "reads a folder of this machine alone; copy the data set")
    try:
        made = manifest.read(folder)
    except manifest.UnreadableManifestError as error:
        _print_result({"folder": str(folder)}, [Problem(manifest.FILE_NAME, str(error))], options)
        return EXIT_WRONG_DATA_SET
    written: dict[Path, str] = {}
    if options.show:
        path, what = write_picture(Path(options.folder), made, options.show, options.output)
        written[path] = what
    if options.preview:
        sheet = contact_sheet.draw_sheet(Path(options.folder), made, options.preview_pictures)
        contact_sheet.save(sheet, Path(options.preview))
        written[Path(options.preview)] = f"{sheet.width}x{sheet.height}"
    facts = {**summary(folder, made), "written": [str(path) for path in written]}
    if not options.json:
        # Before reading it all, which takes its time.
        lines = [f"wrote {printable(str(path))}: {what}" for path, what in written.items()]
        print("\n".join([describe(facts), "", *lines]))
    if options.verify:
        problems = verify.verify(Path(options.folder), made, options.workers)
    else:
        problems = verify.check_sizes(folder, made)
    _print_result(facts, problems, options)
    return EXIT_WRONG_DATA_SET if problems else 0


if __name__ == "__main__":
    flags.run(main, InspectOptions, must_print=True)
