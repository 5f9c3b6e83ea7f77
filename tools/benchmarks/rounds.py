"""Contestants measured in turn, and what may be said of them: medians, spreads, ratios that hold or are unclear.

Speed drifts from minute to minute, on a virtual machine by a fifth. So contestants take turns, round after round,
and are compared within a round only.
"""

from __future__ import annotations

import dataclasses
import io
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .peer_writers import Work


class CannotRun(Exception):
    """A contestant that cannot be measured here; the message says why in a line."""


@dataclasses.dataclass(frozen=True)
class Contestant:
    """Who is measured.

    Attributes:
        name: One word, for JSON.
        title: How it is called in tables.
        note: What it does differently, in a few words.
        run: Does the work once; raises CannotRun.
        ours: Whether it is this project.
    """

    name: str
    title: str
    note: str
    run: Callable[[], Work]
    ours: bool = False


@dataclasses.dataclass(frozen=True)
class Figure:
    """A median and the spread it comes from."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Summarises the values of all rounds."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        """Median and spread of a ratio."""
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclasses.dataclass(frozen=True)
class Result:
    """All rounds of a contestant.

    Attributes:
        contestant: Who.
        runs: A run for each round.
        ratios: For each round how many times as fast as this one the first contestant was; of the first none.
    """

    contestant: Contestant
    runs: list[Work]
    ratios: list[float]

    @property
    def label(self) -> str:
        """Title and version."""
        return f"{self.contestant.title} {self.runs[0].version}"

    @property
    def rate(self) -> Figure:
        """Pictures a second."""
        return Figure.of([_rate(run) for run in self.runs])

    @property
    def ratio(self) -> Figure | None:
        """The ratio, where there is one and the rounds agree on it."""
        return clear_ratio(self.ratios) if self.ratios else None


@dataclasses.dataclass(frozen=True)
class Results:
    """What came of a comparison.

    Attributes:
        results: Those that ran in every round, the first contestant first.
        left_out: Why the others did not, by name.
    """

    results: list[Result]
    left_out: dict[str, str]


class Group(NamedTuple):
    """Contestants who did the same work.

    Attributes:
        title: What they did, for the rate's axis.
        results: The first is the one that the others are compared with.
        ratio_title: What the ratio is.
    """

    title: str
    results: list[Result]
    ratio_title: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a subject.

    Attributes:
        about: What was measured.
        groups: Who did which work how fast.
        conclusions: The same in sentences.
        left_out: Who could not be measured, and why.
        more: Other measurements, dataclasses.
    """

    about: str
    groups: list[Group]
    conclusions: list[str]
    left_out: dict[str, str]
    more: Sequence[Any] = ()

    def tables(self) -> list[str]:
        """A table for each group."""
        return [f"\n{group.title}\n{table(group.results, group.ratio_title)}\n" for group in self.groups]

    def as_json(self) -> dict[str, Any]:
        """Everything that was measured, rounds included."""
        return {
            "about": self.about,
            "conclusions": self.conclusions,
            "groups": {group.title: [_as_json(result) for result in group.results] for group in self.groups},
            "left_out": self.left_out,
            "measurements": [dataclasses.asdict(each) for each in self.more],
        }


def clear_ratio(ratios: Sequence[float]) -> Figure | None:
    """The median of ratios with its spread, or None where they prove nothing.

    They prove nothing where some rounds say faster and some slower, or where the rounds lie further apart than the
    difference that their median claims.
    """
    figure = Figure.of(ratios)
    if figure.low <= 1 <= figure.high or figure.high - figure.low > abs(figure.median - 1):
        return None
    return figure


def measure(contestants: Sequence[Contestant], rounds: int, check: Callable[[Work, Work], None]) -> Results:
    """Runs A B C, A B C, ... and prints a line for each run.

    Args:
        contestants: The first is the one that the others are compared with.
        rounds: Number of rounds.
        check: Called with a run and the first contestant's of the same round; raises CannotRun where the work is
            not what was asked for.

    Raises:
        CannotRun: The first contestant cannot be measured. Any other is left out.
    """
    first = contestants[0]
    runs: dict[str, list[Work]] = {contestant.name: [] for contestant in contestants}
    left_out: dict[str, str] = {}
    for number in range(rounds):
        for contestant in contestants:
            if contestant.name in left_out:
                continue
            try:
                run = contestant.run()
                check(run, run if contestant is first else runs[first.name][number])
            except CannotRun as problem:
                if contestant is first:
                    raise
                left_out[contestant.name] = str(problem)
                print(f"left out: {contestant.title}: {problem}")
                continue
            runs[contestant.name].append(run)
            print(f"round {number + 1} of {rounds}: {contestant.title} {_rate_text(_rate(run))} pictures/s")
    ran = [
        Result(contestant, runs[contestant.name], []) for contestant in contestants if contestant.name not in left_out
    ]
    return Results(compared(ran), left_out)


