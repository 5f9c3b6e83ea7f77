"""The report of a check-up: rows under titles, and what does not fit."""

from __future__ import annotations

import dataclasses
import textwrap

from dogcat.core import runtime
from dogcat.core.text import printable

WIDTH = 100
_NAMES = 22


@dataclasses.dataclass
class Report:
    """Rows, in order, and problems.

    Attributes:
        sections: Titles, each with its rows of (name, value).
        problems: What does not fit, and whether it stops the work.
    """

    sections: list[tuple[str, list[tuple[str, str]]]] = dataclasses.field(default_factory=list)
    problems: list[tuple[str, bool]] = dataclasses.field(default_factory=list)

    def begin(self, title: str) -> None:
        """Begins a section."""
        self.sections.append((title, []))

    def add(self, name: str, value: object) -> None:
        """Adds a row to the section."""
        self.sections[-1][1].append((name, str(value)))

    def complain(self, problem: str, stops: bool = False) -> None:
        """Notes what does not fit, and whether it stops the work."""
        self.problems.append((problem, stops))

    def stops(self) -> bool:
        """Whether something was found that stops the work."""
        return any(stops for _, stops in self.problems)

    def text(self) -> str:
        """All of it, with the home folder as `~`."""
        lines = []
        for title, rows in self.sections:
            lines += [title, *(line for row in rows for line in _wrapped(*row)), ""]
        lines.append("what does not fit")
        for problem, stops in sorted(self.problems, key=lambda one: not one[1]):
            lines += _filled("stops the work: " if stops else "", _public(problem), "  - ", "    ")
        if not self.problems:
            lines.append("  nothing that does not fit was found")
        return "\n".join(lines)


def _wrapped(name: str, value: str) -> list[str]:
    return _filled("", _public(value), f"  {name:{_NAMES}}", " " * (_NAMES + 2))


def _filled(before: str, text: str, first: str, further: str) -> list[str]:
    lines = textwrap.wrap(before + text, WIDTH, initial_indent=first, subsequent_indent=further, break_on_hyphens=False)
    return lines or [first.rstrip()]


def _public(text: str) -> str:
    """Text that may be shown to anyone: the home folder tells a name."""
    home = str(runtime.home_folder())
    # Who has the root folder for a home, as in containers, has no name in it.
    return printable(text if home == "/" else text.replace(home, "~"))
