from __future__ import annotations

import json

import pytest
from fuzzing import mutations

from dogcat.core import journal


def test_a_line_is_json_and_comes_back():
    content = {"b": [1, 0.1, None], "a": "caf\udce9\n"}
    line = journal.line(content)
    assert journal.parse(line) == content
    assert json.loads(line).keys() == {"a", "b", "crc32"} and line.count(b"\n") == 1


@pytest.mark.parametrize("count", [500, pytest.param(20_000, marks=pytest.mark.long)])
def test_whatever_is_damaged_is_told(count):
    line = journal.line({"logits": [[[0.125, -3.5]]], "rejections": []})
    for changed in mutations(line, count, seed=0):
        if changed != line:
            with pytest.raises(ValueError):
                journal.parse(changed)
