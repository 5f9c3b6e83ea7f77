"""Plots of a survey: width against height, and histograms; as readable for 25,000 pictures as for ten."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from dogcat.cleaning.survey import NO_CLASS, Usable, outliers
from dogcat.core import plot_style

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from matplotlib.transforms import Bbox

from . import lettering

# Cells along each axis of the plot of sizes, whose pictures share a dot: with more of them dots would overlap.
_CELLS = 130
# Area of a dot in square points: of a single picture, and of the cell with most.
_SMALLEST_DOT, _LARGEST_DOT = 7, 40
# How far a dot's colour goes towards black (on black: towards white) in the cell with most.
_SHADE = 0.6
# An axis is logarithmic where the largest value is more than this many times the median.
_LONG_TAIL = 5
_MARGIN = 0.04
_PROPORTIONS = {
    **{"1:4": 1 / 4, "1:2": 1 / 2, "2:3": 2 / 3, "3:4": 3 / 4, "1:1": 1.0},
    **{"4:3": 4 / 3, "3:2": 3 / 2, "2:1": 2.0, "4:1": 4.0},
}
# Those that are lines in the plot of sizes.
_LINES = ("3:4", "1:1", "4:3")
# Fewest and most bins of a histogram; twice the root of the number of pictures in between.
_BINS = (15, 65)
# Histograms are filled for this many classes at most; more would be mud.
_MOST_FILLED = 3

WIDTH, HEIGHT = "width, pixels", "height, pixels"
AREA, ASPECT = "area, megapixels", "width : height"
BYTES, BRIGHTNESS = "size of the file, kB", "brightness, 0 (black) to 255 (white)"
MEASURES: dict[str, Callable[[Usable], float]] = {
    WIDTH: lambda picture: picture.width,
    HEIGHT: lambda picture: picture.height,
    AREA: lambda picture: picture.area / 1e6,
    ASPECT: lambda picture: picture.aspect,
    BYTES: lambda picture: picture.bytes / 1e3,
    BRIGHTNESS: lambda picture: picture.brightness,
}
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
_NAME_DISTANCES = (6, 20, 40, 60, 90)
# Pixels; a longer name loses its middle.
_LONGEST_NAME = 230
_LONGEST_CLASS = 90
# As many as a panel has room for with names as long as that.
_LEGEND_COLUMNS = 6


class Groups(NamedTuple):
    """Classes by the colour that they are drawn in.

    Attributes:
        names: What the legend calls each group.
        colours: float [groups, 3], RGB, 0 to 1.
        of_label: Index of each class's group.
    """

    names: list[str]
    colours: np.ndarray
    of_label: dict[str, int]


def group(labels: Iterable[str]) -> Groups:
    """Gives the largest classes a colour each, and all further ones a common one.

    Args:
        labels: The class of each picture; empty where nothing tells it.
    """
    counts = collections.Counter(labels)
    alone = sorted(label for label, _ in counts.most_common(len(plot_style.COLOURS)))
    others = counts.keys() - set(alone)
    names = [_shortened(label or NO_CLASS, _LONGEST_CLASS) for label in alone]
    colours = list(plot_style.COLOURS[: len(alone)])
    of_label = {label: index for index, label in enumerate(alone)}
    if others:
        names.append(f"{len(others)} more")
        colours.append(plot_style.COLOUR_OF_OTHERS)
        of_label |= dict.fromkeys(others, len(alone))
    return Groups(names, np.array([to_rgb(colour) for colour in colours]), of_label)


def draw_sizes(panels: Mapping[str, Sequence[Usable]], groups: Groups, dark: bool) -> bytes:
    """Draws width against height, panels side by side on the same axes, outliers with their names.

    Pictures of nearly the same size share a dot, which is larger and darker (on black: lighter) for more of them, and
    whose colour is the mean of theirs. Curves along the edges count the pictures of each class.

    Args:
        panels: Pictures by title, at least one each; the first panel has all that the others have.
        groups: The groups of all their classes.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    with plot_style.style(dark):
        figure = plt.figure(figsize=(7.2 * len(panels), 6.8), layout="constrained")
        parts = figure.subfigures(1, len(panels), squeeze=False)[0]
        everything = next(iter(panels.values()))
        for part, (title, pictures) in zip(parts, panels.items()):
            _draw_panel(part, pictures, everything, groups, dark)
            part.suptitle(title, fontsize="medium")
        # Names are put where there is room, which is known when everything else has its place.
        figure.draw_without_rendering()
        for part, pictures in zip(parts, panels.values()):
            _name_outliers(part.axes[2], pictures)
        return plot_style.png(figure)


