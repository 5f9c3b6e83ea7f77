"""The walk of a picture that WORKSPACE.md prints, against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = re.findall(r"^(\w+/\w+\.py) +(\S.*)$", (ROOT / "WORKSPACE.md").read_text(), re.MULTILINE)


def test_it_fits_on_a_screen():
    assert 10 < len(LINES) <= 24


@pytest.mark.parametrize(("file", "line"), LINES)
def test_each_line_stands_in_the_code(file, line):
    code = [text.strip() for text in (ROOT / "dogcat" / file).read_text().splitlines()]
    assert line in code
