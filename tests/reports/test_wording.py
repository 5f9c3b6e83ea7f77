from __future__ import annotations

import pytest

from dogcat.reports import wording


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (5330, "89 min"), (10550, "2 h 56 min")]
)
def test_times_in_words(seconds, words):
    assert wording.duration(seconds) == words
