"""What the drawn cats and dogs stand in front of."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from .pen import BLACK, BRIGHTS, FURS, WHITE, Colour, Pen, mix, parse_points, vary


def draw_background(image: Image.Image, rng: random.Random) -> None:
    """Covers the image with a plain colour, a gradient, noise, a meadow or a room."""
    rng.choice(_BACKGROUNDS)(image, rng)


def _wash(image: Image.Image, grid: np.ndarray) -> None:
    """Fills the image with a coarse grid of colours, of shape [rows, columns, 3], made smooth."""
    coarse = Image.fromarray(np.clip(grid, 0, 255).astype(np.uint8))
    image.paste(coarse.resize(image.size, Image.Resampling.BICUBIC))


def _any_colour(rng: random.Random) -> Colour:
    """Returns a colour of any hue, but not a loud one."""
    grey = rng.randint(60, 225)
    return mix((grey, grey, grey), tuple(rng.randint(0, 255) for _ in range(3)), 0.45)


def _draw_plain(image: Image.Image, rng: random.Random) -> None:
    image.paste(_any_colour(rng), (0, 0, *image.size))


def _draw_gradient(image: Image.Image, rng: random.Random) -> None:
    _wash(image, np.array([[_any_colour(rng) for _ in range(2)] for _ in range(2)]))


def _draw_noise(image: Image.Image, rng: random.Random) -> None:
    cells = rng.choice((4, 8, 16, 40))
    noise = np.random.default_rng(rng.getrandbits(64)).normal(0, 20, (cells, cells, 3))
    _wash(image, np.array(_any_colour(rng)) + noise)


def _draw_grass(image: Image.Image, rng: random.Random) -> None:
    """Draws a meadow under a sky, with clouds, a hill, blades and flowers."""
    pen, wide = Pen.turned(image, (0, 0), image.height), image.width / image.height
    sky = vary(rng.choice(((150, 200, 236), (226, 190, 170), (190, 200, 208))), rng)
    _wash(image, np.array([[sky], [mix(sky, WHITE, 0.5)]]))
    horizon = rng.uniform(0.3, 0.65)
    for _ in range(rng.randint(0, 3)):
        x, y, r = rng.uniform(0, wide), rng.uniform(0, horizon * 0.7), 0.07
        for dx in (-r, 0.0, r):
            pen.oval(x + dx, y, r * 1.1, r * 0.7 - 0.2 * abs(dx), WHITE)
    green = vary(rng.choice(((104, 160, 70), (84, 134, 72), (158, 168, 84))), rng)
    pen.oval(rng.uniform(0, wide), horizon + 0.2, wide * 0.7, 0.32, mix(green, sky, 0.4))
    pen.box(0, horizon, wide, 1, green)
    blade = rng.uniform(0.03, 0.06)
    for _ in range(160):
        x, y, long = rng.uniform(0, wide), rng.uniform(horizon, 1.05), rng.uniform(0.6, 1.6)
        shade = mix(green, rng.choice((BLACK, (226, 236, 150))), rng.uniform(0.1, 0.4))
        leaf = np.array([(-0.12, 0), (0.12, 0), (rng.uniform(-0.5, 0.5), -long)])
        pen.polygon(leaf * blade + (x, y), shade)
    petals = rng.choice((*BRIGHTS, WHITE))
    for _ in range(rng.randint(0, 10)):
        x, y, r = rng.uniform(0, wide), rng.uniform(horizon, 1), blade * 0.22
        for dx, dy in ((-r, 0), (r, 0), (0, -r), (0, r)):
            pen.oval(x + dx, y + dy, r, r, petals)
        pen.oval(x, y, r * 0.8, r * 0.8, (240, 200, 80))


def _draw_indoor(image: Image.Image, rng: random.Random) -> None:
    """Draws a room: wall, perhaps striped, boards, a picture or a window, and a cushion."""
    pen, wide = Pen.turned(image, (0, 0), image.height), image.width / image.height
    wall = mix(_any_colour(rng), WHITE, rng.uniform(0.1, 0.5))
    floor, bottom = vary(rng.choice(FURS), rng), rng.uniform(0.6, 0.85)
    pen.box(0, 0, wide, 1, wall)
    if rng.random() < 0.5:
        step = rng.uniform(0.06, 0.14)
        for x in np.arange(0, wide, step):
            pen.box(x, 0, x + step / 2, 1, mix(wall, WHITE, 0.25))
    pen.box(0, bottom - 0.025, wide, bottom, mix(wall, WHITE, 0.6))
    pen.box(0, bottom, wide, 1, floor)
    for y in np.arange(bottom, 1, 0.065):
        pen.box(0, y, wide, y + 0.005, mix(floor, BLACK, 0.3))
    x, y, w, h = rng.uniform(0, wide * 0.65), rng.uniform(0.04, 0.2), wide * 0.3, 0.33
    bar = 0.02
    pen.box(x - bar, y - bar, x + w + bar, y + h + bar, mix(floor, BLACK, 0.35))
    pen.box(x, y, x + w, y + h, _any_colour(rng))
    if rng.random() < 0.5:  # bars make a window of the picture
        pen.box(x + w / 2, y, x + w / 2 + bar, y + h, WHITE)
        pen.box(x, y + h / 2, x + w, y + h / 2 + bar, WHITE)
    cloth, side = vary(rng.choice(BRIGHTS), rng), rng.choice((0.1, 0.9)) * wide
    cushion = parse_points("-1,-1 0,-0.8 1,-1 0.9,0 1,0.5 0,0.35 -1,0.5")
    pen.shape(cushion * 0.21 + (side, bottom), mix(cloth, BLACK, 0.4))
    pen.shape(cushion * 0.2 + (side, bottom), cloth)


_BACKGROUNDS = (_draw_plain, _draw_gradient, _draw_noise, _draw_grass, _draw_indoor)
