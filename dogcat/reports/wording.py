"""Figures, times and names as the pages of runs word them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dogcat.core.text import printable
from dogcat.evaluation.bootstrap import Interval

# More classes are counted, not listed, and their confusion matrix is told by its largest cells.
MOST_CLASSES = 12
# A longer name of a class loses its end in legends.
_LONGEST_LEGEND = 24


def duration(seconds: float) -> str:
    """A time in words."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def interval_text(interval: Interval, form: str = ".4f") -> str:
    """The ends of an interval; `-` where the pictures tell none, empty where the figure itself is not defined."""
    if math.isnan(interval.value):
        return ""
    return f"{interval.low:{form}} to {interval.high:{form}}" if interval.is_known else "-"


def share_range(share: Interval) -> str:
    """The interval of a share, in percent; never rounded to certainty."""
    low, high = (f"{min(end, 0.999) if end < 1 else end:.1%}" for end in (share.low, share.high))
    return f"{low.removesuffix('%')}–{high}"


def figure_text(value: float, form: str = ".4f") -> str:
    """A figure, or that it is not defined."""
    return "undefined" if math.isnan(value) else f"{value:{form}}"


def probability_text(value: float) -> str:
    """A probability, never rounded to certainty."""
    return f"{value:.2%}" if 0.0001 <= value <= 0.9999 else f"{value:.4g}" if value < 0.5 else "above 99.99%"


def listed(classes: Sequence[str]) -> str:
    """The names of classes in a sentence; of many their number."""
    if len(classes) > MOST_CLASSES:
        return f"{len(classes)} classes"
    return f"{', '.join(classes[:-1])} and {classes[-1]}"


def legend_names(classes: Sequence[str]) -> list[str]:
    """Names of classes or runs as a plot can show them."""
    shown = [printable(name) for name in classes]
    return [name if len(name) <= _LONGEST_LEGEND else name[: _LONGEST_LEGEND - 1] + "…" for name in shown]
