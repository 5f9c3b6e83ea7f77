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

from dogcat.cleaning import suspects
from dogcat.cleaning.options import CleaningOptions
from dogcat.cleaning.suspects import Suspect
from dogcat.core import commands, flags, outputs, runtime
from dogcat.core.text import printable
from dogcat.pictures import folders, labels

from .pages import review_page

TABLE, PAGE, EXCLUSIONS = "suspects.csv", "review.html", "exclude.txt"


def clean_images(options: CleaningOptions) -> tuple[list[Suspect], str]:
    """Looks at all pictures, and writes what is suspicious.

    Returns:
        The suspects that were written, at most --most; and the name of the file with the exclusions.

    Raises:
        InputError: The folder has too few pictures, an option does not fit it, or a file is in the way.
        OSError: A folder cannot be read or written.
    """
    from dogcat.cleaning import examine

    output = folders.output_apart_from(options.images, options.output)
    outputs.require_own(output, (TABLE, PAGE))
    evidence, rejections, excluded_before = examine.examine(options)
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
    page = review_page.render(
        Path(options.images),
        shown,
        f"{lead}." if len(shown) == len(found) else f"{lead}, the first {len(shown):,} of them here.",
        label_of,
        evidence.classes,
        earlier + out_of_sight,
        options.max_pixels,
        options.workers or runtime.available_cores(),
    )
    lines = [earlier, *(labels.exclusion_line(one.path) for one in excluded)]
    exclusions = _free_name(output)
    contents = {
        TABLE: suspects.as_csv(shown),
        PAGE: page,
        exclusions: "".join(lines).encode("utf-8", "surrogateescape"),
    }
    outputs.write(output, contents)
    print(f"{lead}: {_counts(shown)}")
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


def main(options: CleaningOptions) -> None:
    """Looks for suspects, and says what to do next."""
    runtime.prepare()
    _, exclusions = clean_images(options)
    place = f"{options.output}/{exclusions}"
    command = [f"--images={shlex.quote(options.images)}", f"--exclude={shlex.quote(place)}"]
    if options.labels:
        command.append(f"--labels={shlex.quote(options.labels)}")
    print(
        printable(
            f"next: open {options.output}/{PAGE} in a browser, decide, and save its {EXCLUSIONS} as {place}; then"
        )
    )
    print(printable(f"      {commands.spelled('make-tfrecords')} {' '.join(command)}"))


if __name__ == "__main__":
    flags.run(main, CleaningOptions)
