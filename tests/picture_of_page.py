"""Takes the picture of a page that a document shows: `python tests/picture_of_page.py PAGE PICTURE.jpg [HEIGHT]`.

PICTURE.jpg gets the upper HEIGHT (default: 1200) CSS pixels of the page in a window 1280 wide.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from browser import Browser, find_chromium
from PIL import Image

# Pixels; wide enough for GitHub's column.
_WIDTH = 1000
_HEIGHT = 1200


def main(page: str, picture: str, height: str = str(_HEIGHT)) -> None:
    """Opens the page and writes the picture."""
    executable = find_chromium()
    if executable is None:
        sys.exit("no Chromium: put one on PATH, or name it in DOGCAT_CHROMIUM")
    with Browser(executable) as browser:
        shown = Image.open(io.BytesIO(browser.open(Path(page)).screenshot())).convert("RGB")
    shown = shown.crop((0, 0, shown.width, min(int(height), shown.height)))
    shown = shown.resize((_WIDTH, round(shown.height * _WIDTH / shown.width)), Image.Resampling.LANCZOS)
    shown.save(picture, quality=85, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