def draw_histograms(pictures: Sequence[Usable], groups: Groups, dark: bool) -> bytes:
    """Draws how area, proportions, size of the file and brightness are spread in each class.

    Args:
        pictures: At least one.
        groups: The groups of all their classes.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    with plot_style.style(dark):
        figure, grid = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
        of_group = _groups_of(pictures, groups)
        for axes, name in zip(grid.flat, (AREA, ASPECT, BYTES, BRIGHTNESS)):
            values = np.array([MEASURES[name](picture) for picture in pictures])
            if name == ASPECT:
                _scale_proportions(axes, values)
            elif name == BRIGHTNESS:
                axes.set_xlim(0, 255)
            else:
                _scale(axes, "x", values)
            _draw_steps(axes, values, of_group, groups)
            axes.set(xlabel=name, ylabel="pictures")
            axes.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
            axes.grid(alpha=0.25)
        figure.legend(handles=_class_handles(groups), loc="outside upper center", ncols=_LEGEND_COLUMNS)
        return plot_style.png(figure)


def _groups_of(pictures: Sequence[Usable], groups: Groups) -> np.ndarray:
    return np.array([groups.of_label[picture.label] for picture in pictures])


def _draw_panel(
    part: SubFigure, pictures: Sequence[Usable], everything: Sequence[Usable], groups: Groups, dark: bool
) -> None:
    """Draws one plot of sizes: the dots, a curve of the widths above and of the heights to the right."""
    grid = part.subplots(2, 2, sharex="col", sharey="row", width_ratios=(6, 1), height_ratios=(1, 6))
    (top, corner), (main, right) = grid
    _scale(main, "x", np.array([picture.width for picture in everything]))
    _scale(main, "y", np.array([picture.height for picture in everything]))
    widths = np.array([picture.width for picture in pictures])
    heights = np.array([picture.height for picture in pictures])
    of_group = _groups_of(pictures, groups)
    handles = _draw_dots(main, widths, heights, of_group, groups, dark)
    main.set(xlabel=WIDTH, ylabel=HEIGHT)
    _draw_steps(top, widths, of_group, groups)
    _draw_steps(right, heights, of_group, groups, "horizontal")
    for axes in (top, corner, right):
        axes.set_axis_off()
    _draw_proportions(main)
    handles = [*_class_handles(groups), *handles]
    part.legend(handles=handles, loc="outside lower center", ncols=_LEGEND_COLUMNS)


def _class_handles(groups: Groups) -> list[Line2D]:
    # With the space, since some releases of Matplotlib leave out of a legend what begins with an underscore.
    return [
        Line2D([], [], color=colour, marker="o", markersize=6, linestyle="", label=f" {name}")
        for name, colour in zip(groups.names, groups.colours)
    ]


def _scale(axes: Axes, name: Literal["x", "y"], values: np.ndarray) -> None:
    """Gives an axis of positive values its scale, limits and ticks."""
    axis = axes.xaxis if name == "x" else axes.yaxis
    low, high = values.min(), values.max()
    if high > _LONG_TAIL * np.median(values):
        margin = (high / low) ** _MARGIN
        axes.set(**{f"{name}scale": "log", f"{name}lim": (low / margin, high * margin)})
        # Over more decades there is room for the powers of ten alone.
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 2000 * low else (1,)))
        axis.set_minor_locator(NullLocator())
    else:
        axes.set(**{f"{name}lim": (0, high * (1 + _MARGIN))})
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))


def _scale_proportions(axes: Axes, values: np.ndarray) -> None:
    """Gives the x axis the scale, limits and ticks for width : height, where 1:2 is as far from 1:1 as 2:1."""
    axes.set(xscale="log", xlim=(values.min() / 1.1, values.max() * 1.1))
    axes.xaxis.set_major_locator(FixedLocator(list(_PROPORTIONS.values())))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda _, place: list(_PROPORTIONS)[place or 0]))
    axes.xaxis.set_minor_locator(NullLocator())


def _along(axis: Axis, values: np.ndarray) -> np.ndarray:
    """Where values lie on an axis, 0 to 1 between its limits."""
    scale = axis.get_transform()
    low, high = scale.transform(np.array(axis.get_view_interval()))
    return (scale.transform(values) - low) / (high - low)


def _draw_dots(
    axes: Axes, widths: np.ndarray, heights: np.ndarray, of_group: np.ndarray, groups: Groups, dark: bool
) -> list[Line2D]:
    """Draws a dot for each cell that has pictures; returns what the legend says of numbers."""
    column, row = (
        np.floor(_CELLS * _along(axis, values)).astype(int)
        for axis, values in ((axes.xaxis, widths), (axes.yaxis, heights))
    )
    cells, of_picture, counts = np.unique(column * (_CELLS + 1) + row, return_inverse=True, return_counts=True)
    shares = np.zeros((len(cells), len(groups.names)))
    np.add.at(shares, (of_picture, of_group), 1 / counts[of_picture])
    # The emptiest first, so that the fullest are on top.
    order = counts.argsort(kind="stable")
    most = int(counts.max())
    areas, colours = _dots(counts, most, shares @ groups.colours, dark)
    x, y = (np.bincount(of_picture, values) / counts for values in (widths, heights))
    axes.scatter(x[order], y[order], areas[order], colours[order], linewidths=0)
    examples = [10**power for power in range(len(str(most)))]
    grey = np.array([to_rgb(plot_style.COLOUR_OF_OTHERS)])
    handles = []
    for count in examples:
        [area], [colour] = _dots(np.array([count]), most, grey, dark)
        label = f"{count:,} picture{'s' if count > 1 else ''}"
        handles.append(Line2D([], [], color=colour, marker="o", markersize=area**0.5, linestyle="", label=label))
    return handles


def _dots(counts: np.ndarray, most: int, colours: np.ndarray, dark: bool) -> tuple[np.ndarray, np.ndarray]:
    """Area in square points and RGB of the dots of cells with so many pictures, in colours [cells, 3]."""
    # Of few pictures no two make the darkest dot.
    fullness = np.log(counts) / np.log(max(most, 10))
    shade = _SHADE * fullness[:, None]
    return _SMALLEST_DOT + (_LARGEST_DOT - _SMALLEST_DOT) * fullness, colours * (1 - shade) + (shade if dark else 0)


def _draw_steps(
    axes: Axes,
    values: np.ndarray,
    of_group: np.ndarray,
    groups: Groups,
    orientation: Literal["vertical", "horizontal"] = "vertical",
) -> None:
    """Draws a histogram of each group along the axis that has the values, over the limits that it has."""
    axis = axes.xaxis if orientation == "vertical" else axes.yaxis
    scale = axis.get_transform()
    low, high = scale.transform(np.array(axis.get_view_interval()))
    bins = int(np.clip(2 * len(values) ** 0.5, *_BINS))
    edges = scale.inverted().transform(np.linspace(low, high, bins + 1))
    for index, colour in enumerate(groups.colours):
        counts = np.histogram(values[of_group == index], edges)[0].astype(float)
        # Where there is nothing, no line is drawn.
        counts[counts == 0] = np.nan
        if len(groups.names) <= _MOST_FILLED:
            axes.stairs(counts, edges, orientation=orientation, color=(*colour, 0.2), fill=True)
        axes.stairs(counts, edges, orientation=orientation, color=colour, linewidth=1.2)


def _draw_proportions(axes: Axes) -> None:
    """Draws a faint line for pictures of each common proportion, with its name where it leaves the plot."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for name in _LINES:
        ratio = _PROPORTIONS[name]
        end = min(right, top * ratio)
        x = np.geomspace(max(left, bottom * ratio, 1), end, 100)
        axes.plot(x, x / ratio, color="grey", linewidth=0.7, linestyle=":", zorder=0)
        axes.annotate(
            name, (end, end / ratio), (-3, -3), textcoords="offset points", ha="right", va="top", color="grey", size=8
        )


