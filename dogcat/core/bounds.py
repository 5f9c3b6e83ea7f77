"""The numbers that an option takes: declared once, then checked, and put in words for help and errors."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Finite numbers from a lower limit on, which is one of `at_least` and `above`, up to an upper one if there is any.

    Attributes:
        at_least: The lowest number.
        above: A limit below all numbers.
        at_most: The highest number; goes with `at_least`.
        below: A limit above all numbers.
        unit: That of the limits.
        example: A usual number, for errors.
        zero: Words for what 0 does where it has a meaning of its own, like "for all"; it is taken then, too.
    """

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf
    unit: str = ""
    example: float | None = None
    zero: str = ""

    def hold(self, value: float) -> bool:
        """Whether a number is one of these."""
        if self.zero and value == 0:
            return True
        return math.isfinite(value) and self.at_least <= value <= self.at_most and self.above < value < self.below

    def words(self, with_example: bool = False) -> str:
        """The numbers in words, like "1 to 100" or "more than 0, or 0 for none"."""
        unit = f" {self.unit}" if self.unit else ""
        has_lowest = self.at_least > -math.inf
        if self.at_most < math.inf:
            said = f"{self.at_least} to {self.at_most}{unit}"
        elif self.below < math.inf:
            lower = f"at least {self.at_least}" if has_lowest else f"more than {self.above}"
            said = f"{lower} and less than {self.below}{unit}"
        else:
            said = f"{self.at_least}{unit} or more" if has_lowest else f"more than {self.above}{unit}"
        if with_example and self.example is not None:
            said += f", like {self.example}"
        return said + (f", or 0 {self.zero}" if self.zero else "")

    def advice(self, value: float) -> str:
        """What to use in place of a number that is none of these."""
        return f"use {'' if math.isfinite(value) else 'a finite number, '}{self.words(with_example=True)}"
