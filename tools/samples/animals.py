"""Cats and dogs, varied in pose, coat, place, size and light.

Both species share coats, poses, backgrounds and light; the head alone tells them apart. A cat has pointed ears, slit
pupils, a small nose and whiskers, a dog hanging ears, round eyes, a long snout and a large nose.
"""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from .pen import BLACK, BRIGHTS, PINK, WHITE, Pen, mix
from .scenes import draw_background

SPECIES = ("cat", "dog")
_OVERSAMPLE = 2  # drawn this much larger, then scaled down, which smooths the edges
_ASPECTS = (1.0, 1.0, 4 / 3, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9)  # width / height
_FURS = (
    *((216, 140, 68), (232, 205, 160), (140, 94, 60), (96, 68, 52), (146, 146, 152)),
    *((104, 112, 128), (62, 60, 66), (240, 235, 228), (192, 152, 108), (190, 192, 196)),
)
_CAT_EYES = ((150, 196, 84), (226, 190, 70), (112, 176, 214))
_DOG_EYES = ((112, 68, 38), (150, 98, 50), (84, 52, 34))
# Outlines of right ears; they and all lengths below are in radii of the head, around its centre.
_CAT_EAR = np.array([(0.15, -0.7), (0.8, -1.4), (0.95, -0.2)])
_HANGING_EAR = np.array([(0.4, -0.8), (0.8, -0.8), (1.1, -0.3), (1.2, 0.4), (1.0, 0.65), (0.8, 0.4), (0.7, -0.2)])
_FOLDED_EAR = np.array([(0.24, -0.84), (0.5, -1.12), (0.86, -1.06), (1.08, -0.62), (1.08, -0.22), (0.84, -0.34)])


class _Coat:
    """Colours and pattern of one animal."""

    def __init__(self, rng: random.Random) -> None:
        self.fur = mix(rng.choice(_FURS), rng.choice(_FURS), rng.uniform(0, 0.2))
        self.pattern = rng.choice(("plain", "patches", "mask", "blaze", "stripes"))
        darker = mix(self.fur, BLACK, rng.uniform(0.4, 0.65))
        self.second = darker if self.pattern in ("mask", "stripes") else rng.choice(_FURS)
        self.pale, self.edge = mix(self.fur, WHITE, rng.uniform(0.4, 0.9)), mix(self.fur, BLACK, 0.62)
        self.shaggy = rng.choice((0.0, 0.04, 0.08))


def draw_animal(species: str, rng: random.Random) -> Image.Image:
    """Draws a cat or dog before a background, RGB, of 40 to 1000 pixels a side and mostly of 200 to 500."""
    longer = rng.choices((rng.uniform(200, 500), rng.uniform(60, 200), rng.uniform(500, 950)), (88, 7, 5))[0]
    aspect = rng.choice(_ASPECTS) * rng.uniform(0.95, 1.05)
    size = max(40, round(longer * min(1, aspect))), max(40, round(longer / max(1, aspect)))
    width, height = (side * _OVERSAMPLE for side in size)
    image = Image.new("RGB", (width, height))
    draw_background(image, rng)
    coat, sitting, lean = _Coat(rng), rng.random() < 0.4, rng.uniform(-8, 8)
    if sitting:
        unit = min(width * 0.26, height * 0.2) * rng.uniform(0.75, 1.05)
        x, y = rng.uniform(2 * unit, max(2 * unit, width - 2 * unit)), height * rng.uniform(0.9, 0.98) - 3.4 * unit
    else:
        unit = min(width, height) * rng.uniform(0.21, 0.33)
        x, y = width * rng.uniform(0.4, 0.6), height * rng.uniform(0.42, 0.55)
    _draw_body(Pen.at(image, x, y, unit, lean), sitting, coat, rng)
    draw_head = _draw_cat_head if species == "cat" else _draw_dog_head
    draw_head(Pen.at(image, x, y, unit, lean + rng.uniform(-14, 14)), coat, rng)
    return _light(image.resize(size, Image.Resampling.LANCZOS), rng)


def _draw_body(pen: Pen, sitting: bool, coat: _Coat, rng: random.Random) -> None:
    if sitting:
        pen.oval(0.1, 3.4, 1.9, 0.28, (20, 20, 30, 70))  # its shadow
        for colour, width in ((coat.edge, 0.36), (coat.fur, 0.3)):
            pen.line([(0.7, 3.0), (1.3, 2.9), (1.7, 2.5), (1.75, 2.0), (1.6, 1.5)], colour, width)  # tail
    middle, wide, tall = (2.1, rng.uniform(0.9, 1.05), 1.4) if sitting else (2.6, rng.uniform(1.1, 1.4), 2.1)
    pen.oval(0, middle, wide, tall, coat.fur, coat.edge, coat.shaggy)
    if coat.pattern == "patches":
        pen.oval(rng.uniform(-0.4, 0.4), rng.uniform(1.6, 2.4), 0.4, 0.5, coat.second)
    if coat.pattern == "stripes":
        for side in pen.sides():
            for y in (1.6, 2.0, 2.4):
                side.line([(wide * 0.8, y), (0.5, y + 0.1)], coat.second, 0.15)
    if rng.random() < 0.7:
        pen.oval(0, 1.4, 0.45, 0.8, coat.pale, shaggy=0.15)
    if sitting:
        for side in pen.sides():
            side.oval(0.8, 2.9, 0.42, 0.52, coat.fur, coat.edge)  # hind leg
            side.oval(0.34, 2.6, 0.24, 0.75, coat.fur, coat.edge)  # foreleg
            side.oval(0.36, 3.28, 0.34, 0.2, coat.pale, coat.edge)  # paw
    if rng.random() < 0.4:
        pen.line([(-0.7, 0.9), (-0.4, 1.12), (0, 1.2), (0.4, 1.12), (0.7, 0.9)], rng.choice(BRIGHTS), 0.2)  # collar


