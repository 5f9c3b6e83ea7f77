"""Cats and dogs, varied in pose, coat, scene, size and light, and pictures of no animal.

Bodies, furs, scenes and light are alike; heads and patterns tell the species apart. A cat has pointed ears, slit
pupils, a small nose and whiskers, a dog hanging ears, round pupils, a long snout and a large nose.
"""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .pen import BLACK, PINK, WHITE, Colour, Pen, mix

SPECIES = ("cat", "dog")
_OVERSAMPLE = 2  # drawn this much larger, then scaled down, which smooths the edges
_ASPECTS = (1, 1, 4 / 3, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9)  # width / height
_BRIGHTS = ((200, 58, 56), (54, 108, 190), (66, 150, 90), (226, 176, 58), (140, 84, 168))
_SKIES = ((150, 200, 236), (226, 190, 170), (190, 200, 208))
_GREENS = ((104, 160, 70), (84, 134, 72), (158, 168, 84))
_FURS = ((216, 140, 68), (232, 205, 160), (140, 94, 60), (96, 68, 52), (146, 146, 152), (62, 60, 66), (240, 235, 228))
_EARS = {
    "pointed": np.array([(0.15, -0.7), (0.8, -1.4), (0.95, -0.2)]),
    "hanging": np.array([(0.4, -0.8), (0.8, -0.8), (1.1, -0.3), (1.2, 0.4), (1.0, 0.65), (0.8, 0.4), (0.7, -0.2)]),
    "folded": np.array([(0.24, -0.84), (0.5, -1.12), (0.86, -1.06), (1.08, -0.62), (1.08, -0.22), (0.84, -0.34)]),
}
# Of cats and of dogs. Ovals are x and y of the centre and the radii, in radii of the head around its centre; of what
# comes in pairs it is the right one, as in the ears above. A marking has the second colour of the coat.
_KINDS = {
    "skull": ((0, 0, 1.02, 0.88), (0, 0, 0.85, 0.95)),
    "eye": ((0.42, -0.1, 0.25, 0.19), (0.36, -0.22, 0.17, 0.18)),
    "pupil": ((0.42, -0.1, 0.06, 0.17), (0.36, -0.22, 0.1, 0.11)),
    "snout": ((0.19, 0.47, 0.24, 0.18), (0.21, 0.56, 0.33, 0.33)),
    "nose": ((0, 0.34, 0.12, 0.08), (0, 0.27, 0.25, 0.18)),
    "irises": (((150, 196, 84), (226, 190, 70), (112, 176, 214)), ((112, 68, 38), (150, 98, 50), (84, 52, 34))),
    "ears": (("pointed",), ("hanging", "folded")),
    "patterns": (("plain", "stripes", "stripes", "mask", "blaze"), ("plain", "patch", "patch", "mask", "blaze")),
}
_MARKINGS = {"patch": (0.42, -0.2, 0.34, 0.42), "mask": (0, 0.3, 0.6, 0.5), "blaze": (0, -0.1, 0.16, 0.6)}
_TEXT = "not found, please sign in again; the page of this picture is no longer here, sold out at the total price. " * 3


