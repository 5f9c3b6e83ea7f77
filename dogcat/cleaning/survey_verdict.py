"""What a survey comes to: whether the pictures can be trained on, and what stands out. No TensorFlow."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import NamedTuple

from dogcat.cleaning.survey import Survey, Usable

# A class with fewer pictures is told, and one that has so many times as many as another.
_FEW, _TIMES_AS_MANY = 20, 3
# Shorter side in pixels of a picture that networks must enlarge several times.
_SMALL = 64
# Width for each unit of height, or the other way around, from which on the square that a network sees is far from it.
_LONG = 3
# Brightness, of 255.
_DARK, _BRIGHT = 10, 245
# Of what stands out, what the headline names.
_IN_HEADLINE = 2


class Verdict(NamedTuple):
    """What a survey comes to.

    Attributes:
        headline: A line.
        notes: All that stands out, most serious first; often nothing.
    """

    headline: str
    notes: list[str]


def of_survey(found: Survey) -> Verdict:
    """Judges the pictures that are not excluded, of which at least one is usable."""
    kept = found.kept()
    counts = collections.Counter(picture.label for picture in kept.usable if picture.label)
    notes = _notes(kept, counts)
    if not counts:
        conclusion = "No classes: ready to predict, not to train"
    elif len(counts) == 1:
        conclusion = f"Not ready to train: all pictures are {next(iter(counts))}"
    else:
        conclusion = "Ready to train"
        if not notes:
            notes_in_words = f": {len(kept.usable):,} pictures of {len(counts)} classes, all sound"
            return Verdict(conclusion + notes_in_words, [])
    named = ", ".join(notes[:_IN_HEADLINE])
    more = f" and {len(notes) - _IN_HEADLINE} more" if len(notes) > _IN_HEADLINE else ""
    return Verdict(conclusion + (f"; {named}{more}" if named else ""), notes)


def _notes(kept: Survey, counts: collections.Counter[str]) -> list[str]:
    unlabelled = sum(not picture.label for picture in kept.usable) if counts else 0
    notes = [_counted(len(kept.unusable), "unusable file"), _counted(unlabelled, "picture", " without a class")]
    if len(counts) > 1:
        few = [name for name, count in counts.items() if count < _FEW]
        if len(few) == 1:
            notes.append(f"only {_counted(counts[few[0]], 'picture')} of {few[0]}")
        elif few:
            notes.append(f"{len(few)} classes with fewer than {_FEW} pictures")
        (most, largest), *_, (fewest, smallest) = counts.most_common()
        if largest >= _TIMES_AS_MANY * smallest:
            notes.append(f"{largest / smallest:.0f} times as many {most} as {fewest}")
    tests: dict[str, Callable[[Usable], bool]] = {
        "very small picture": lambda picture: min(picture.width, picture.height) < _SMALL,
        "very long or tall picture": lambda picture: max(picture.aspect, 1 / picture.aspect) > _LONG,
        "nearly black picture": lambda picture: picture.brightness < _DARK,
        "nearly white picture": lambda picture: picture.brightness > _BRIGHT,
    }
    notes += [_counted(sum(map(test, kept.usable)), what) for what, test in tests.items()]
    return [note for note in notes if note]


def _counted(number: int, what: str, after: str = "") -> str:
    """Some things in words; empty for none."""
    return f"{number:,} {what}{'s' if number > 1 else ''}{after}" if number else ""