def _draw_markings(head: Pen, coat: _Coat, rng: random.Random) -> None:
    if coat.pattern == "patches":
        head.oval(rng.choice((-0.42, 0.42)), -0.2, 0.34, 0.42, coat.second)
    elif coat.pattern == "mask":
        head.oval(0, 0.3, 0.6, 0.5, coat.second)
    elif coat.pattern == "blaze":
        head.oval(0, -0.1, 0.16, 0.6, coat.second)
    elif coat.pattern == "stripes":
        for x in (-0.3, 0, 0.3):
            head.line([(x, -0.68), (x * 0.8, -0.4)], coat.second, 0.1)


def _draw_cat_head(head: Pen, coat: _Coat, rng: random.Random) -> None:
    ear = _CAT_EAR * [1, rng.uniform(0.85, 1.1)]
    for side in head.sides():
        side.polygon(ear, coat.second if coat.pattern == "mask" else coat.fur, coat.edge)
        side.polygon(ear * 0.6 + ear.mean(axis=0) * 0.4, mix(coat.fur, PINK, 0.7))
    head.oval(0, 0, rng.uniform(0.95, 1.08), 0.88, coat.fur, coat.edge, coat.shaggy)
    _draw_markings(head, coat, rng)
    iris, slit, tilt = rng.choice(_CAT_EYES), rng.uniform(0.035, 0.085), rng.uniform(-0.04, 0.04)
    whiskers = WHITE if sum(coat.fur) < 480 else mix(coat.edge, BLACK, 0.3)
    for side in head.sides():
        side.oval(0.42, -0.1, 0.25, 0.19, iris, BLACK)
        side.oval(0.42 + tilt, -0.1, slit, 0.17, BLACK)
        side.oval(0.48, -0.18, 0.05, 0.05, WHITE)
        side.oval(0.19, 0.47, 0.24, 0.18, coat.pale)
        side.line([(0, 0.36), (0, 0.5), (0.14, 0.59), (0.3, 0.52)], BLACK, 0.04)
        for y in (-0.15, 0.0, 0.15):
            side.line([(0.28, 0.48 + y / 3), (0.9, 0.42 + y), (1.4, 0.48 + 2 * y)], whiskers, 0.025)
    nose = np.array([(-0.14, 0.27), (0.14, 0.27), (0, 0.42)])
    head.polygon(nose, mix(PINK, BLACK, rng.choice((0.0, 0.7))), BLACK)


def _draw_dog_head(head: Pen, coat: _Coat, rng: random.Random) -> None:
    head.oval(0, 0, rng.uniform(0.78, 0.92), 0.95, coat.fur, coat.edge, coat.shaggy)
    _draw_markings(head, coat, rng)
    ears = coat.second if coat.pattern in ("patches", "mask") else mix(coat.fur, BLACK, rng.uniform(0.0, 0.3))
    ear = rng.choice((_HANGING_EAR, _HANGING_EAR, _FOLDED_EAR)) * [1, rng.uniform(0.9, 1.15)]
    iris, panting = rng.choice(_DOG_EYES), rng.random() < 0.5
    for side in head.sides():
        side.polygon(ear, ears, coat.edge)
        side.line([(0.24, -0.52), (0.38, -0.57), (0.48, -0.52)], coat.edge, 0.06)  # brow
        side.oval(0.36, -0.22, 0.17, 0.18, WHITE, BLACK)
        side.oval(0.36, -0.21, 0.14, 0.15, iris)
        side.oval(0.36, -0.21, 0.08, 0.09, BLACK)
        side.oval(0.4, -0.27, 0.04, 0.04, WHITE)
    if panting:
        head.oval(0, 0.95, 0.2, rng.uniform(0.3, 0.42), PINK, mix(PINK, BLACK, 0.5))
    for x in (-0.23, 0.23, 0):
        head.oval(x, 0.58 if x else 0.4, 0.31, 0.28, coat.pale)  # snout
    for side in head.sides():
        side.line([(0, 0.42), (0, 0.68), (0.22, 0.84), (0.48, 0.7)], BLACK, 0.05)
    head.oval(0, 0.27, 0.23, 0.17, BLACK)
    head.oval(-0.07, 0.2, 0.08, 0.04, (150, 146, 150))


def _light(image: Image.Image, rng: random.Random) -> Image.Image:
    """The picture under uneven light and with the grain of a camera."""
    tint = rng.uniform(0.8, 1.12) * np.array([rng.uniform(0.94, 1.06) for _ in range(3)])
    slope = np.linspace(-1, 1, image.width)[:, None] * rng.uniform(-0.2, 0.2)
    grain = np.random.default_rng(rng.getrandbits(64)).normal(0, rng.uniform(0, 7), (image.height, image.width, 1))
    lit = np.asarray(image) * tint * (1 + slope) + grain
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))
