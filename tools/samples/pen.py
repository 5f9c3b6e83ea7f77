"""The pen that everything is drawn with, and colours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, ...]  # red, green, blue and perhaps alpha, each 0..255
Oval = tuple[float, float, float, float]  # x and y of its centre, and its radii
BLACK, WHITE, PINK = (36, 30, 32), (250, 247, 242), (232, 142, 148)
_ANGLES = np.linspace(0, 2 * math.pi, 60, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
# The same with tufts.
_SHAGGY = _CIRCLE * np.tile([[1.08], [1], [1]], (20, 1))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that lies the given share (0..1) of the way from one to the other."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other))


@dataclasses.dataclass(frozen=True)
class Pen:
    """Draws on an image; a point lies `axes` times its x and y, in pixels, away from `origin`."""

    image: Image.Image
    origin: tuple[float, float]
    axes: np.ndarray

    def turned(self, degrees: float) -> Pen:
        """This pen, turned clockwise."""
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return dataclasses.replace(self, axes=self.axes @ [[c, -s], [s, c]])

    def sides(self) -> tuple[Pen, Pen]:
        """This pen and its mirror image, for all that comes in pairs."""
        return self, dataclasses.replace(self, axes=self.axes * [-1, 1])

    def polygon(self, points: np.ndarray, fill: Colour, edge: Colour | None = None) -> None:
        """Fills a shape, and draws its edge."""
        pixels = points @ self.axes.T + self.origin
        ImageDraw.Draw(self.image, "RGBA").polygon(pixels.ravel().tolist(), fill)
        if edge:
            self.line([*points, *points[:2]], edge, 0.06)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """Fills a rectangle."""
        self.polygon(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), fill)

    def oval(self, where: Oval, fill: Colour, edge: Colour | None = None, shaggy: bool = False) -> None:
        """Fills an ellipse, and draws its edge."""
        x, y, rx, ry = where
        self.polygon((_SHAGGY if shaggy else _CIRCLE) * (rx, ry) + (x, y), fill, edge)

    def line(self, points: Sequence, fill: Colour, width: float) -> None:
        """Draws a line with round joints and ends."""
        pixels, thick = np.array(points) @ self.axes.T + self.origin, width * math.hypot(*self.axes[0])
        draw = ImageDraw.Draw(self.image)
        draw.line(pixels.ravel().tolist(), fill, max(1, round(thick)), joint="curve")
        for x, y in pixels[[0, -1]]:
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill)
