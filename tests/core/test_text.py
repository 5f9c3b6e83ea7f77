from __future__ import annotations

import pytest

from dogcat.core.text import escaped, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a b.jpg", "a b.jpg"),
        ("café 猫.jpg", "café 猫.jpg"),
        ("caf\udce9.jpg", r"caf\xe9.jpg"),
        ("new\nline\r\t.jpg", r"new\nline\r\t.jpg"),
        ("\x1b[2Jred\x07\x9b", r"\x1b[2Jred\x07\x9b"),
        ("to\u202eright\u2028", r"to\u202eright\u2028"),
    ],
)
def test_one_line_that_any_terminal_shows(text, shown):
    assert printable(text) == shown


def test_no_two_names_are_escaped_to_the_same():
    names = ["a\nb", r"a\nb", r"a\\nb", "a", "\N{CAT FACE}|"]
    assert [escaped(name) for name in names] == [r"a\nb", r"a\\nb", r"a\\\\nb", "a", "\N{CAT FACE}|"]
