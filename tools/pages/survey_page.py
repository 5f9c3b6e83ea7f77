"""What survey.html says: tables and descriptions of a survey."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import dogcat
from dogcat.cleaning import survey, survey_verdict
from dogcat.cleaning.survey import NO_CLASS, Survey, Unusable, Usable
from dogcat.reports import html
from dogcat.reports.html import Plot, Table

from . import thumbnails
from .outlier_names import SIZE_OUTLIERS
from .survey_plots import HISTOGRAMS, MEASURES

_PERCENTILES = {"lowest": 0, "1%": 1, "median": 50, "99%": 99, "highest": 100}
_OUTLIERS: dict[str, Callable[[Usable], float]] = {
    **SIZE_OUTLIERS,
    "darkest": lambda picture: -picture.brightness,
    "brightest": lambda picture: picture.brightness,
    "fewest bytes": lambda picture: -picture.bytes,
    "most bytes": lambda picture: picture.bytes,
}
_MOST_OUTLIERS = 3
# Longest side, in pixels.
_THUMBNAIL_SIDE = 160
# Classes that the descriptions of plots list by name.
_MOST_NAMED_CLASSES = 6
# Rows of the table of unusable files; survey.csv has them all.
_MOST_UNUSABLE = 500
_MODES = {
    "RGB": "RGB, colour",
    "L": "L, grey",
    "CMYK": "CMYK, colours of print",
    "P": "P, palette",
    "RGBA": "RGBA, colour and transparency",
    "LA": "LA, grey and transparency",
    "1": "1, black and white",
    "I;16": "I;16, grey of 16 bits",
}
_ORIENTATIONS = {
    1: "1, upright or not told",
    2: "2, mirrored",
    3: "3, upside down",
    4: "4, upside down and mirrored",
    5: "5, on its side and mirrored",
    6: "6, on its side",
    7: "7, on its other side and mirrored",
    8: "8, on its other side",
}


class Plots(NamedTuple):
    """The plots of the page.

    Attributes:
        sizes: Width against height by title: of all pictures or, where some are excluded, before and after that.
        histograms: One for each of `HISTOGRAMS`.
    """

    sizes: dict[str, Plot]
    histograms: list[Plot]


def render(folder: Path, found: Survey, plots: Plots, max_pixels: int, workers: int) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        folder: The folder of pictures.
        found: Its pictures, excluded ones too; at least one usable picture is not excluded.
        plots: The plots.
        max_pixels: Pictures of more pixels are not shown.
        workers: Number of threads.
    """
    kept = found.kept().usable
    excluded = found.pictures - found.kept().pictures
    of_excluded = f" The {excluded:,} excluded ones are only in the table of classes and in the plot before."
    spread = _spread(kept)
    outliers = survey.outliers(kept, _OUTLIERS, _MOST_OUTLIERS)
    names = [name for name, _ in counted(picture.label or NO_CLASS for picture in kept)]
    classes = " and ".join(names) if len(names) <= _MOST_NAMED_CLASSES else f"{len(names)} classes"
    judged = survey_verdict.of_survey(found)
    return html.render(
        "survey.html",
        made_by=f"dogcat {dogcat.__version__}",
        folder=str(folder),
        verdict=judged,
        lead=f"{found.pictures:,} pictures, {len(found.unusable):,} of them unusable."
        + (of_excluded if excluded else ""),
        classes=_classes(found),
        sizes=html.figure(
            [
                (
                    plot,
                    f"Scatter plot of width against height, {title} ({classes}). {_in_words(spread.rows[:2])}. "
                    f"Outliers: {_sizes_in_words(outliers)}.",
                )
                for title, plot in plots.sizes.items()
            ],
            "A dot is a picture, or several of nearly the same size. The more they are, the larger it is, and the "
            "farther its colour, the mean of their classes', is from that in the legend. Curves along the edges count "
            "pictures by width and by height.",
        ),
        spread=spread,
        histograms=html.figure(
            [
                (plot, f"Histogram of {name}, a curve for each class ({classes}). {_in_words([row])}.")
                for name, plot, row in zip(HISTOGRAMS, plots.histograms, spread.rows[2:])
            ],
            "Proportions are on a logarithmic scale, area and size of the file where a few far exceed the others.",
        ),
        outliers=_outliers(folder, outliers, max_pixels, workers),
        files=[
            Table("By format", ["format", "pictures"], counted(picture.format for picture in kept)),
            Table("By colour mode", ["mode", "pictures"], counted(_MODES.get(p.mode, p.mode) for p in kept)),
            Table("By EXIF orientation", ["stored", "pictures"], counted(_ORIENTATIONS[p.orientation] for p in kept)),
        ],
        unusable=_unusable(found.unusable),
    )


