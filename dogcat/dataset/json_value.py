"""A value read from JSON that knows its place, so that an error about it names the field."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import reprlib
from collections.abc import Iterator
from typing import Any, NoReturn

_LONGEST_NAME = 1000
_MOST = 2**62
_DEEPEST = 20
_LONGEST_SHOWN = 60
# Python turns longer ones into numbers in quadratic time, or refuses to.
_MOST_DIGITS = 20


@dataclasses.dataclass(frozen=True)
class Value:
    """A value from JSON and its place, by which errors name it; every method raises ValueError where it is a wrong one.

    Attributes:
        place: Like `splits.train.shards[3].records`; empty for the whole.
        value: The value.
    """

    place: str
    value: Any

    def member(self, name: str) -> Value:
        """A member of an object."""
        if not isinstance(self.value, dict):
            self.refuse("an object")
        place = f"{self.place}.{name}" if self.place else name
        if name not in self.value:
            raise ValueError(f"{place} is missing")
        return Value(place, self.value[name])

    def members(self, names: re.Pattern[str] | None = None, least: int = 0) -> Iterator[tuple[str, Value]]:
        """All members of an object, `least` or more, whose names match."""
        if not isinstance(self.value, dict) or len(self.value) < least:
            self.refuse("an object" + (" with members" if least else ""))
        for name, value in self.value.items():
            place = Value(f"a name in {self.place}", name)
            if names and not names.fullmatch(name):
                place.refuse("letters and digits")
            place.text()
            yield name, Value(f"{self.place}.{name}" if len(name) <= _LONGEST_SHOWN else f"{self.place}[...]", value)

    def items(self, count: int | None = None, most: int = _MOST) -> list[Value]:
        """The items of a list, of `count` if given, and of `most` or fewer."""
        if not isinstance(self.value, list):
            self.refuse("a list")
        if count is not None and len(self.value) != count:
            raise ValueError(f"{self.place} has {len(self.value)} items, not {count}")
        if len(self.value) > most:
            raise ValueError(f"{self.place} has {len(self.value):,} items, more than the {most:,} that it can have")
        return [Value(f"{self.place}[{index}]", item) for index, item in enumerate(self.value)]

    def whole(self, least: int, most: int = _MOST) -> int:
        """A whole number."""
        # True is an int to Python.
        if type(self.value) is not int or not least <= self.value <= most:
            self.refuse(
                f"a whole number of {least} to {most}" if most < _MOST else f"a whole number of {least} or more"
            )
        return int(self.value)

    def number(self, least: float, most: float) -> float:
        """A number."""
        if type(self.value) not in (int, float) or not least <= self.value <= most:
            self.refuse(f"a number of {least} to {most}")
        number: float = self.value
        return number

    def text(self) -> str:
        """A text as files are called: bytes that are not UTF-8 come as surrogates, others have no place in it."""
        if not isinstance(self.value, str) or len(self.value) > _LONGEST_NAME or "\0" in self.value:
            self.refuse(f"a text of up to {_LONGEST_NAME} characters")
        try:
            os.fsencode(self.value)
        except UnicodeEncodeError:
            self.refuse("a text that can be written as UTF-8")
        return str(self.value)

    def one_of(self, choices: tuple[str, ...]) -> str:
        """One of some texts."""
        if self.value not in choices:
            self.refuse(f"one of {', '.join(choices)}")
        return str(self.value)

    def finite(self, deepest: int = _DEEPEST) -> None:
        """Whatever it holds, it is not nested deeply, and its numbers are finite."""
        if not deepest:
            self.refuse("a plain value")
        if isinstance(self.value, dict):
            for _, value in self.members():
                value.finite(deepest - 1)
        elif isinstance(self.value, list):
            for item in self.items():
                item.finite(deepest - 1)
        elif isinstance(self.value, float) and not math.isfinite(self.value):
            self.refuse("a finite number")

    def refuse(self, wanted: str) -> NoReturn:
        """Says that the value is not what is wanted."""
        raise ValueError(f"{self.place or 'it'} is {_short(self.value)}, not {wanted}")


def from_json(text: str) -> Any:
    """Parses JSON; ValueError also for what JSON does not know, and for a name that stands twice in an object."""

    def whole(digits: str) -> float:
        return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"holds {word}, which is not a number")

    return json.loads(text, parse_int=whole, parse_constant=refuse, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValueError(f"names {_short(name)} twice in one object")
        members[name] = value
    return members


def _short(value: Any) -> str:
    """A value in some 60 characters at most."""
    text = reprlib.repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
