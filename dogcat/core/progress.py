"""Progress of long work: pictures or MiB done, how many a second, time left."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

from dogcat.core import terminal

_SECONDS_BETWEEN_LINES = 30


class _LogLines(tqdm):
    """A bar for a log file, or a terminal without a width: a line every half minute, none for short work."""

    # Tqdm's watching thread would print each line twice.
    monitor_interval = 0

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Prints a line where tqdm would draw the bar; wiping it away (an empty `msg`) needs nothing."""
        elapsed = self.format_dict["elapsed"]
        if msg is None and elapsed >= _SECONDS_BETWEEN_LINES:
            rate = (self.n - self.initial) / elapsed
            to_do = self.total - self.n
            left = f", {self.format_interval(to_do / rate)} left" if to_do and rate else ""
            more = f", {self.postfix}" if self.postfix else ""
            unit = self.unit
            print(f"{self.desc}: {self.n} of {self.total}{unit}, {rate:.1f}{unit}/s{left}{more}", file=sys.stderr)


def duration(seconds: float) -> str:
    """A time in minutes and seconds, like 02:30, or in hours too, as bars show it."""
    return tqdm.format_interval(seconds)


def pictures_bar(total: int, what: str, done_before: int = 0) -> tqdm:
    """A progress bar that counts pictures; on a terminal that draws it goes when the work is done.

    Args:
        total: Number of pictures.
        what: What is done with them, in a word or two.
        done_before: Number of pictures that an earlier call did, which say nothing of the speed.
    """
    return _bar({"total": total, "initial": done_before, "desc": what, "unit": " pictures"})


def mib_bar(total_bytes: int, what: str) -> tqdm:
    """A progress bar that counts MiB of files, of which nobody knows yet how many pictures they hold."""
    return _bar({"total": -(-total_bytes // 2**20), "desc": what, "unit": " MiB"})


def _bar(options: dict[str, Any]) -> tqdm:
    options["leave"] = False
    if terminal.draws(sys.stderr):
        return tqdm(**options)
    seconds = _SECONDS_BETWEEN_LINES
    return _LogLines(**options, delay=seconds, mininterval=seconds, maxinterval=seconds)