def compared(results: Sequence[Result]) -> list[Result]:
    """The same results, each with its ratios to the first."""
    first, *others = results
    with_ratios = [dataclasses.replace(first, ratios=[])]
    for result in others:
        ratios = [_rate(ours) / _rate(its) for ours, its in zip(first.runs, result.runs)]
        with_ratios.append(dataclasses.replace(result, ratios=ratios))
    return with_ratios


def _rate(run: Work) -> float:
    return run.pictures / run.seconds


def _rate_text(rate: float) -> str:
    """Pictures a second, with a decimal where they are few."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def table(results: Sequence[Result], ratio_title: str) -> str:
    """A line for each contestant: median and spread of its speed and of the ratio."""
    rows = [("", "pictures/s", "spread", ratio_title, "spread" if ratio_title else "", "")]
    for result in results:
        rate, ratio = result.rate, result.ratio
        ratio_cells = (f"{ratio.median:.2f}", f"{ratio.low:.2f}-{ratio.high:.2f}") if ratio else ("unclear", "")
        if not result.ratios:
            ratio_cells = ("", "")
        spread = f"{_rate_text(rate.low)}-{_rate_text(rate.high)}"
        rows.append((result.label, _rate_text(rate.median), spread, *ratio_cells, result.contestant.note))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        label, *figures, note = (cell.rjust(width) for cell, width in zip(row, widths))
        lines.append("  ".join((label.strip().ljust(widths[0]), *figures, note.strip())).rstrip())
    return "\n".join(lines)


def _as_json(result: Result) -> dict[str, Any]:
    """Everything that was measured of a contestant, rounds included."""
    return {
        "name": result.contestant.name,
        "title": result.contestant.title,
        "note": result.contestant.note,
        "version": result.runs[0].version,
        "runs": [run._asdict() for run in result.runs],
        "pictures_per_second": dataclasses.asdict(result.rate),
        "ratios": result.ratios,
        "ratio": dataclasses.asdict(result.ratio) if result.ratio else "unclear" if result.ratios else None,
    }


def in_words(results: Sequence[Result]) -> str:
    """The first contestant's speed, and how it compares with the others; where that is unclear, it is said."""
    ours, *others = results
    parts = [
        f"{result.ratio.median:.2f} times the speed of {result.label}"
        if result.ratio
        else f"no clear difference to {result.label}"
        for result in others
    ]
    return ": ".join([f"{_rate_text(ours.rate.median)} pictures a second", *([", ".join(parts)] if parts else [])])


def draw_chart(groups: Sequence[Group], title: str, form: str) -> bytes:
    """Draws a bar for each contestant, its median in figures, its spread as an error bar.

    Args:
        groups: What is drawn one below the other, each with an axis of its own; at least one.
        title: Where it was measured.
        form: The picture's format, png or svg and the like.
    """
    from dogcat.core import plot_style

    from matplotlib.figure import Figure as Canvas

    with plot_style.style(dark=False):
        sizes = [len(group.results) for group in groups]
        canvas = Canvas(figsize=(10, 1 + sum(0.9 + 0.55 * size for size in sizes)), layout="constrained")
        panels = canvas.subplots(len(groups), 1, squeeze=False, height_ratios=[size + 0.8 for size in sizes])[:, 0]
        for axes, group in zip(panels, groups):
            rates = [result.rate for result in group.results]
            medians = [rate.median for rate in rates]
            spread = [[rate.median - rate.low for rate in rates], [rate.high - rate.median for rate in rates]]
            colours = ["tab:blue" if result.contestant.ours else "lightgrey" for result in group.results]
            axes.barh(range(len(rates)), medians, xerr=spread, color=colours, ecolor="black", capsize=4)
            for place, rate in enumerate(rates):
                axes.annotate(
                    _rate_text(rate.median), (rate.high, place), (8, 0), textcoords="offset points", va="center"
                )
            labels = [f"{result.label}\n{result.contestant.note}".strip() for result in group.results]
            axes.set_yticks(range(len(rates)), labels)
            axes.invert_yaxis()
            axes.set_xlim(0, 1.12 * max(rate.high for rate in rates))
            axes.set_title(group.title, loc="left", fontsize="medium")
            axes.spines[["top", "right"]].set_visible(False)
        panels[-1].set_xlabel("pictures a second: median of the rounds, slowest and fastest as the thin line")
        canvas.suptitle(title)
        picture = io.BytesIO()
        canvas.savefig(picture, format=form, dpi=120)
    return picture.getvalue()
