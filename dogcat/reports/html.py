"""HTML pages in one file each, which open from the disk and fetch nothing: the templates of `templates/`, filled in."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from dogcat.core.text import printable


class Table(NamedTuple):
    """A table of a page; every row has a cell for each head: a number, text or a Thumbnail."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Thumbnail(NamedTuple):
    """A small picture as a cell of a table; nothing is shown where its address is empty."""

    address: str
    alt: str


class Plot(NamedTuple):
    """A plot for a page: two PNGs of the same, on white and on black."""

    light: bytes
    dark: bytes


def _fit_to_show(value: Any) -> Any:
    """Makes text that came from outside visible; escaping follows."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("dogcat.reports"),
    autoescape=True,
    finalize=_fit_to_show,
    # A name that a template expects and nobody gave is a fault of the program.
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **content: Any) -> bytes:
    """A page as UTF-8.

    Args:
        template: Name of the file in `templates/`.
        **content: What the template shows; no text among it acts as HTML, and control characters show as escapes.
    """
    return TEMPLATES.get_template(template).render(content).encode()


def plot(draw: Callable[[bool], bytes | None]) -> Plot | None:
    """A plot from what draws it on white or, given True, on black; None where that draws nothing."""
    light = draw(False)
    dark = draw(True)
    return None if light is None or dark is None else Plot(light, dark)


def figure(panels: Sequence[tuple[Plot | None, str]], caption: str) -> dict[str, Any]:
    """What the macro `figure` of parts.html shows: panels beside each other, or below on a narrow screen.

    Args:
        panels: A plot and what it shows, in words; those without a plot are left out.
        caption: A text below all.
    """
    shown = [
        {"light": address(plot.light, "png"), "dark": address(plot.dark, "png"), "alt": alt}
        for plot, alt in panels
        if plot
    ]
    return {"panels": shown, "caption": caption}


def address(data: bytes, form: str) -> str:
    """An address for `src` that contains the picture itself, `png` or `jpeg`."""
    return f"data:image/{form};base64," + base64.b64encode(data).decode()


def source(name: str) -> str:
    """The text of a file in `templates/`, as it stands there."""
    assert TEMPLATES.loader is not None
    return TEMPLATES.loader.get_source(TEMPLATES, name)[0]
