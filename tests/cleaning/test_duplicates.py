from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dogcat.cleaning import duplicates, fingerprints, neighbours
from dogcat.pictures.geometry import MAX_PIXELS


@pytest.fixture
def folder(tmp_path):
    """Smooth pictures that differ, and copies of the first one."""
    generator = np.random.default_rng(0)
    for number in range(12):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8))
        coarse.resize((120, 90), Image.Resampling.BICUBIC).save(tmp_path / f"{number:02}.png")
    first = Image.open(tmp_path / "00.png")
    first.save(tmp_path / "20.bmp")
    first.resize((96, 72)).save(tmp_path / "21.jpg", quality=60)
    Image.new("RGB", (50, 50), (1, 2, 3)).save(tmp_path / "30.png")
    Image.new("RGB", (50, 50), (4, 5, 6)).save(tmp_path / "31.png")
    (tmp_path / "40.png").write_bytes(b"none")
    return tmp_path


def take(folder, workers=2):
    return fingerprints.take(folder, sorted(path.name for path in folder.iterdir()), MAX_PIXELS, workers)


def find(folder, prints, directions=None):
    found = duplicates.find(prints, directions, 4.0, lambda key: fingerprints.pixels_digest(folder, key, MAX_PIXELS))
    keys = [one.key for one in prints]
    return [
        ([keys[place] for place in one.places], [[keys[place] for place in equal] for equal in one.equal])
        for one in found
    ]


def test_fingerprints(folder):
    prints, rejections = take(folder)
    assert [one.key for one in rejections] == ["40.png"]
    by_key = {one.key: one for one in prints}
    assert (by_key["00.png"].width, by_key["00.png"].height) == (120, 90)
    assert by_key["30.png"].contrast < 0.01 and by_key["00.png"].contrast > 4
    assert (by_key["21.jpg"].gradients != by_key["00.png"].gradients).sum() <= 12
    for one, other in zip(prints, take(folder, workers=1)[0]):
        np.testing.assert_array_equal(one.gradients, other.gradients)
        assert one[:4] == other[:4]


def test_copies_are_found_and_told_apart(folder, monkeypatch):
    prints, _ = take(folder)
    wanted = [(["00.png", "20.bmp", "21.jpg"], [["00.png", "20.bmp"]])]
    assert find(folder, prints) == wanted
    monkeypatch.setattr(duplicates, "_VALUES_AT_ONCE", 1)
    assert find(folder, prints) == wanted


def test_features_must_agree(folder):
    prints, _ = take(folder)
    alike = neighbours.normalised(np.ones((len(prints), 4)))
    assert len(find(folder, prints, alike)) == 1
    unlike = neighbours.normalised(np.random.default_rng(0).normal(size=(len(prints), 200)))
    assert find(folder, prints, unlike) == []
    assert find(folder, prints[:1]) == []


def test_a_picture_that_went_away_is_equal_to_none(folder):
    prints, _ = take(folder)
    (folder / "20.bmp").unlink()
    assert find(folder, prints) == [(["00.png", "20.bmp", "21.jpg"], [])]
