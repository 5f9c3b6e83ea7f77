from __future__ import annotations

import os
import unicodedata

import pytest

from dogcat.core import spelling
from dogcat.core.options import InputError
from dogcat.core.spelling import Spellings

COMPOSED = "café"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
LATIN_1 = os.fsdecode(COMPOSED.encode("latin-1"))


def test_forms_of_unicode_and_encodings_fold_to_one():
    assert len({COMPOSED, DECOMPOSED, LATIN_1}) == 3
    assert {spelling.folded(name) for name in (COMPOSED, DECOMPOSED, LATIN_1, f" {COMPOSED}")} == {COMPOSED}
    assert spelling.folded(r".\cat\1.jpg") == spelling.folded("./cat/1.jpg") == "cat/1.jpg"
    # Bytes that Windows' encoding leaves free, too.
    assert spelling.folded(os.fsdecode(b"\x96\x81")) == "\u2013\x81"
    # What only looks alike is another name.
    assert len({spelling.folded(name) for name in ("cafe", COMPOSED, "CAFÉ", "ﬁ", "fi")}) == 5


def test_a_name_is_found_by_any_spelling_but_the_same_one_wins():
    known = Spellings([COMPOSED, "dog"])
    for name in (COMPOSED, DECOMPOSED, LATIN_1):
        assert known.find(name, "here") == COMPOSED
    assert known.find("Dog", "here") is None
    both = Spellings([COMPOSED, DECOMPOSED])
    assert (both.find(COMPOSED, "here"), both.find(DECOMPOSED, "here")) == (COMPOSED, DECOMPOSED)
    with pytest.raises(InputError) as caught:
        both.find(LATIN_1, "here")
    assert str(caught.value) == (
        r"here: 'caf\udce9' may be 'cafe\u0301' or 'caf\xe9', which differ in spelling alone; rename one of them"
    )


def test_names_that_are_one_are_refused_together():
    spelling.require_distinct([COMPOSED, "cafe", "dog"], "in")
    with pytest.raises(InputError, match=r"^in: 'cafe\\u0301' and 'caf\\xe9' are one name in two spellings; rename"):
        spelling.require_distinct([COMPOSED, "dog", DECOMPOSED], "in")


def test_long_text_is_cut_for_messages():
    assert spelling.shown("a\nb") == r"'a\nb'"
    assert len(spelling.shown("x" * 10**7)) < 100
