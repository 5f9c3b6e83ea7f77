"""Names of outliers beside their dots in the plot of sizes, where there is room for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from dogcat.cleaning.survey import Usable, outliers
from dogcat.core import plot_style

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from . import lettering

SIZE_OUTLIERS: dict[str, Callable[[Usable], float]] = {
    "widest": lambda picture: picture.width,
    "tallest": lambda picture: picture.height,
    "smallest": lambda picture: -picture.area,
    "flattest": lambda picture: picture.aspect,
    "narrowest": lambda picture: -picture.aspect,
}
# Pictures named for each kind of outlier.
_MOST_OUTLIERS = 2
_NAME_POINTS = 8
# Pixels between a dot and its name, the best first.
_NAME_DISTANCES = (6, 20, 40, 60, 90, 130, 180)
# Pixels; a longer name loses its middle.
_LONGEST_NAME = 210
# Points of the line from a dot to its name that are looked at.
_LINE_POINTS = 12


def shortened(name: str, width: int) -> str:
    """A name as it fits into `width` pixels at the size of these names."""
    return lettering.shorten(name, lettering.font(_NAME_POINTS * plot_style.DPI // 72), width)


def write(axes: Axes, pictures: Sequence[Usable]) -> None:
    """Writes the names of outliers beside their dots, but for those that have no room: the page has a table of all.

    Args:
        axes: Width against height, with the dots as its first collection, in their final place.
        pictures: Those that are drawn.
    """
    dots = axes.transData.transform(axes.collections[0].get_offsets())
    # The names of the proportions stand there already.
    taken = [text.get_window_extent() for text in axes.texts]
    lines = np.empty((0, 2))
    found = outliers(pictures, SIZE_OUTLIERS, _MOST_OUTLIERS)
    for picture in dict.fromkeys(itertools.chain.from_iterable(found.values())):
        name = axes.annotate(
            shortened(picture.path, _LONGEST_NAME),
            (picture.width, picture.height),
            (0, 0),
            textcoords="offset pixels",
            size=_NAME_POINTS,
            va="bottom",
            arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2},
            in_layout=False,
        )
        point = axes.transData.transform(name.xy)
        size = np.array(name.get_window_extent().size)
        place = _room_near(point, size, dots, lines, axes.get_window_extent(), taken)
        if place is None:
            name.remove()
            continue
        taken.append(place)
        lines = np.concatenate([lines, _lines(point, *place.get_points())])
        name.set_position((place.x0 - point[0], place.y0 - point[1]))


def _lines(point: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> np.ndarray:
    """Points of the lines from a dot to the nearest places of boxes, whose corners are [..., 2]: [..., points, 2]."""
    ends = np.clip(point, lows, highs)[..., np.newaxis, :]
    return point + np.linspace(0, 1, _LINE_POINTS)[:, np.newaxis] * (ends - point)


def _room_near(
    point: np.ndarray, size: np.ndarray, dots: np.ndarray, lines: np.ndarray, frame: Bbox, taken: Sequence[Bbox]
) -> Bbox | None:
    """The place near `point` for a name of `size`, in pixels: in the frame, free of other names and of their lines.

    Among such places that with the fewest dots below it; None where there is none.
    """
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # From the point to the name's edge, not to its middle.
    reaches = np.array(_NAME_DISTANCES)[:, np.newaxis, np.newaxis] + size / 2
    middles = (point + directions * reaches).reshape(-1, 2)
    lows, highs = middles - size / 2, middles + size / 2
    is_free = ((lows >= frame.min) & (highs <= frame.max)).all(axis=1)
    own_lines = _lines(point, lows, highs)
    for other in taken:
        is_free &= ~((lows - 3 <= other.max) & (highs + 3 >= other.min)).all(axis=1)
        is_free &= ~((other.min < own_lines) & (own_lines < other.max)).all(axis=2).any(axis=1)
    places = [Bbox(box) for box in np.stack([lows, highs], axis=1)[is_free]]
    places = [place for place in places if not place.count_contains(lines)]
    return min(places, key=lambda place: place.padded(4).count_contains(dots), default=None)
