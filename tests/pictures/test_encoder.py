from __future__ import annotations

import io

import numpy as np
import pytest
from picture_files import photo, pixels, ramp
from PIL import Image

from dogcat.pictures import encoder, resizing


@pytest.mark.parametrize(("chroma", "factors"), [("420", (2, 2)), ("444", (1, 1))])
def test_jpeg_has_the_chroma_asked_for_and_no_metadata(chroma, factors):
    reopened = Image.open(io.BytesIO(encoder.encode(np.asarray(ramp()), "jpeg", 95, chroma)))
    assert reopened.layer[0][1:3] == factors
    assert set(reopened.info) == {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    np.testing.assert_allclose(np.asarray(reopened).astype(int), np.asarray(ramp()), atol=30)


@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_the_byte_without_meaning_means_nothing(encoding):
    picture = np.asarray(photo(500, 374).convert("RGBX"))
    junk = picture.copy()
    junk[:, :, 3] = np.random.default_rng(0).integers(0, 256, junk.shape[:2])
    ours, other = (encoder.encode(resizing.resize(p, 299, "stretch"), encoding, 95, "420") for p in (picture, junk))
    assert ours == other
    assert ours == encoder.encode(resizing.resize(picture, 299, "stretch")[:, :, :3], encoding, 95, "420")


def test_png_is_lossless():
    encoded_ramp = encoder.encode(np.asarray(ramp()), "png", 95, "420")
    np.testing.assert_array_equal(pixels(encoded_ramp), ramp())
