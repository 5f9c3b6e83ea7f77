"""What survey.html says: tables and descriptions of a survey."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

import dogcat
from dogcat.cleaning import survey
from dogcat.cleaning.survey import NO_CLASS, Survey, Unusable, Usable
from dogcat.reports import html
from dogcat.reports.html import Plot, Table

from .survey_plots import MEASURES, SIZE_OUTLIERS

_PERCENTILES = {"lowest": 0, "1%": 1, "median": 50, "99%": 99, "highest": 100}
_OUTLIERS: dict[str, Callable[[Usable], float]] = {
    **SIZE_OUTLIERS,
    "darkest": lambda picture: -picture.brightness,
    "brightest": lambda picture: picture.brightness,
    "fewest bytes": lambda picture: -picture.bytes,
    "most bytes": lambda picture: picture.bytes,
}
_MOST_OUTLIERS = 3
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


def render(folder: str, found: Survey, sizes: Plot, histograms: Plot) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        folder: Name of the folder of pictures.
        found: Its pictures, excluded ones too; at least one usable picture is not excluded.
        sizes: Plot of the sizes.
        histograms: Histograms of the pictures that are not excluded.
    """
    kept = found.kept().usable
    excluded = found.pictures - found.kept().pictures
    of_excluded = f" The {excluded:,} excluded ones are only in the table of classes and in the plot before."
    panels = f"On the left before {excluded:,} were excluded, on the right after it. " if excluded else ""
    spread, outliers = _spread(kept), _outliers(kept)
    by_size = (f"{row[1]} {row[3]}x{row[4]}" for row in outliers.rows if row[0] in SIZE_OUTLIERS)
    names = [name for name, _ in counted(picture.label or NO_CLASS for picture in kept)]
    classes = " and ".join(names) if len(names) <= _MOST_NAMED_CLASSES else f"{len(names)} classes"
    return html.render(
        "survey.html",
        made_by=f"dogcat {dogcat.__version__}",
        folder=folder,
        lead=f"{found.pictures:,} pictures, {len(found.unusable):,} of them unusable."
        + (of_excluded if excluded else ""),
        classes=_classes(found),
        sizes=html.figure(
            [
                (
                    sizes,
                    f"Scatter plot of width against height, {len(kept):,} pictures ({classes}). "
                    f"{_in_words(spread.rows[:2])}. "
                    f"{panels}Outliers: {', '.join(dict.fromkeys(by_size)) or 'none'}.",
                )
            ],
            "A dot is a picture, or several of nearly the same size. The more they are, the larger it is, and the "
            "farther its colour, the mean of their classes', is from that in the legend. Curves along the edges count "
            "pictures by width and by height.",
        ),
        spread=spread,
        histograms=html.figure(
            [(histograms, f"Four histograms, a curve for each class ({classes}). {_in_words(spread.rows[2:])}.")],
            "Proportions are on a logarithmic scale, area and size of the file where a few far exceed the others.",
        ),
        outliers=outliers,
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


def _outliers(pictures: Sequence[Usable]) -> Table:
    rows = [
        (
            what,
            picture.path,
            picture.label or NO_CLASS,
            picture.width,
            picture.height,
            picture.bytes,
            picture.brightness,
        )
        for what, those in survey.outliers(pictures, _OUTLIERS, _MOST_OUTLIERS).items()
        for picture in those
    ]
    heads = ["which", "picture", "class", "width", "height", "bytes", "brightness"]
    return Table(f"Outliers, up to {_MOST_OUTLIERS} of a kind; none where more pictures are equal", heads, rows)


def _unusable(pictures: Sequence[Unusable]) -> Table:
    shown = [(picture.path, picture.reason, picture.detail) for picture in pictures[:_MOST_UNUSABLE]]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counted(picture.reason for picture in pictures))
    more = f"; the first {_MOST_UNUSABLE} of them, all are in survey.csv" if len(pictures) > _MOST_UNUSABLE else ""
    return Table(f"By reason: {reasons}{more}", ["picture", "reason", "detail"], shown)
