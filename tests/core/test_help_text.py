"""Help in two lengths, with what happens where a flag is not given."""

from __future__ import annotations

import dataclasses
import re

from dogcat.core import help_text
from dogcat.core.bounds import Bounds
from dogcat.core.options import Options, option
from dogcat.training.options import TrainingOptions


@dataclasses.dataclass(frozen=True)
class Some(Options):
    folder: str = option("here", "Folder of all.", positional=True)
    fast: bool = option(True, "Be fast.")
    share: float = option(0.5, "Share of all.", bounds=Bounds(at_least=0, below=1), heading="Figures")
    seed: int = option(0, "Seed of it.")
    note: str = option("", "Words for it. Empty: none.", heading="Words")


def test_short_help_ends_before_the_first_heading_and_tells_of_the_rest():
    text = help_text.help_text(Some, "this", "What it does.")
    assert "--folder, or as a bare word\n" in text and "--[no]fast\n" in text
    assert "--share" not in text and "--note" not in text
    assert text.endswith("\n\n--helpfull also has 3 flags under: Figures, Words.")


def test_full_help_has_all_flags_under_headings():
    text = help_text.help_text(Some, "this", "What it does.", full=True)
    lines = [line.strip() for line in text.splitlines() if re.match(r"\S+:$|  --", line)]
    assert lines == [
        *("Flags:", "--folder, or as a bare word", "--[no]fast"),
        *("Figures:", "--share", "--seed", "Words:", "--note"),
    ]
    assert "--helpfull" not in text
    assert "Be fast. Default: on." in text and "Empty: none. Default: empty." in text


def test_without_headings_both_are_the_same():
    @dataclasses.dataclass(frozen=True)
    class Few(Options):
        folder: str = option("here", "Folder of all.")

    text = help_text.help_text(Few, "this", "")
    assert text == help_text.help_text(Few, "this", "", full=True) and "--helpfull" not in text


def test_defaults_of_training_are_what_happens():
    words = " ".join(help_text.help_text(TrainingOptions, "train", "", full=True).split())
    happens = TrainingOptions.from_given({})
    assert "Default: best." in words and happens.preset == "best"
    for name, said in (
        ("batch_size", "Default: 32 (--preset=none: 128)."),
        ("optimizer", "Default: adamw (--preset=none: adam)."),
        ("unfreeze_from", "Default: auto (--preset=none: empty)."),
        ("momentum", "Default: 0.9."),
    ):
        assert re.search(rf"--{name} (?:(?!--\w+ [A-Z]).)*{re.escape(said)}", words), name
        assert said.startswith(f"Default: {getattr(happens, name)}")
