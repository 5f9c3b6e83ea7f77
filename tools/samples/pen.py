"""What the drawn pictures are drawn with: a pen for smooth shapes, colours, outlines from points."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Union

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, ...]  # red, green, blue and perhaps alpha, each 0..255
Point = tuple[float, float]
Points = Union[str, np.ndarray, Sequence[Point]]

BLACK, WHITE, PINK = (36, 30, 32), (250, 247, 242), (232, 142, 148)
FURS = (
    *((216, 140, 68), (232, 205, 160), (140, 94, 60), (96, 68, 52), (146, 146, 152)),
    *((104, 112, 128), (62, 60, 66), (240, 235, 228), (192, 152, 108), (190, 192, 196)),
)
BRIGHTS = ((200, 58, 56), (54, 108, 190), (66, 150, 90), (226, 176, 58), (140, 84, 168))

_EDGE_WIDTH = 0.035  # head radii
_ANGLES = np.linspace(0, 2 * math.pi, 36, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Returns the colour which lies the given share (0..1) of the way from one to the other."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other))


def vary(colour: Colour, rng: random.Random, by: int = 9) -> Colour:
    """Returns the colour with each channel moved by up to `by` levels."""
    return tuple(min(255, max(0, c + rng.randint(-by, by))) for c in colour)


class Pen:
    """Draws smooth shapes, measured in head radii around the head's centre, on an image.

    Points are an array of shape [n, 2], or text such as '0,-0.8 0.5,-0.7': x runs to the animal's
    left (the viewer's right) and y downwards.
    """

    def __init__(self, image: Image.Image, origin: np.ndarray, axes: np.ndarray) -> None:
        """Sets where the origin lies and, in the rows of axes, how far x and y lead, in pixels."""
        self.image, self.origin, self.axes = image, origin, axes
        self._draw = ImageDraw.Draw(image, "RGBA")  # this mode blends colours with alpha

    @classmethod
    def turned(cls, image: Image.Image, origin: Point, unit: float, degrees: float = 0) -> Pen:
        """Returns a pen whose head radius is `unit` pixels, turned clockwise."""
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return cls(image, np.array(origin), np.array([[c, s], [-s, c]]) * unit)

    def moved(self, x: float) -> Pen:
        """Returns a pen whose origin lies x further to the right."""
        return Pen(self.image, self.origin + x * self.axes[0], self.axes)

    def sides(self) -> tuple[Pen, Pen]:
        """Returns this pen and its mirror image, for all that comes in pairs."""
        return self, Pen(self.image, self.origin, self.axes * [[-1], [1]])

    def polygon(self, points: np.ndarray, fill: Colour) -> None:
        """Fills a straight-sided shape."""
        self._draw.polygon((points @ self.axes + self.origin).ravel().tolist(), fill=fill)

    def shape(self, points: Points, fill: Colour, edge: Colour | None = None, shaggy: float = 0.0) -> np.ndarray:
        """Fills a rounded shape, with an edge and tufts of length `shaggy`; returns its rim."""
        rim = _curve(points, closed=True)
        normals = _normals(rim)
        rim = rim + normals * (np.arange(len(rim)) % 3 == 0)[:, None] * shaggy
        if edge is not None:
            self.polygon(rim + normals * _EDGE_WIDTH, edge)
        self.polygon(rim, fill)
        return rim

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Colour, edge: Colour | None = None) -> None:
        """Fills an ellipse around (x, y)."""
        if edge is not None:
            self.oval(x, y, rx + _EDGE_WIDTH, ry + _EDGE_WIDTH, edge)
        self.polygon(_CIRCLE * (rx, ry) + (x, y), fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Colour) -> None:
        """Fills a rectangle."""
        self.polygon(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), fill)

    def stroke(self, points: Points, fill: Colour, width: float, taper: float = 1.0) -> None:
        """Draws a rounded line whose width changes to `taper` times itself towards the end."""
        line = _curve(points, closed=False)
        half = np.linspace(width, width * taper, len(line))[:, None] / 2
        tangent = np.gradient(line, axis=0)
        side = tangent[:, ::-1] * (1, -1) / np.linalg.norm(tangent, axis=1, keepdims=True) * half
        self.polygon(np.concatenate([line + side, (line - side)[::-1]]), fill)
        for (x, y), radius in ((line[0], width / 2), (line[-1], width * taper / 2)):
            self.oval(x, y, radius, radius, fill)

    def inside(self, rim: np.ndarray, paint: Callable[[Pen], None]) -> None:
        """Lets `paint` draw, keeping only what falls inside the rim."""
        layer, mask = self.image.copy(), Image.new("L", self.image.size)
        paint(Pen(layer, self.origin, self.axes))
        inner = (rim @ self.axes + self.origin).ravel().tolist()
        ImageDraw.Draw(mask).polygon(inner, fill=255)
        self.image.paste(layer, mask=mask)


def parse_points(points: Points) -> np.ndarray:
    """Returns points as an array of shape [n, 2], float."""
    if isinstance(points, str):
        return np.array([[float(n) for n in point.split(",")] for point in points.split()])
    return np.asarray(points, dtype=float)


def both_sides(half: str) -> np.ndarray:
    """Returns a symmetric outline from its right half, which runs from top to bottom."""
    right = parse_points(half)
    left = right[::-1] * (-1, 1)
    return np.concatenate([right, left[left[:, 0] < 0]])


def _curve(points: Points, closed: bool) -> np.ndarray:
    """Returns many points of the Catmull-Rom spline through the given ones."""
    p = parse_points(points)
    p = np.concatenate([p[-1:], p, p[:2]] if closed else [p[:1], p, p[-1:]])
    a, b, c, d = (q[:, None] for q in (p[:-3], p[1:-2], p[2:-1], p[3:]))
    t = np.linspace(0, 1, 9)[None, :-1, None]
    spline = b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    curve = spline.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, p[-1:]])


def _normals(rim: np.ndarray) -> np.ndarray:
    """Returns the unit vectors which lead out of a closed line."""
    tangent = np.roll(rim, -1, axis=0) - np.roll(rim, 1, axis=0)
    normal = tangent[:, ::-1] * (1, -1) / np.linalg.norm(tangent, axis=1, keepdims=True)
    x, y = rim.T
    twice_area = np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))
    return normal * np.sign(twice_area)