def draw_animal(species: str, rng: random.Random) -> Image.Image:
    """Draws a cat or dog in a scene, RGB, of 40 to 1000 pixels a side and mostly of 200 to 500."""
    longer = rng.choices((rng.uniform(200, 500), rng.uniform(60, 200), rng.uniform(500, 950)), (88, 7, 5))[0]
    aspect = rng.choice(_ASPECTS) * rng.uniform(0.95, 1.05)
    size = max(40, round(longer * min(1, aspect))), max(40, round(longer / max(1, aspect)))
    image = Image.new("RGB", (size[0] * _OVERSAMPLE, size[1] * _OVERSAMPLE))
    _draw_scene(Pen(image, (0, 0), np.diag(image.size)), rng)
    centre = image.width * rng.uniform(0.35, 0.65), image.height * rng.uniform(0.38, 0.5)
    body = Pen(image, centre, min(image.size) * rng.uniform(0.17, 0.33) * np.eye(2)).turned(rng.uniform(-8, 8))
    kind = SimpleNamespace(**{part: of_each[SPECIES.index(species)] for part, of_each in _KINDS.items()})
    fur, second = (mix(rng.choice(_FURS), rng.choice(_FURS), rng.uniform(0, 0.3)) for _ in range(2))
    coat = SimpleNamespace(fur=fur, second=second, pale=mix(fur, WHITE, 0.65), edge=mix(fur, BLACK, 0.62))
    coat.pattern, coat.shaggy = rng.choice(kind.patterns), rng.random() < 0.5
    _draw_body(body, coat, rng)
    _draw_head(rng.choice(body.turned(rng.uniform(-14, 14)).sides()), species, kind, coat, rng)
    # Uneven light, and the grain of a camera.
    tint = rng.uniform(0.8, 1.12) * np.array([rng.uniform(0.94, 1.06) for _ in range(3)])
    slope = np.linspace(rng.uniform(0.8, 1.2), 1, size[0])[:, None]
    grain = np.random.default_rng(rng.getrandbits(64)).normal(0, rng.uniform(0, 7), (size[1], size[0], 1))
    lit = np.asarray(image.resize(size, Image.Resampling.LANCZOS)) * tint * slope + grain
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def _draw_body(pen: Pen, coat: SimpleNamespace, rng: random.Random) -> None:
    pen.oval((0.1, 3.4, 1.9, 0.28), (20, 20, 30, 70))  # shadow
    for colour, thick in ((coat.edge, 0.36), (coat.fur, 0.3)):
        pen.line([(0.7, 3.0), (1.3, 2.9), (1.7, 2.5), (1.75, 2.0), (1.6, 1.5)], colour, thick)  # tail
    pen.oval((0, 2.1, rng.uniform(0.9, 1.1), 1.4), coat.fur, coat.edge, coat.shaggy)
    if rng.random() < 0.7:
        pen.oval((0, 1.4, 0.45, 0.8), coat.pale, shaggy=True)  # bib
    for side in pen.sides():
        for y in (1.6, 2.0, 2.4) if coat.pattern == "stripes" else ():
            side.line([(0.75, y), (0.5, y + 0.1)], coat.second, 0.15)
        side.oval((0.8, 2.9, 0.42, 0.52), coat.fur, coat.edge)  # hind leg
        side.oval((0.34, 2.6, 0.24, 0.75), coat.fur, coat.edge)  # foreleg
        side.oval((0.36, 3.28, 0.34, 0.2), coat.pale, coat.edge)  # paw
    if rng.random() < 0.4:
        pen.line([(-0.7, 0.9), (-0.4, 1.12), (0, 1.2), (0.4, 1.12), (0.7, 0.9)], rng.choice(_BRIGHTS), 0.2)  # collar


def _draw_head(pen: Pen, species: str, kind: SimpleNamespace, coat: SimpleNamespace, rng: random.Random) -> None:
    ear = _EARS[rng.choice(kind.ears)] * [rng.uniform(0.95, 1.05), rng.uniform(0.85, 1.1)]
    iris, (x, y, wide, tall) = rng.choice(kind.irises), kind.snout
    for side in pen.sides() if species == "cat" else ():
        side.polygon(ear, coat.second if coat.pattern == "mask" else coat.fur, coat.edge)
        side.polygon(ear * 0.6 + ear.mean(axis=0) * 0.4, mix(coat.fur, PINK, 0.7))
    pen.oval(kind.skull, coat.fur, coat.edge, coat.shaggy)
    if coat.pattern in _MARKINGS:
        pen.oval(_MARKINGS[coat.pattern], coat.second)
    for middle in (-0.3, 0, 0.3) if coat.pattern == "stripes" else ():
        pen.line([(middle, -0.68), (middle * 0.8, -0.4)], coat.second, 0.1)
    if species == "dog":
        pen.oval((0, 0.75, 0.2, rng.choice((0.05, 0.5, 0.6))), PINK, mix(PINK, BLACK, 0.5))  # tongue
    for side in pen.sides():
        if species == "dog":
            side.polygon(ear, coat.second if coat.pattern in ("patch", "mask") else coat.fur, coat.edge)
        side.oval(kind.eye, iris, BLACK)
        side.oval(kind.pupil, BLACK)
        side.oval((kind.eye[0] + 0.05, kind.eye[1] - 0.07, 0.05, 0.05), WHITE)
        side.oval(kind.snout, coat.pale)
    for side in pen.sides():
        side.line([(0, y), (0, y + 0.4 * tall), (x, y + 0.8 * tall), (x + wide / 2, y + tall / 2)], BLACK, 0.05)
        for up in (-0.15, 0, 0.15) if species == "cat" else ():
            side.line([(0.28, 0.48 + up / 3), (0.9, 0.42 + up), (1.4, 0.48 + 2 * up)], mix(coat.pale, WHITE, 0.6), 0.03)
    pen.oval(kind.nose, mix(PINK, BLACK, 0.2) if species == "cat" else BLACK, BLACK)


