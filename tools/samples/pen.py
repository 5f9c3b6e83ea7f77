"""The pen that everything is drawn with, and colours."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, ...]  # red, green, blue and perhaps alpha, each 0..255
BLACK, WHITE, PINK = (36, 30, 32), (250, 247, 242), (232, 142, 148)
BRIGHTS = ((200, 58, 56), (54, 108, 190), (66, 150, 90), (226, 176, 58), (140, 84, 168))
_EDGE = 0.06  # units
_ANGLES = np.linspace(0, 2 * math.pi, 60, endpoint=False)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that lies the given share (0..1) of the way from one to the other."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other))


def any_colour(rng: random.Random) -> Colour:
    """A colour of any hue, but not a loud one."""
    return mix((rng.randint(60, 225),) * 3, [rng.randint(0, 255) for _ in range(3)], 0.45)


@dataclasses.dataclass(frozen=True)
class Pen:
    """Draws on an image; a point [x, y] is `axes` times it, in pixels, away from `origin`."""

    image: Image.Image
    origin: np.ndarray
    axes: np.ndarray

    @classmethod
    def at(cls, image: Image.Image, x: float, y: float, unit: float, degrees: float = 0.0) -> Pen:
        """A pen with its origin at a pixel, whose unit is so many pixels, turned clockwise."""
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return cls(image, np.array([x, y]), unit * np.array([[c, -s], [s, c]]))

    def sides(self) -> tuple[Pen, Pen]:
        """This pen and its mirror image, for all that comes in pairs."""
        return self, dataclasses.replace(self, axes=self.axes * [-1, 1])

    def polygon(self, points: np.ndarray, fill: Colour, edge: Colour | None = None) -> None:
        """Fills a shape, and draws its edge."""
        pixels = points @ self.axes.T + self.origin
        ImageDraw.Draw(self.image, "RGBA").polygon(pixels.ravel().tolist(), fill)
        if edge is not None:
            self.line([*points, *points[:2]], edge, _EDGE)

    def box(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        """Fills a rectangle, given its upper left corner."""
        self.polygon(np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)]), fill)

    def oval(self, x, y, rx, ry, fill: Colour, edge: Colour | None = None, shaggy: float = 0.0) -> None:
        """Fills an ellipse around (x, y); the tufts of a shaggy rim are so long, as a share of the radii."""
        radii = (1 + shaggy * (np.arange(len(_ANGLES)) % 3 == 0)) * [[rx], [ry]]
        self.polygon((radii * [np.cos(_ANGLES), np.sin(_ANGLES)]).T + (x, y), fill, edge)

    def line(self, points: list, fill: Colour, width: float) -> None:
        """Draws a line with round joints and ends."""
        pixels, thick = np.array(points) @ self.axes.T + self.origin, width * math.hypot(*self.axes[0])
        draw = ImageDraw.Draw(self.image)
        draw.line(pixels.ravel().tolist(), fill, max(1, round(thick)), joint="curve")
        for x, y in pixels[[0, -1]]:
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill)
