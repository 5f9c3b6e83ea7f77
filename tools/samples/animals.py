"""Cats and dogs drawn with Pillow, varied in pose, coat, place, size and light.

Coats, poses, backgrounds and light are shared by both species, so only the animal itself tells
them apart: a cat has pointed ears, slit pupils, a small nose and whiskers, a dog has hanging ears,
round eyes, a long snout and a large nose.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .backgrounds import draw_background
from .pen import BLACK, BRIGHTS, FURS, PINK, WHITE, Colour, Pen, Point, both_sides, mix, parse_points, vary

SPECIES = ("cat", "dog")
MIN_SIDE, MAX_SIDE = 40, 1000  # pixels
_OVERSAMPLE = 2  # drawn this much larger, then scaled down, which smooths the edges

_CAT_EYES = ((150, 196, 84), (226, 190, 70), (112, 176, 214), (208, 138, 62), (96, 170, 140))
_DOG_EYES = ((112, 68, 38), (84, 52, 34), (150, 98, 50), (120, 170, 206))
_ASPECTS = (1.0, 1.0, 4 / 3, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9)  # width / height
_PATTERNS = ("plain", "patches", "mask", "blaze", "stripes")
_PATTERN_WEIGHTS = {"cat": (4, 3, 2, 3, 6), "dog": (5, 4, 3, 4, 1)}


def draw_animal(species: str, rng: random.Random) -> Image.Image:
    """Draws one cat or dog in front of a background.

    Args:
        species: 'cat' or 'dog'.
        rng: the source of every choice; the same state gives the same picture.

    Returns:
        An RGB picture of 40 to 1000 pixels a side, most of about 200 to 500.

    Raises:
        ValueError: if the species is neither 'cat' nor 'dog'.
    """
    if species not in SPECIES:
        raise ValueError(f"species is {species!r}, must be one of {', '.join(SPECIES)}")
    size = _choose_size(rng)
    image = Image.new("RGB", (size[0] * _OVERSAMPLE, size[1] * _OVERSAMPLE))
    draw_background(image, rng)
    _draw_figure(image, _choose_look(species, rng), rng)
    return _light(image.resize(size, Image.Resampling.LANCZOS), rng)


def _choose_size(rng: random.Random) -> tuple[int, int]:
    """Returns width and height in pixels."""
    longer = rng.choices((rng.uniform(200, 500), rng.uniform(60, 200), rng.uniform(500, MAX_SIDE)), (88, 7, 5))[0]
    aspect = rng.choice(_ASPECTS) * rng.uniform(0.95, 1.05)
    width, height = longer * min(1, aspect), longer / max(1, aspect)
    return max(MIN_SIDE, round(width)), max(MIN_SIDE, round(height))


@dataclass(frozen=True)
class _Look:
    """What one animal looks like."""

    species: str
    fur: Colour
    second: Colour  # of patches, stripes and masks
    muzzle: Colour
    edge: Colour
    pattern: str
    bib: bool
    shaggy: float  # length of the tufts, in head radii
    collar: Colour | None


def _choose_look(species: str, rng: random.Random) -> _Look:
    fur = vary(rng.choice(FURS), rng)
    pattern = rng.choices(_PATTERNS, _PATTERN_WEIGHTS[species])[0]
    if pattern in ("stripes", "mask"):
        second = mix(fur, BLACK, rng.uniform(0.4, 0.65))
    else:
        second = vary(WHITE if pattern == "blaze" else rng.choice(FURS), rng)
    return _Look(
        species=species,
        fur=fur,
        second=second,
        muzzle=mix(fur, WHITE, rng.uniform(0.4, 0.9)),
        edge=mix(fur, BLACK, 0.62),
        pattern=pattern,
        bib=rng.random() < 0.7,
        shaggy=rng.choice((0.0, 0.03, 0.06)),
        collar=vary(rng.choice(BRIGHTS), rng) if rng.random() < 0.4 else None,
    )


def _draw_figure(image: Image.Image, look: _Look, rng: random.Random) -> None:
    """Draws the animal, as a portrait or sitting."""
    width, height = image.size
    lean = rng.uniform(-8, 8)
    if rng.random() < 0.6:
        unit = min(width, height) * rng.uniform(0.21, 0.33)
        place = (width * rng.uniform(0.4, 0.6), height * rng.uniform(0.42, 0.55))
        draw_body = _draw_shoulders
    else:
        unit = min(width * 0.26, height * 0.2) * rng.uniform(0.75, 1.05)
        aside = rng.uniform(-1, 1) * max(0, width / 2 - 2 * unit)
        place = (width / 2 + aside, height * rng.uniform(0.9, 0.98) - 3.4 * unit)
        draw_body = _draw_sitting
    draw_body(Pen.turned(image, place, unit, lean), look, rng)
    head = Pen.turned(image, place, unit, lean + rng.uniform(-14, 14))
    face = head.moved(rng.uniform(-0.14, 0.14))  # the face moves aside as the head turns
    (_draw_cat_head if look.species == "cat" else _draw_dog_head)(head, face, look, rng)


def _draw_shoulders(pen: Pen, look: _Look, rng: random.Random) -> None:
    outline = both_sides("0.55,0.4 0.8,1.2 1.15,2.2 1.25,4.5") * (rng.uniform(1, 1.3), 1)
    _draw_trunk(pen, outline, look, rng)
    _draw_collar(pen, look)


def _draw_sitting(pen: Pen, look: _Look, rng: random.Random) -> None:
    pen.oval(0.1, 3.4, 1.9, 0.28, (20, 20, 30, 70))
    if look.species == "cat":
        tail, thick = parse_points("0.7,3.1 1.5,3.1 1.85,2.5 1.55,1.9 1.75,1.4"), 0.3
    else:
        tail, thick = parse_points("0.7,2.9 1.3,2.6 1.6,2.0 1.5,1.5"), rng.uniform(0.26, 0.42)
    tail = tail * (rng.choice((-1, 1)) * rng.uniform(0.9, 1.1), 1)
    pen.stroke(tail, look.edge, thick + 0.07, 0.75)
    pen.stroke(tail, look.fur, thick, 0.7)
    outline = both_sides("0.45,0.6 0.78,1.5 1.02,2.4 0.95,3.2 0.4,3.4")
    _draw_trunk(pen, outline, look, rng)
    socks = look.muzzle if rng.random() < 0.5 else look.fur
    for side in pen.sides():
        side.oval(1.0, 3.28, 0.42, 0.2, socks, look.edge)
        side.stroke("0.3,2 0.34,3.1", look.edge, 0.5)
        side.stroke("0.3,1.9 0.34,3.1", look.fur, 0.43)
        side.oval(0.36, 3.28, 0.34, 0.21, socks, look.edge)
        side.stroke("0.26,3.3 0.26,3.45", look.edge, 0.03)
        side.stroke("0.46,3.3 0.46,3.45", look.edge, 0.03)
    _draw_collar(pen, look)


def _draw_trunk(pen: Pen, outline: np.ndarray, look: _Look, rng: random.Random) -> None:
    def paint(inner: Pen) -> None:
        if look.pattern == "stripes":
            for side in inner.sides():
                for y in np.arange(1.3, 3.4, 0.42):
                    side.stroke([(1.5, y), (0.55, y + 0.12)], look.second, 0.17, 0.3)
        elif look.pattern == "patches":
            for _ in range(3):
                x, y, rx, ry = (rng.uniform(*r) for r in ((-1, 1), (1.2, 3), (0.3, 0.6), (0.3, 0.6)))
                inner.oval(x, y, rx, ry, look.second)
        if look.bib:
            inner.shape(both_sides("0.62,0.7 0.56,1.4 0.3,2 0,2.3"), look.muzzle, shaggy=0.07)
        _paint_fur(inner, look, (0, 2.0), (1.2, 1.4), rng)

    pen.inside(pen.shape(outline, look.fur, look.edge, look.shaggy), paint)


def _paint_fur(pen: Pen, look: _Look, centre: Point, radii: Point, rng: random.Random) -> None:
    """Draws faint hairs within an ellipse, pointing away from its upper part."""
    for _ in range(70):
        angle, far = rng.uniform(0, 2 * math.pi), math.sqrt(rng.random())
        x, y = math.cos(angle) * far * radii[0], math.sin(angle) * far * radii[1]
        along, across = np.array([(x * 0.16, 0.09 + y * 0.05), (0.011 + y * 0.006, -x * 0.02)])
        hair = np.stack([-across, across, along]) + (x + centre[0], y + centre[1])
        pen.polygon(hair, (*rng.choice((look.edge, WHITE)), 60))


def _draw_collar(pen: Pen, look: _Look) -> None:
    if look.collar is not None:
        band = "-0.72,0.85 -0.4,1.14 0,1.24 0.4,1.14 0.72,0.85"
        pen.stroke(band, mix(look.collar, BLACK, 0.5), 0.27)
        pen.stroke(band, look.collar, 0.2)
        pen.oval(0, 1.42, 0.14, 0.14, (236, 196, 74), (120, 90, 30))


def _draw_skull(head: Pen, face: Pen, outline: np.ndarray, look: _Look, rng: random.Random) -> None:
    def paint(inner: Pen) -> None:
        middle = Pen(inner.image, face.origin, face.axes)
        if look.pattern == "stripes":
            middle.stroke("0,-1.1 0,-0.45", look.second, 0.15, 0.4)
            for side in middle.sides():
                side.stroke("0.4,-1.1 0.34,-0.45", look.second, 0.15, 0.4)
            for side in inner.sides():
                for y in (0.0, 0.28, 0.56):
                    side.stroke([(1.15, y), (0.66, y + 0.06)], look.second, 0.13, 0.3)
        elif look.pattern == "patches":
            middle.oval(rng.choice((-0.45, 0.45)), -0.2, 0.42, 0.5, look.second)
            middle.oval(rng.uniform(-0.7, 0.7), -0.8, 0.4, 0.35, look.second)
        elif look.pattern == "mask":
            middle.oval(0, 0.35, 0.72, 0.68, look.second)
        elif look.pattern == "blaze":
            middle.shape(both_sides("0,-1.2 0.14,-0.5 0.5,0.5 0,1.2"), look.second)
        _paint_fur(inner, look, (0, -0.1), (0.9, 0.9), rng)

    head.inside(head.shape(outline, look.fur, look.edge, look.shaggy), paint)


def _draw_cat_head(head: Pen, face: Pen, look: _Look, rng: random.Random) -> None:
    ears = look.second if look.pattern == "mask" else look.fur
    shape = (rng.uniform(0.88, 1.05), rng.uniform(0.9, 1.1))
    for side in head.sides():
        ear = parse_points("0.16,-0.65 0.52,-1.12 0.82,-1.4 0.94,-1.18 1,-0.1 0.4,-0.3")
        side.shape(ear * shape, ears, look.edge)
        side.shape(parse_points("0.42,-0.74 0.78,-1.14 0.84,-0.4") * shape, mix(ears, PINK, 0.7))
    outline = both_sides("0,-0.8 0.48,-0.76 0.86,-0.36 1,0.16 0.9,0.5 0.5,0.82 0,0.92")
    _draw_skull(head, face, outline * (rng.uniform(0.97, 1.1), 1), look, rng)
    iris, slit, asleep = rng.choice(_CAT_EYES), rng.uniform(0.035, 0.085), rng.random() < 0.1
    for side, shine in zip(face.sides(), (0.07, -0.07)):
        if asleep:
            side.stroke("0.21,-0.1 0.43,0.03 0.65,-0.1", BLACK, 0.06)
            continue
        side.shape("0.19,0 0.41,-0.3 0.7,-0.2 0.49,0.09", iris, BLACK)
        side.oval(0.43, -0.1, slit, 0.19, BLACK)
        side.oval(0.43 + shine, -0.18, 0.05, 0.05, WHITE)
    for side in face.sides():
        side.oval(0.19, 0.5, 0.24, 0.19, look.muzzle)
    face.oval(0, 0.68, 0.2, 0.14, look.muzzle)
    if rng.random() < 0.15:
        face.oval(0, 0.66, 0.08, 0.12, PINK, mix(PINK, BLACK, 0.4))
    nose = mix(PINK, BLACK, rng.choice((0.0, 0.15, 0.7)))
    whiskers = WHITE if sum(look.fur) < 480 else mix(look.edge, BLACK, 0.3)
    long = rng.uniform(0.8, 1.05)
    for side in face.sides():
        side.stroke("0,0.36 0,0.5 0.15,0.6 0.3,0.53", BLACK, 0.04)
        for y in (-0.16, 0.0, 0.16):
            hair = [(0.28, 0.48 + y / 3), (long, 0.42 + y), (1.5 * long, 0.5 + y * 2)]
            side.stroke(hair, whiskers, 0.03, 0.4)
    face.shape("-0.14,0.27 0.14,0.27 0,0.42", nose, BLACK)


def _draw_dog_head(head: Pen, face: Pen, look: _Look, rng: random.Random) -> None:
    outline = both_sides("0,-0.9 0.45,-0.84 0.76,-0.5 0.82,0 0.67,0.5 0.53,0.86 0,1.06")
    _draw_skull(head, face, outline * (rng.uniform(0.94, 1.1), 1), look, rng)
    darker = mix(look.fur, BLACK, rng.uniform(0.0, 0.3))
    ears = look.second if look.pattern in ("patches", "mask") else darker
    if rng.random() < 0.7:  # long ears hang beside the cheeks, short ones fold at the top
        ear = parse_points("0.42,-0.82 0.8,-0.86 1.15,-0.3 1.2,0.3 1.02,0.5 0.82,0.3 0.72,-0.2")
        ear = (ear + (0, 0.86)) * (rng.uniform(0.95, 1.08), rng.uniform(0.9, 1.35)) - (0, 0.86)
    else:
        ear = parse_points("0.24,-0.84 0.5,-1.12 0.86,-1.06 1.08,-0.62 1.08,-0.22 0.84,-0.34 0.6,-0.6")
    for side in head.sides():
        side.shape(ear, ears, look.edge, look.shaggy)
    iris, asleep = rng.choice(_DOG_EYES), rng.random() < 0.08
    for side, shine in zip(face.sides(), (0.05, -0.05)):
        side.stroke("0.24,-0.52 0.38,-0.57 0.48,-0.52", look.edge, 0.06)
        if asleep:
            side.stroke("0.18,-0.22 0.36,-0.34 0.54,-0.22", BLACK, 0.06)
            continue
        side.oval(0.36, -0.22, 0.17, 0.18, WHITE, BLACK)
        side.oval(0.36, -0.21, 0.15, 0.16, iris)
        side.oval(0.36, -0.21, 0.09, 0.1, BLACK)
        side.oval(0.36 + shine, -0.28, 0.045, 0.045, WHITE)
    if rng.random() < 0.5:
        loll = rng.uniform(0.9, 1.1)
        face.oval(0, 0.86, 0.3, 0.2, (104, 40, 46), BLACK)
        tongue = both_sides("0,0.76 0.2,0.8 0.22,1.2 0,1.36") * (1, loll)
        face.shape(tongue, PINK, mix(PINK, BLACK, 0.5))
        face.stroke("0,0.85 0.02,1.15", mix(PINK, BLACK, 0.25), 0.04)
    for side in face.sides():
        side.oval(0.23, 0.58, 0.31, 0.29, look.muzzle)
    face.oval(0, 0.35, 0.28, 0.34, look.muzzle)
    for side in face.sides():
        side.stroke("0,0.42 0,0.7 0.22,0.86 0.48,0.72", BLACK, 0.05)
        for x, y in ((0.24, 0.56), (0.33, 0.64), (0.35, 0.5)):
            side.oval(x, y, 0.022, 0.022, look.edge)
    face.shape(both_sides("0,0.13 0.24,0.2 0.16,0.38 0,0.46"), BLACK)
    face.oval(-0.07, 0.22, 0.08, 0.04, (150, 146, 150))


def _light(image: Image.Image, rng: random.Random) -> Image.Image:
    """Returns the picture under uneven light and with the grain of a camera."""
    noise = np.random.default_rng(rng.getrandbits(64))
    width, height = image.size
    across, down, gain = rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15), rng.uniform(0.8, 1.12)
    x = np.linspace(-across, across, width, dtype=np.float32)[None, :, None]
    y = np.linspace(-down, down, height, dtype=np.float32)[:, None, None]
    tint = np.array([rng.uniform(0.94, 1.06) for _ in range(3)], dtype=np.float32)
    pixels = np.asarray(image, dtype=np.float32) * (gain * tint * (1 + x + y))
    grain = noise.standard_normal((height, width, 1), dtype=np.float32) * rng.uniform(0.0, 7.0)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
