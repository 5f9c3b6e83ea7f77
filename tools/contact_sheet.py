"""Draws a contact sheet of a data set: some pictures of each class and split, with names and labels."""

from __future__ import annotations

import functools
import io
from pathlib import Path

from matplotlib import font_manager, ft2font
from PIL import Image, ImageDraw, ImageFont

from dogcat import records, stored
from dogcat.manifest import Manifest
from dogcat.printing import printable
from dogcat.stored import StoredPicture

# Pixels.
_SIDE = 160
_GAP = 12
_CAPTION_SIZE = 13
_LINE = 17
_HEADING_SIZE = 20
_HEADING_LINE = 34
_CELL = _SIDE + _GAP
_ROW = _SIDE + 2 * _LINE + _GAP

_COLUMNS = 8
# A sheet of many more classes would be too large to look at, and for most viewers to open.
_MOST_CLASSES = 20

_PAPER = "white"
_INK = (20, 20, 20)
_FAINT = (105, 105, 105)
_ELLIPSIS = "…"


def draw_sheet(folder: Path, made: Manifest, count: int) -> Image.Image:
    """Draws the first readable pictures of each class in each split.

    Args:
        folder: The data set.
        made: Its manifest.
        count: Number of pictures of each class and split, at most.

    Returns:
        The sheet, RGB.
    """
    sections = []
    for split in made.splits:
        rows: list[list[StoredPicture]] = []
        of_label = stored.sample(folder, made, split, count)
        for pictures in list(of_label.values())[:_MOST_CLASSES]:
            rows += [pictures[i : i + _COLUMNS] for i in range(0, len(pictures), _COLUMNS)]
        sections.append((_heading(made, split), rows))
    columns = max([len(row) for _, rows in sections for row in rows], default=1)
    width = _GAP + max(columns, 3) * _CELL
    height = 2 * _GAP + sum(_HEADING_LINE + len(rows) * _ROW for _, rows in sections)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    top = _GAP
    for heading, rows in sections:
        font = _font(_HEADING_SIZE)
        pen.text((_GAP, top), _shorten(heading, font, width - 2 * _GAP), _INK, font)
        top += _HEADING_LINE
        for row in rows:
            for column, picture in enumerate(row):
                _draw_cell(sheet, pen, _GAP + column * _CELL, top, picture)
            top += _ROW
    return sheet


def save(sheet: Image.Image, path: Path) -> None:
    """Writes a sheet in the format of the file's name.

    Raises:
        OSError: The file cannot be written.
    """
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG" if path.suffix.lower() == ".png" else "JPEG", quality=90)
    records.write_atomically(path, buffer.getvalue())


def _heading(made: Manifest, split: str) -> str:
    part = made.splits[split]
    counts = [f"{printable(name)} {count}" for name, count in zip(made.classes, part.counts)] or ["no labels"]
    more = len(counts) - _MOST_CLASSES
    of_more = f", and {more} more classes" if more > 0 else ""
    return f"{printable(split)}: {part.pictures} pictures ({', '.join(counts[:_MOST_CLASSES])}{of_more})"


def _draw_cell(sheet: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int, picture: StoredPicture) -> None:
    """Draws one picture with its key and label under it."""
    try:
        image = Image.fromarray(stored.pixels_of(picture))
        # A tiny picture shows its pixels, not a blur.
        how = Image.Resampling.NEAREST if image.width < _SIDE else Image.Resampling.LANCZOS
        sheet.paste(image.resize((_SIDE, _SIDE), how), (left, top))
    except ValueError:
        pen.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), outline=_FAINT)
        pen.text((left + _GAP, top + _GAP), "cannot be decoded", _FAINT, _font(_CAPTION_SIZE))
    font = _font(_CAPTION_SIZE)
    label = f"{picture.label} {printable(picture.text)}" if picture.text else "no label"
    pen.text((left, top + _SIDE + 1), _shorten(printable(picture.key), font, _SIDE), _INK, font)
    pen.text((left, top + _SIDE + 1 + _LINE), _shorten(label, font, _SIDE), _FAINT, font)


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Takes out the middle, so that both ends, which tell names apart, fit into `width` pixels."""
    text = "".join(c if ord(c) in _characters() else f"\\u{ord(c):04x}" for c in text)
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
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Matplotlib's own font has Latin, Greek, Cyrillic and more; Pillow's has Latin alone.
    return ImageFont.truetype(_font_file(), size)


@functools.cache
def _characters() -> frozenset[int]:
    """The characters that the font can draw."""
    return frozenset(ft2font.FT2Font(_font_file()).get_charmap())


def _font_file() -> str:
    return font_manager.findfont("DejaVu Sans")