def _shortened(name: str, width: int) -> str:
    return lettering.shorten(name, lettering.font(_NAME_POINTS * plot_style.DPI // 72), width)


def _name_outliers(axes: Axes, pictures: Sequence[Usable]) -> None:
    """Writes the names of outliers beside their dots."""
    dots = axes.transData.transform(axes.collections[0].get_offsets())
    # The names of the proportions stand there already.
    taken = [text.get_window_extent() for text in axes.texts]
    found = outliers(pictures, SIZE_OUTLIERS, _MOST_OUTLIERS)
    for picture in dict.fromkeys(itertools.chain.from_iterable(found.values())):
        name = axes.annotate(
            _shortened(picture.path, _LONGEST_NAME),
            (picture.width, picture.height),
            (0, 0),
            textcoords="offset pixels",
            size=_NAME_POINTS,
            va="bottom",
            arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2},
            in_layout=False,
        )
        point = axes.transData.transform(name.xy)
        place = _room_near(point, np.array(name.get_window_extent().size), dots, axes.get_window_extent(), taken)
        taken.append(place)
        name.set_position((place.x0 - point[0], place.y0 - point[1]))


def _room_near(point: np.ndarray, size: np.ndarray, dots: np.ndarray, frame: Bbox, taken: Sequence[Bbox]) -> Bbox:
    """The place near `point` for a name of `size`: in the frame, over no other name and the fewest dots; in pixels."""
    places = []
    for distance in _NAME_DISTANCES:
        for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
            # From the point to the name's edge, not to its middle.
            middle = point + np.array([np.cos(angle), np.sin(angle)]) * (distance + size / 2)
            places.append(Bbox([middle - size / 2, middle + size / 2]))

    def cost(place: Bbox) -> int:
        bad = (
            any(place.padded(3).overlaps(other) for other in taken)
            or place.union([place, frame]).bounds != frame.bounds
        )
        return place.padded(4).count_contains(dots) + bad * len(dots)

    return min(places, key=cost)
