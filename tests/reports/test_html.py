from __future__ import annotations

import jinja2
import pytest

from dogcat.reports import html


def render(text: str, **content) -> str:
    return html.TEMPLATES.from_string(text).render(content)


def test_what_comes_from_outside_shows_and_does_nothing():
    assert render("<p>{{ name }}</p>", name="<b>\x1b\udcff\n") == r"<p>&lt;b&gt;\x1b\xff\n</p>"
    assert render('<i title="{{ name }}">', name='" onclick="x') == '<i title="&#34; onclick=&#34;x">'


def test_parts_of_templates_stay_html():
    text = '{% from "parts.html" import table %}{{ table({"caption": "<", "heads": ["h"], "rows": [[1234]]}) }}'
    shown = render(text)
    assert "<caption><span>&lt;</span></caption>" in shown and '<td class="number">1,234</td>' in shown


def test_what_a_template_misses_is_a_fault():
    with pytest.raises(jinja2.UndefinedError):
        render("{{ nothing }}")
