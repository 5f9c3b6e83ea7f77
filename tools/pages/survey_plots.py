"""Plots of a survey: width against height, and histograms; as readable for 25,000 pictures as for ten."""

from __future__ import annotations

import collections
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from dogcat.cleaning.survey import NO_CLASS, Usable
from dogcat.core import plot_style

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from . import outlier_names

# Cells along each axis of the plot of sizes, whose pictures share a dot: with more of them dots would overlap.
_CELLS = 130
# Area of a dot in square points: of a single picture, and of the cell with most.
_SMALLEST_DOT, _LARGEST_DOT = 7, 40
# How far a dot's colour goes towards black (on black: towards white) in the cell with most.
_SHADE = 0.6
# An axis is logarithmic where the largest value is more than this many times the median.
_LONG_TAIL = 5
_MARGIN = 0.04
# The first have the axis first where there is no room for all.
_PROPORTIONS = {
    **{"1:1": 1.0, "3:4": 3 / 4, "4:3": 4 / 3, "1:2": 1 / 2, "2:1": 2.0, "1:4": 1 / 4, "4:1": 4.0},
    **{"2:3": 2 / 3, "3:2": 3 / 2, "1:10": 1 / 10, "10:1": 10.0},
}
# Between their names on an axis, as a share of it.
_NAME_ROOM = 0.1
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
HISTOGRAMS = (AREA, ASPECT, BYTES, BRIGHTNESS)
# Width and height of the plot of sizes, in inches.
_SIZES = (6.2, 6.2)
# Pixels; a longer name loses its middle.
_LONGEST_CLASS = 90
# As many as a panel has room for with names as long as that.
_LEGEND_COLUMNS, _HISTOGRAM_COLUMNS = 5, 4


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
    names = [outlier_names.shortened(label or NO_CLASS, _LONGEST_CLASS) for label in alone]
    colours = list(plot_style.COLOURS[: len(alone)])
    of_label = {label: index for index, label in enumerate(alone)}
    if others:
        names.append(f"{len(others)} more")
        colours.append(plot_style.COLOUR_OF_OTHERS)
        of_label |= dict.fromkeys(others, len(alone))
    return Groups(names, np.array([to_rgb(colour) for colour in colours]), of_label)


def draw_sizes(
    title: str, pictures: Sequence[Usable], everything: Sequence[Usable], groups: Groups, dark: bool
) -> bytes:
    """Draws width against height, outliers with their names.

    Pictures of nearly the same size share a dot, which is larger and darker (on black: lighter) for more of them, and
    whose colour is the mean of theirs. Curves along the edges count the pictures of each class.

    Args:
        title: What stands above.
        pictures: At least one.
        everything: These and further ones that the axes have room for.
        groups: The groups of all their classes.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    with plot_style.style(dark):
        figure = plt.figure(figsize=_SIZES, layout="constrained")
        _draw_panel(figure, pictures, everything, groups, dark)
        figure.suptitle(title, fontsize="medium")
        # Names are put where there is room, which is known when everything else has its place.
        figure.draw_without_rendering()
        outlier_names.write(figure.axes[2], pictures)
        return plot_style.png(figure)


def draw_histogram(name: str, pictures: Sequence[Usable], groups: Groups, dark: bool) -> bytes:
    """Draws how one of `HISTOGRAMS` is spread in each class.

    Args:
        name: Which measure.
        pictures: At least one.
        groups: The groups of all their classes.
        dark: Draw on black instead of white.

    Returns:
        A PNG.
    """
    with plot_style.style(dark):
        figure, axes = plt.subplots(figsize=plot_style.PANEL, layout="constrained")
        values = np.array([MEASURES[name](picture) for picture in pictures])
        if name == ASPECT:
            _scale_proportions(axes, values)
        elif name == BRIGHTNESS:
            axes.set_xlim(0, 255)
        else:
            _scale(axes, "x", values)
        _draw_steps(axes, values, _groups_of(pictures, groups), groups)
        axes.set(xlabel=name, ylabel="pictures")
        axes.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        axes.grid(alpha=0.25)
        figure.legend(handles=_class_handles(groups), loc="outside upper center", ncols=_HISTOGRAM_COLUMNS)
        return plot_style.png(figure)


def beside(panels: Sequence[bytes], columns: int) -> bytes:
    """One PNG of several of the same size, in so many columns."""
    images = [Image.open(io.BytesIO(panel)) for panel in panels]
    width, height = images[0].size
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height))
    for number, image in enumerate(images):
        sheet.paste(image, (number % columns * width, number // columns * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _groups_of(pictures: Sequence[Usable], groups: Groups) -> np.ndarray:
    return np.array([groups.of_label[picture.label] for picture in pictures])


def _draw_panel(
    part: Figure, pictures: Sequence[Usable], everything: Sequence[Usable], groups: Groups, dark: bool
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
    shown: dict[float, str] = {}
    for name, place in zip(_PROPORTIONS, _along(axes.xaxis, np.array(list(_PROPORTIONS.values())))):
        if 0 <= place <= 1 and all(abs(place - other) >= _NAME_ROOM for other in shown):
            shown[place] = name
    axes.xaxis.set_major_locator(FixedLocator([_PROPORTIONS[name] for name in shown.values()]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda _, place: list(shown.values())[place or 0]))
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
