"""Names written into pictures: a font, what it can draw, names made to fit."""

from __future__ import annotations

import functools

from PIL import ImageFont

from dogcat.core import plot_style  # noqa: F401, before matplotlib
from dogcat.core.text import printable

from matplotlib import font_manager, ft2font

_ELLIPSIS = "…"


def shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Takes out the middle, so that both ends, which tell names apart, fit into `width` pixels.

    What would not show, or is not in the font, is written as an escape.
    """
    text = "".join(c if ord(c) in _characters() else f"\\u{ord(c):04x}" for c in printable(text))
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    shortened = _ELLIPSIS
    while kept > 0:
        kept -= 1
        end = kept // 2
        shortened = text[: kept - end] + _ELLIPSIS + text[len(text) - end :]
        if font.getlength(shortened) <= width:
            break
    return shortened


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels."""
    # Matplotlib's own font has Latin, Greek, Cyrillic and more; Pillow's has Latin alone.
    return ImageFont.truetype(_font_file(), size)


@functools.cache
def _characters() -> frozenset[int]:
    """The characters that the font can draw."""
    return frozenset(ft2font.FT2Font(_font_file()).get_charmap())


def _font_file() -> str:
    return font_manager.findfont("DejaVu Sans")
