from __future__ import annotations

import numpy as np
import pytest

from dogcat.models import architecture, gradcam, linear_head
from dogcat.models.backbones import BACKBONES
from dogcat.pictures import decode, resizing


def halves(model, size):
    """Teaches a model a bright picture from a dark one, and gives one that is dark left and bright right."""
    random = np.random.default_rng(0)
    levels = np.repeat([40, 200], 8)
    pictures = (levels[:, None, None, None] + random.integers(-40, 40, (16, size, size, 3))).astype(np.uint8)
    labels = np.repeat([0, 1], 8)
    head = architecture.head_of(model)
    of_pictures = architecture.features_model(model)(pictures).numpy()
    kernel, bias = linear_head.fit_head(of_pictures / of_pictures.std(), labels, 1000.0)
    head.set_weights([kernel / of_pictures.std(), bias])
    return np.concatenate([pictures[:1, :, : size // 2], pictures[-1:, :, size // 2 :]], axis=2)


# Random weights that keep places apart: of these networks the last maps have more than one place.
@pytest.mark.parametrize("backbone", ["vgg16", "mobilenetv2"])
def test_what_speaks_for_a_class_is_hot_for_it_alone(backbone):
    from tensorflow import keras

    keras.utils.set_random_seed(0)
    model = architecture.build_model(backbone, 128, 2)
    picture = halves(model, 128)
    heat = gradcam.HeatMaps(model)(np.concatenate([picture, picture]), np.array([0, 1]))
    assert heat.dtype == np.float32 and heat.ndim == 3 and heat.min() >= 0 and heat.max() <= 1
    columns = heat.sum(axis=1)
    middle = columns.shape[1] // 2
    assert columns[0, :middle].sum() > columns[0, middle:].sum()
    assert columns[1, :middle].sum() < columns[1, middle:].sum()


def test_each_of_many_classes_has_its_map():
    model = architecture.build_model("mobilenetv2", 64, 3)
    pictures = np.random.default_rng(0).integers(0, 256, (17, 64, 64, 3)).astype(np.uint8)
    of_first, of_second = (gradcam.HeatMaps(model)(pictures, np.full(17, label)) for label in (0, 1))
    assert of_first.shape == (17, 2, 2) and (of_first != of_second).any()
    # Pictures do not change each other's maps.
    alone = gradcam.HeatMaps(model)(pictures[16:], np.zeros(1, int))
    np.testing.assert_allclose(alone[0], of_first[16], atol=1e-4)


@pytest.mark.parametrize("backbone", ["mobilenetv3small", "xception"])
def test_maps_of_backbones_that_end_otherwise(backbone):
    size = max(BACKBONES[backbone].smallest_image, 64)
    model = architecture.build_model(backbone, size, 2)
    heat = gradcam.HeatMaps(model)(np.zeros((1, size, size, 3), np.uint8), np.zeros(1, int))
    assert np.isfinite(heat).all() and heat.shape[0] == 1


@pytest.mark.shared
def test_the_hottest_place_lies_in_the_quarter_with_the_animal(shared):
    """A head on ImageNet's features of few pictures; then others, each pasted into one quarter of a plain canvas."""
    from dogcat.models import weights

    def picture(name, number, size):
        data = (shared / "data" / "dogs-vs-cats-2k" / "train" / f"{name}.{number}.jpg").read_bytes()
        return resizing.resize(decode.decode(data, 10**7).rgbx, size, "stretch")[:, :, :3]

    size = 192
    model = architecture.build_model("xception", size, 2)
    weights.load(architecture.backbone_of(model), "xception", "imagenet")
    names = ("cat", "dog")
    learnt = np.stack([picture(name, number, size) for number in range(20) for name in names])
    labels = np.tile([0, 1], 20)
    architecture.head_of(model).set_weights(
        linear_head.fit_head(architecture.features_model(model).predict(learnt, 8), labels)
    )

    half = size // 2
    corners = [(0, 0), (0, half), (half, 0), (half, half)]
    canvases = np.full((10, size, size, 3), 200, np.uint8)
    wanted = [corners[i % 4] for i in range(10)]
    for i, (top, left) in enumerate(wanted):
        canvases[i, top : top + half, left : left + half] = picture(names[i % 2], 100 + i, half)
    heat = gradcam.HeatMaps(model)(canvases, np.arange(10) % 2)
    places = [np.unravel_index(one.argmax(), one.shape) for one in heat]
    found = [tuple(half * int(index + 0.5 > length / 2) for index, length in zip(p, heat[0].shape)) for p in places]
    assert sum(right == place for right, place in zip(wanted, found)) >= 8
