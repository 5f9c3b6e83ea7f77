from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from dogcat.reports import thumbnails


def shown(address):
    head, _, data = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)


def test_a_picture_is_made_small_and_never_larger():
    assert shown(thumbnails.picture_address(np.zeros((299, 299, 3), np.uint8))).shape == (240, 240, 3)
    assert shown(thumbnails.picture_address(np.zeros((32, 32, 3), np.uint8))).shape == (32, 32, 3)


def test_heat_colours_its_place_alone():
    picture = np.full((96, 96, 3), (0, 0, 240), np.uint8)
    heat = np.zeros((3, 3), np.float32)
    heat[0, 2] = 1
    pixels = shown(thumbnails.heat_address(picture, heat))
    colour = pixels.max(axis=2) - pixels.min(axis=2)
    assert colour[5, -5] > 60 and colour[-40:, :40].max() < 12


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((0, 0), "upper left"),
        ((0, 5), "upper middle"),
        ((5, 5), "middle"),
        ((5, 9), "middle right"),
        ((9, 9), "lower right"),
    ],
)
def test_places_in_words(place, words):
    heat = np.zeros((10, 10), np.float32)
    assert thumbnails.place_in_words(heat) == "nowhere"
    heat[place] = 1
    assert thumbnails.place_in_words(heat) == words
