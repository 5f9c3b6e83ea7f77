"""Looks at a folder of pictures: sizes, proportions, brightness, formats, and what cannot be used.

Writes into --output a page for any browser (survey.html), a line for each picture (survey.csv), and the plots of the
page (sizes.png, histograms.png). Pictures are read as tools.make_tfrecords reads them: the same ones are unusable, for
the same reasons. With --exclude sizes are drawn before and after. Nothing in --images is changed.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dogcat.cleaning import pieces, survey, survey_verdict
from dogcat.cleaning.options import SurveyOptions
from dogcat.cleaning.survey import NO_CLASS, Survey
from dogcat.core import cluster, commands, flags, outputs, runtime
from dogcat.core.options import InputError
from dogcat.core.text import printable
from dogcat.pictures import folders, labels
from dogcat.reports.html import Plot

from .pages import survey_page, survey_plots
from .pages.survey_page import Plots, counted

PAGE, TABLE, SIZES, HISTOGRAMS = "survey.html", "survey.csv", "sizes.png", "histograms.png"


def survey_images(options: SurveyOptions) -> Survey:
    """Lists, labels and reads the pictures, then writes what was found.

    Raises:
        InputError: The folder holds no usable picture, an option does not fit it, or a file is in the way.
        OSError: A folder cannot be read or written.
    """
    output = folders.output_apart_from(options.images, options.output)
    outputs.require_own(output, (PAGE, TABLE, SIZES, HISTOGRAMS))
    with cluster.workers_if(options.cluster, pieces.do_piece) as workers:
        folder = Path(options.images)
        listing = folders.list_images(folder)
        print(listing.summary(options.images))
        label_of = _classes(listing, options)
        excluded: set[str] = set()
        if options.exclude:
            excluded = set(listing.keys).difference(labels.exclude(Path(options.exclude), listing).keys)
        looking = workers or options.workers or runtime.available_cores()
        looked_at = survey.look(folder, listing.keys, options.max_pixels, looking)
        found = survey.survey(looked_at, label_of, excluded)
    _write(found, options, output)
    return found


def describe(found: Survey, output: str) -> str:
    """The survey in a few lines for a terminal; all but the first are of the pictures that are not excluded."""
    kept = found.kept()
    excluded = found.pictures - kept.pictures
    facts = {
        "pictures": f"{len(found.usable)} usable, {len(found.unusable)} unusable, {excluded} excluded",
        "classes": _counts(picture.label or NO_CLASS for picture in kept.usable),
        "width": _range([picture.width for picture in kept.usable]),
        "height": _range([picture.height for picture in kept.usable]),
        "formats": _counts(picture.format for picture in kept.usable),
        "modes": _counts(picture.mode for picture in kept.usable),
        "orientations": _counts(str(picture.orientation) for picture in kept.usable),
        "unusable": _counts(picture.reason for picture in kept.unusable) or "none",
    }
    lines = [f"{name:<12}  {text}" for name, text in facts.items()]
    lines.append(f"{'conclusion':<12}  {survey_verdict.of_survey(found).headline}")
    lines.append(f"wrote {PAGE}, {TABLE}, {SIZES} and {HISTOGRAMS} in {output}")
    return "\n".join(map(printable, lines))


def _classes(listing: folders.Listing, options: SurveyOptions) -> dict[str, str]:
    """The class of each key that has one."""
    given = labels.read_labels(Path(options.labels), listing) if options.labels else {}
    try:
        pictures = labels.label_keys(listing, given, [], ", or give --labels")
    except labels.NoClassError:
        return {}
    return {key: pictures.classes[label] for key, label in zip(pictures.keys, pictures.labels)}


def _write(found: Survey, options: SurveyOptions, output: Path) -> None:
    """Draws everything, then writes everything."""
    kept = found.kept()
    if not kept.usable:
        reasons = _counts(picture.reason for picture in kept.unusable) or "none"
        raise InputError(f"{options.images}: no picture is usable (unusable: {reasons}); give others")
    panels = {f"{len(found.usable):,} pictures": found.usable}
    if options.exclude:
        panels = {
            f"before: {len(found.usable):,} pictures": found.usable,
            f"after: {len(kept.usable):,} pictures": kept.usable,
        }
    groups = survey_plots.group(picture.label for picture in found.usable)

    def both(draw: Callable[..., bytes], *arguments: Any) -> Plot:
        return Plot(*(draw(*arguments, groups, dark) for dark in (False, True)))

    plots = Plots(
        sizes={
            title: both(survey_plots.draw_sizes, title, pictures, found.usable) for title, pictures in panels.items()
        },
        histograms=[both(survey_plots.draw_histogram, name, kept.usable) for name in survey_plots.HISTOGRAMS],
    )
    workers = options.workers or runtime.available_cores()
    page = survey_page.render(Path(options.images), found, plots, options.max_pixels, workers)
    contents = {
        SIZES: survey_plots.beside([plot.light for plot in plots.sizes.values()], columns=len(plots.sizes)),
        HISTOGRAMS: survey_plots.beside([plot.light for plot in plots.histograms], columns=2),
        TABLE: found.as_csv(),
        PAGE: page,
    }
    outputs.write(output, contents)


def _counts(values: Iterable[str]) -> str:
    return ", ".join(f"{value} {count}" for value, count in counted(values))


def _range(values: list[int]) -> str:
    return f"{min(values)} to {max(values)} pixels, median {statistics.median(values):g}"


def main(options: SurveyOptions) -> None:
    """Surveys, and says what to do next."""
    found = survey_images(options)
    print(describe(found, options.output))
    given = {"images": options.images, "labels": options.labels, "exclude": options.exclude}
    arguments = [f"--{name}={shlex.quote(value)}" for name, value in given.items() if value]
    if not any(picture.label for picture in found.usable):
        arguments.append("--unlabeled")
    page, command = f"{options.output}/{PAGE}", f"{commands.spelled('make-tfrecords')} {' '.join(arguments)}"
    print(printable(f"next: look at {page}, then {command}"))


if __name__ == "__main__":
    flags.run(main, SurveyOptions)
