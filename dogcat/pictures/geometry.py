"""Bounds on the size of a picture, and the ways in which it becomes square."""

from __future__ import annotations

# At the 4 bytes that Pillow needs for a pixel, a worker of the shard tool stays below 400 MiB.
MAX_PIXELS = 80_000_000

# How a picture becomes square.
RESIZE_MODES = ("stretch", "crop", "pad")