def _any_colour(rng: random.Random) -> Colour:
    """A colour of any hue, but not a loud one."""
    return mix((rng.randint(60, 225),) * 3, tuple(rng.randint(0, 255) for _ in range(3)), 0.45)


def _draw_scene(pen: Pen, rng: random.Random) -> None:
    """Draws colours that run into each other, a meadow or a room."""
    scene, horizon, back, ground = rng.randrange(3), rng.uniform(0.4, 0.8), _any_colour(rng), _any_colour(rng)
    if scene == 0:
        cells = rng.choice((1, 2, 2, 8, 30))
        colours = [mix(back, _any_colour(rng), min(1, 3 / cells)) for _ in range(cells * cells)]
        grid = Image.fromarray(np.array(colours, np.uint8).reshape(cells, cells, 3))
        pen.image.paste(grid.resize(pen.image.size, Image.Resampling.BICUBIC))
    elif scene == 1:
        sky, green = rng.choice(_SKIES), rng.choice(_GREENS)
        pen.box(0, 0, 1, 1, sky)
        for _ in range(rng.randint(0, 3)):
            pen.oval((rng.random(), rng.uniform(0, horizon * 0.7), rng.uniform(0.08, 0.15), 0.04), WHITE)  # cloud
        pen.oval((rng.random(), horizon + 0.2, 0.7, 0.32), mix(green, sky, 0.4))  # hill
        pen.box(0, horizon, 1, 1, green)
        for _ in range(150):
            x, y, shade = rng.random(), rng.uniform(horizon, 1.05), mix(green, BLACK, rng.uniform(-0.3, 0.4))
            pen.line([(x, y), (x + rng.uniform(-0.02, 0.02), y - 0.05)], shade, 0.006)
    else:
        pen.box(0, 0, 1, 1, back)
        for x in np.arange(0, 1, rng.uniform(0.07, 0.3)):
            pen.box(x, 0, x + 0.03, 1, mix(back, WHITE, 0.25))
        pen.box(0, horizon, 1, 1, ground)
        x, y = rng.uniform(0, 0.65), rng.uniform(0.04, 0.2)
        pen.box(x, y, x + 0.3, y + 0.33, mix(ground, BLACK, 0.4))  # window
        pen.box(x + 0.02, y + 0.02, x + 0.28, y + 0.31, rng.choice(_SKIES))
        pen.oval((rng.choice((0.1, 0.9)), horizon, 0.18, 0.13), rng.choice(_BRIGHTS))  # cushion


def draw_other(rng: random.Random) -> Image.Image:
    """Draws what slips into folders of animals: a chart or a page of writing."""
    image = Image.new("RGB", (rng.randint(240, 480), rng.randint(240, 480)), WHITE)
    if rng.random() < 0.5:
        pen = Pen(image, (0, 0), np.diag(image.size))
        for x in np.linspace(0.12, 0.97, rng.randint(4, 9), endpoint=False):
            pen.box(x, rng.uniform(0.1, 0.8), x + 0.06, 0.9, _BRIGHTS[1])
        pen.line([(0.1, 0.06), (0.1, 0.9), (0.96, 0.9)], BLACK, 0.01)
    else:
        for y in range(20, image.height - 20, 30):
            text = _TEXT[rng.randrange(100) :][: image.width // 11]
            ImageDraw.Draw(image).text((20, y), text, BLACK, ImageFont.load_default(20))
    return image
