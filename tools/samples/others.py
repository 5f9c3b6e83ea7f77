"""Pictures of no animal, as they slip into folders of them: a chart, a page of writing, a road sign."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from ..pages import lettering
from .pen import BLACK, BRIGHTS, WHITE, vary

_TEXT = "not found, please sign in again; the page of this picture is no longer here, sold out at the total price. " * 3


def draw_other(rng: random.Random) -> Image.Image:
    """Draws one of them, RGB; the same state of `rng` gives the same picture."""
    image = Image.new("RGB", (rng.randint(240, 480), rng.randint(240, 480)), vary(WHITE, rng))
    rng.choice((_draw_chart, _draw_writing, _draw_sign))(image, rng)
    return image


def _draw_chart(image: Image.Image, rng: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    left, bottom = width * 0.1, height * 0.88
    bars = rng.randint(4, 9)
    step = width * 0.85 / bars
    for bar in range(bars):
        x = left + bar * step
        pen.rectangle((x + step * 0.15, bottom - height * rng.uniform(0.1, 0.75), x + step * 0.85, bottom), BRIGHTS[1])
    pen.line((left, height * 0.06, left, bottom, width * 0.96, bottom), BLACK, 3)
    for tick in range(5):
        y = bottom - tick * height * 0.18
        pen.text((2, y - 8), str(20 * tick), BLACK, lettering.font(12))


def _draw_writing(image: Image.Image, rng: random.Random) -> None:
    pen, size = ImageDraw.Draw(image), rng.randint(14, 24)
    for y in range(size, image.height - size, round(size * 1.5)):
        first = rng.randrange(100)
        line = _TEXT[first : first + (image.width - 2 * size) * 2 // size]
        pen.text((size, y), line, BLACK, lettering.font(size))


def _draw_sign(image: Image.Image, rng: random.Random) -> None:
    pen, (width, height) = ImageDraw.Draw(image), image.size
    pen.rectangle((0, 0, width, height), (150, 190, 225))
    pen.rectangle((width * 0.47, height * 0.5, width * 0.53, height), (110, 112, 116))
    radius, corners = min(width, height) * 0.36, rng.choice((3, 4, 8))
    turns = [2 * math.pi * (corner + 0.5) / corners for corner in range(corners)]
    points = [(width / 2 + radius * math.sin(turn), height * 0.45 + radius * math.cos(turn)) for turn in turns]
    pen.polygon(points, rng.choice(BRIGHTS), WHITE, 6)
    text, font = str(rng.choice((30, 50, 70))), lettering.font(round(radius * 0.8))
    pen.text((width / 2, height * 0.45), text, WHITE, font, anchor="mm")
