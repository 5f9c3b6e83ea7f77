"""Draws a contact sheet of a data set: some pictures of each class and split, with names and labels."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw

from dogcat.core import files
from dogcat.core.options import InputError
from dogcat.dataset import stored_picture
from dogcat.dataset.manifest import Manifest
from dogcat.dataset.stored_picture import StoredPicture

from . import lettering

# Pixels.
_SIDE = 160
_GAP = 12
_CAPTION_SIZE = 13
_LINE = 17
_HEADING_SIZE = 20
_HEADING_LINE = 34
_CELL = _SIDE + _GAP
_ROW = _SIDE + 2 * _LINE + _GAP

# A side, in pixels.
_LARGEST_JPEG = 65_500

_COLUMNS = 8
# A sheet of many more classes would be too large to look at, and for most viewers to open.
_MOST_CLASSES = 20

_PAPER = "white"
_INK = (20, 20, 20)
_FAINT = (105, 105, 105)


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
        of_label = stored_picture.sample(folder, made, split, count)
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
        font = lettering.font(_HEADING_SIZE)
        pen.text((_GAP, top), lettering.shorten(heading, font, width - 2 * _GAP), _INK, font)
        top += _HEADING_LINE
        for row in rows:
            for column, picture in enumerate(row):
                _draw_cell(sheet, pen, _GAP + column * _CELL, top, picture)
            top += _ROW
    return sheet


def save(sheet: Image.Image, path: Path) -> None:
    """Writes a sheet in the format of the file's name.

    Raises:
        InputError: The sheet is larger than its format allows.
        OSError: The file cannot be written.
    """
    form = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    if form == "JPEG" and max(sheet.size) > _LARGEST_JPEG:
        raise InputError(
            f"--preview={path}: a sheet of {sheet.width}x{sheet.height} pixels fits into no JPEG; use a name that ends "
            "in .png, or fewer --preview_pictures"
        )
    buffer = io.BytesIO()
    sheet.save(buffer, form, quality=90)
    files.write_atomically(path, buffer.getvalue())


def _heading(made: Manifest, split: str) -> str:
    part = made.splits[split]
    counts = [f"{name} {count}" for name, count in zip(made.classes, part.counts)] or ["no labels"]
    more = len(counts) - _MOST_CLASSES
    of_more = f", and {more} more classes" if more > 0 else ""
    return f"{split}: {part.pictures} pictures ({', '.join(counts[:_MOST_CLASSES])}{of_more})"


def _draw_cell(sheet: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int, picture: StoredPicture) -> None:
    """Draws one picture with its key and label under it."""
    try:
        image = Image.fromarray(stored_picture.pixels_of(picture))
        # A tiny picture shows its pixels, not a blur.
        how = Image.Resampling.NEAREST if image.width < _SIDE else Image.Resampling.LANCZOS
        sheet.paste(image.resize((_SIDE, _SIDE), how), (left, top))
    except ValueError:
        pen.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), outline=_FAINT)
        pen.text((left + _GAP, top + _GAP), "cannot be decoded", _FAINT, lettering.font(_CAPTION_SIZE))
    font = lettering.font(_CAPTION_SIZE)
    label = f"{picture.label} {picture.text}" if picture.text else "no label"
    pen.text((left, top + _SIDE + 1), lettering.shorten(picture.key, font, _SIDE), _INK, font)
    pen.text((left, top + _SIDE + 1 + _LINE), lettering.shorten(label, font, _SIDE), _FAINT, font)