def counted(values: Iterable[str]) -> list[tuple[str, int]]:
    """Each value with its number, the most common first, then by name."""
    return sorted(collections.Counter(values).items(), key=lambda pair: (-pair[1], os.fsencode(pair[0])))


def _classes(found: Survey) -> Table:
    """Numbers of each class, of all pictures."""
    usable = collections.Counter(picture.label for picture in found.usable)
    unusable = collections.Counter(picture.label for picture in found.unusable)
    excluded = collections.Counter(picture.label for picture in found.usable if picture.excluded)
    excluded.update(picture.label for picture in found.unusable if picture.excluded)
    rows = [
        (label or NO_CLASS, usable[label] + unusable[label], usable[label], unusable[label], excluded[label])
        for label in sorted(usable | unusable)
    ]
    return Table("Pictures of each class", ["class", "pictures", "usable", "unusable", "excluded"], rows)


def _spread(pictures: Sequence[Usable]) -> Table:
    rows = []
    for name, measure in MEASURES.items():
        values = np.percentile([measure(picture) for picture in pictures], list(_PERCENTILES.values()))
        rows.append((name, *map(_rounded, values)))
    return Table("How the pictures are spread", ["", *_PERCENTILES], rows)


def _rounded(value: float) -> int | float:
    """Whole numbers as they are, others to three digits."""
    three_digits = float(f"{value:.3g}")
    return round(value) if value == round(value) or three_digits >= 100 else three_digits


def _in_words(rows: Sequence[Sequence[Any]]) -> str:
    return "; ".join(f"{name}: {low} to {high}, median {median}" for name, low, _, median, _, high in rows)


def _sizes_in_words(outliers: Mapping[str, Sequence[Usable]]) -> str:
    """The outliers by size, each once."""
    of_size = (picture for what in SIZE_OUTLIERS for picture in outliers[what])
    return ", ".join(dict.fromkeys(f"{one.path} {one.width}x{one.height}" for one in of_size)) or "none"


def _outliers(folder: Path, outliers: Mapping[str, Sequence[Usable]], max_pixels: int, workers: int) -> Table:
    shown = [(what, picture) for what, those in outliers.items() for picture in those]
    small = thumbnails.make(folder, [(picture.path, _THUMBNAIL_SIDE) for _, picture in shown], max_pixels, workers)
    rows = [
        (
            what,
            html.Thumbnail(small[picture.path, _THUMBNAIL_SIDE], picture.path),
            picture.path,
            picture.label or NO_CLASS,
            picture.width,
            picture.height,
            picture.bytes,
            picture.brightness,
        )
        for what, picture in shown
    ]
    heads = ["which", "", "picture", "class", "width", "height", "bytes", "brightness"]
    return Table(f"Outliers, up to {_MOST_OUTLIERS} of a kind; none where more pictures are equal", heads, rows)


def _unusable(pictures: Sequence[Unusable]) -> Table:
    shown = [(picture.path, picture.reason, picture.detail) for picture in pictures[:_MOST_UNUSABLE]]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counted(picture.reason for picture in pictures))
    more = f"; the first {_MOST_UNUSABLE} of them, all are in survey.csv" if len(pictures) > _MOST_UNUSABLE else ""
    return Table(f"By reason: {reasons}{more}", ["picture", "reason", "detail"], shown)
