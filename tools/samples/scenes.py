"""Backgrounds, and pictures of no animal."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .pen import BLACK, BRIGHTS, WHITE, Pen, any_colour, mix

_TEXT = "not found, please sign in again; the page of this picture is no longer here, sold out at the total price. " * 3


def draw_background(image: Image.Image, rng: random.Random) -> None:
    """Covers the image with colours, a meadow or a room."""
    rng.choice((_draw_colours, _draw_colours, _draw_meadow, _draw_room))(image, rng)


def _draw_colours(image: Image.Image, rng: random.Random) -> None:
    cells = rng.choice((1, 2, 2, 8, 30))
    base = any_colour(rng)
    colours = [mix(base, any_colour(rng), min(1, 3 / cells)) for _ in range(cells * cells)]
    grid = Image.fromarray(np.array(colours, np.uint8).reshape(cells, cells, 3))
    image.paste(grid.resize(image.size, Image.Resampling.BICUBIC))


def _draw_meadow(image: Image.Image, rng: random.Random) -> None:
    pen, wide, horizon = Pen.at(image, 0, 0, image.height), image.width / image.height, rng.uniform(0.3, 0.65)
    sky = rng.choice(((150, 200, 236), (226, 190, 170), (190, 200, 208)))
    green = rng.choice(((104, 160, 70), (84, 134, 72), (158, 168, 84)))
    pen.box(0, 0, wide, 1, sky)
    for _ in range(rng.randint(0, 3)):  # clouds
        pen.oval(rng.uniform(0, wide), rng.uniform(0, horizon * 0.7), rng.uniform(0.1, 0.2), 0.04, WHITE)
    pen.oval(rng.uniform(0, wide), horizon + 0.2, wide * 0.7, 0.32, mix(green, sky, 0.4))  # a hill
    pen.box(0, horizon, wide, 1, green)
    for _ in range(150):
        x, y, shade = rng.uniform(0, wide), rng.uniform(horizon, 1.05), mix(green, BLACK, rng.uniform(-0.3, 0.4))
        pen.line([(x, y), (x + rng.uniform(-0.02, 0.02), y - 0.05)], shade, 0.008)
    for _ in range(rng.randint(0, 10)):
        pen.oval(rng.uniform(0, wide), rng.uniform(horizon, 1), 0.015, 0.015, rng.choice(BRIGHTS))


def _draw_room(image: Image.Image, rng: random.Random) -> None:
    pen, wide, floor = Pen.at(image, 0, 0, image.height), image.width / image.height, rng.uniform(0.6, 0.85)
    wall, wood, stripe = mix(any_colour(rng), WHITE, 0.3), any_colour(rng), rng.uniform(0.06, 0.3)
    pen.box(0, 0, wide, 1, wall)
    for x in np.arange(0, wide, stripe):
        pen.box(x, 0, stripe / 2, 1, mix(wall, WHITE, 0.25))
    pen.box(0, floor, wide, 1, wood)
    for y in np.arange(floor, 1, 0.065):  # boards
        pen.box(0, y, wide, 0.006, mix(wood, BLACK, 0.4))
    x, y = rng.uniform(0, wide * 0.65), rng.uniform(0.04, 0.2)
    pen.box(x, y, 0.3, 0.33, mix(wood, BLACK, 0.4))  # a picture in its frame
    pen.box(x + 0.02, y + 0.02, 0.26, 0.29, any_colour(rng))
    pen.oval(rng.choice((0.1, 0.9)) * wide, floor, 0.22, 0.13, rng.choice(BRIGHTS))  # a cushion


def draw_other(rng: random.Random) -> Image.Image:
    """Draws what slips into folders of animals: a chart, a page of writing or a road sign."""
    image = Image.new("RGB", (rng.randint(240, 480), rng.randint(240, 480)), WHITE)
    rng.choice((_draw_chart, _draw_writing, _draw_sign))(image, rng)
    return image


def _draw_chart(image: Image.Image, rng: random.Random) -> None:
    pen, bars = Pen(image, np.zeros(2), np.diag(image.size)), rng.randint(4, 9)
    for x in np.linspace(0.12, 0.97, bars, endpoint=False):
        height = rng.uniform(0.1, 0.75)
        pen.box(x, 0.9 - height, 0.6 / bars, height, BRIGHTS[1])
    pen.line([(0.1, 0.06), (0.1, 0.9), (0.96, 0.9)], BLACK, 0.01)


def _draw_writing(image: Image.Image, rng: random.Random) -> None:
    size = rng.randint(14, 24)
    for y in range(size, image.height - size, round(size * 1.5)):
        line = _TEXT[rng.randrange(100) :][: (image.width - 2 * size) * 2 // size]
        ImageDraw.Draw(image).text((size, y), line, BLACK, ImageFont.load_default(size))


def _draw_sign(image: Image.Image, rng: random.Random) -> None:
    draw, (x, y), radius = ImageDraw.Draw(image), (image.width / 2, image.height * 0.45), min(image.size) * 0.36
    image.paste((150, 190, 225), (0, 0, *image.size))
    draw.line((x, y, x, image.height), (110, 112, 116), 20)
    draw.regular_polygon((x, y, radius), rng.choice((3, 4, 8)), 0, rng.choice(BRIGHTS), WHITE, 6)
    draw.text((x, y), str(rng.choice((30, 50, 70))), WHITE, ImageFont.load_default(round(radius * 0.8)), anchor="mm")
