"""Finds the pictures of a folder that should not be trained on, for a person to decide.

These are pictures that show none of the classes, wrong labels, copies of one picture, and what is tiny, blank or
unreadable. Writes into --output suspects.csv, those to be seen first at its beginning; review.html, a page in which to
decide, with pictures and reasons; and exclude.txt, at first with what is certain alone, or with --auto the first
suspects. An exclude.txt of your own that is there stays, and this one becomes exclude.1.txt. Nothing is deleted or
moved: exclude.txt goes to tools.make_tfrecords.
"""

from __future__ import annotations

import collections
import itertools
import shlex
from pathlib import Path

from dogcat.cleaning import pieces, suspects
from dogcat.cleaning.options import CleaningOptions
from dogcat.cleaning.suspects import Suspect
from dogcat.core import cluster, commands, flags, outputs, runtime
from dogcat.core.text import printable
from dogcat.pictures import folders, labels

from .pages import review_page

TABLE, PAGE, EXCLUSIONS = "suspects.csv", "review.html", "exclude.txt"
# What the page offers as a download.
LABELS = "labels.csv"


def clean_images(options: CleaningOptions) -> tuple[list[Suspect], str]:
    """Looks at all pictures, and writes what is suspicious.

    Returns:
        The suspects that were written, at most --most; and the name of the file with the exclusions.

    Raises:
        InputError: The folder has too few pictures, an option does not fit it, or a file is in the way.
        OSError: A folder cannot be read or written.
    """
    output = folders.output_apart_from(options.images, options.output)
    outputs.require_own(output, (TABLE, PAGE))
    # Before TensorFlow is there, which no process is forked with.
    with cluster.workers_if(options.cluster, pieces.do_piece) as workers:
        from dogcat.cleaning import examine

        evidence, rejections, excluded_before = examine.examine(options, workers)
    # They stay excluded.
    earlier = "".join(map(labels.exclusion_line, excluded_before))
    found = suspects.find(evidence, rejections)
    shown = found[: options.most]
    # All that is certain, also behind the last one that is shown.
    excluded = found[: options.auto] if options.auto else [one for one in found if one.is_certain]
    of_shown = {one.path for one in shown}
    out_of_sight = "".join(labels.exclusion_line(one.path) for one in excluded if one.path not in of_shown)
    label_of = {one.key: evidence.classes[label] for one, label in zip(evidence.prints, evidence.labels)}
    lead = f"{len(evidence.prints) + len(rejections):,} pictures, {len(found):,} suspects"
    here = "" if len(shown) == len(found) else f", the first {len(shown):,} of them here"
    exclusions = _free_name(output)
    page = review_page.render(
        Path(options.images),
        shown,
        f"{lead}{here}: {_suggestions(shown)}.",
        label_of,
        evidence.classes,
        earlier + out_of_sight,
        _next_step(options, exclusions),
        options.max_pixels,
        options.workers or runtime.available_cores(),
    )
    lines = [earlier, *(labels.exclusion_line(one.path) for one in excluded)]
    contents = {
        TABLE: suspects.as_csv(shown),
        PAGE: page,
        exclusions: "".join(lines).encode("utf-8", "surrogateescape"),
    }
    outputs.write(output, contents)
    print(f"{lead}: {_counts(shown)}")
    print(_suggestions(shown))
    if exclusions != EXCLUSIONS:
        print(printable(f"the {EXCLUSIONS} in {options.output} is not this program's and stays; see {exclusions}"))
    print(printable(f"wrote {TABLE}, {PAGE} and {exclusions} ({len(excluded)} pictures) in {options.output}"))
    return shown, exclusions


def _free_name(output: Path) -> str:
    """The name of the file with the exclusions: not that of one in which a person may have decided."""
    kept = Path(EXCLUSIONS)
    names = (f"{kept.stem}.{number}{kept.suffix}" for number in itertools.count(1))
    return next(name for name in itertools.chain([EXCLUSIONS], names) if outputs.is_own(output / name))


def _counts(found: list[Suspect]) -> str:
    counts = collections.Counter(one.kind for one in found)
    return ", ".join(f"{kind} {counts[kind]}" for kind in suspects.KINDS if counts[kind]) or "none"


def _suggestions(found: list[Suspect]) -> str:
    counts = collections.Counter(one.suggestion.split(" ")[0] if one.changes else one.suggestion for one in found)
    return (
        f"suggested to drop {counts[suspects.DROP]}, to relabel {counts[suspects.RELABEL]}, to look at "
        f"{counts[suspects.LOOK]}; {counts[suspects.FINE]} are {suspects.FINE}"
    )


def _shard_command(options: CleaningOptions, exclusions: str, given_labels: str) -> str:
    """What makes a data set of the pictures."""
    given = {"images": options.images, "exclude": f"{options.output}/{exclusions}", "labels": given_labels}
    flags_given = [f"--{name}={shlex.quote(value)}" for name, value in given.items() if value]
    return " ".join([commands.spelled("make-tfrecords"), *flags_given])


def _next_step(options: CleaningOptions, exclusions: str) -> tuple[str, str]:
    """What to do with the files that the page saves, and the command."""
    own_labels = f"{options.output}/{LABELS}"
    earlier, instead = "", "leave out --labels"
    if options.labels:
        earlier, instead = f", with the lines of {options.labels} added to it", f"give --labels={options.labels}"
    words = (
        f"Save {EXCLUSIONS} as {options.output}/{exclusions} and, if you gave a picture another class, {LABELS} as "
        f"{own_labels}{earlier}; else {instead}. Then:"
    )
    return words, _shard_command(options, exclusions, own_labels)


def main(options: CleaningOptions) -> None:
    """Looks for suspects, and says what to do next."""
    runtime.prepare()
    _, exclusions = clean_images(options)
    place = f"{options.output}/{exclusions}"
    print(
        printable(
            f"next: open {options.output}/{PAGE} in a browser, decide, and save its {EXCLUSIONS} as {place}; then"
        )
    )
    print(printable(f"      {_shard_command(options, exclusions, options.labels)}"))


if __name__ == "__main__":
    flags.run(main, CleaningOptions)
