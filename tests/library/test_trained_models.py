from __future__ import annotations

import threading

import numpy as np
import pytest
from conftest import draw
from PIL import Image

import dogcat
from dogcat.core import tables


@pytest.fixture(scope="module")
def run(tfrecords, tmp_path_factory):
    flags = {"backbone": "tiny", "weights": "none", "head": "random", "epochs": 0, "report": False}
    return dogcat.train(tfrecords=tfrecords, runs=tmp_path_factory.mktemp("runs"), precision="float32", **flags)


@pytest.fixture(scope="module")
def model(run):
    return dogcat.load_model(run.folder, precision="float32")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("pictures"), "cat.1.jpg", "dog.2.jpg", "dog.3.jpg")


def test_a_folder_is_predicted_as_by_the_command(call, model, pictures, tmp_path):
    predicted = model.predict(pictures)
    given = (f"--model={model.path}", f"--images={pictures}", f"--output={tmp_path}/p.csv", "--tta=none", "--clip=0")
    assert call("dogcat.predict", *given, "--columns=path", "--precision=float32").code == 0
    rows = tables.read_table(tables.read_text(tmp_path / "p.csv", "--output"), "id", "id")[1]
    by_key = {row.fields[2]: float(row.fields[1]) for row in rows}
    assert predicted.keys == ["cat.1.jpg", "dog.2.jpg", "dog.3.jpg"] and len(predicted) == 3
    assert predicted.probabilities[:, 1] == pytest.approx([by_key[key] for key in predicted.keys], abs=1e-6)
    assert predicted.labels == [model.classes[index] for index in predicted.probabilities.argmax(axis=1)]
    assert np.allclose(predicted.probabilities.sum(axis=1), 1)


def test_whatever_holds_a_picture_is_predicted_the_same(model, pictures):
    path = pictures / "cat.1.jpg"
    with Image.open(path) as image:
        image.load()
    pixels = np.asarray(image)
    alone = [model.predict(given) for given in (path, str(path), image, pixels)]
    together = model.predict([path, image, pixels])
    batch = model.predict(np.stack([pixels, pixels]))
    assert [each.keys for each in alone] == [[str(path)], [str(path)], ["0"], ["0"]]
    assert together.keys == [str(path), "1", "2"] and batch.keys == ["0", "1"]
    expected = alone[0].probabilities[0]
    for each in (*alone, together, batch):
        assert np.allclose(each.probabilities, expected, atol=1e-5)


def test_pillows_pictures_are_turned_upright_and_laid_on_white(model, pictures, tmp_path):
    with Image.open(pictures / "dog.2.jpg") as image:
        turned = image.convert("RGBA")
    turned.putalpha(120)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        assert np.array_equal(model.shown(opened), model.shown(tmp_path / "turned.png"))


def test_an_opened_picture_may_be_given_many_times(model, pictures):
    # Pillow reads its file when pixels are asked for, from wherever another thread has left it.
    with Image.open(pictures / "dog.2.jpg") as opened:
        probabilities = model.predict([opened] * 20).probabilities
    assert np.allclose(probabilities, model.predict(pictures / "dog.2.jpg").probabilities, atol=1e-5)


def test_plain_keras_says_the_same(model, pictures):
    shown = model.shown(pictures / "dog.3.jpg")
    assert shown.shape == (96, 96, 3) and shown.dtype == np.uint8
    [[probability]] = model.keras.predict(shown[None], verbose=0)
    assert probability == pytest.approx(model.predict(shown).probabilities[0, 1], abs=1e-5)


def test_a_temperature_draws_probabilities_together(model, pictures):
    plain, cooled = (model.predict(pictures, temperature=value).probabilities for value in (1.0, 4.0))
    log_odds = [np.log(each[:, 1] / each[:, 0]) for each in (plain, cooled)]
    assert log_odds[0] == pytest.approx(4 * log_odds[1], rel=1e-4)


def test_a_heat_map_covers_the_picture(model, pictures):
    path = pictures / "cat.1.jpg"
    maps = [model.explain(path, label) for label in ("cat", "dog", "")]
    for heat in maps:
        assert heat.shape == (96, 96) and heat.dtype == np.float32 and heat.min() >= 0 and heat.max() <= 1
    assert np.array_equal(maps[2], maps[model.classes.index(model.predict(path).labels[0])])
    with pytest.raises(ValueError, match="label is 'bird'; use one of cat, dog"):
        model.explain(path, "bird")


def test_threads_take_turns(model, pictures):
    expected = model.predict(pictures).probabilities
    said = []
    threads = [threading.Thread(target=lambda: said.append(model.predict(pictures))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 4 and all(np.array_equal(each.probabilities, expected) for each in said)


def test_no_picture_is_no_prediction(model):
    predicted = model.predict([])
    assert len(predicted) == 0 and predicted.probabilities.shape == (0, 2) and predicted.labels == []


def test_what_is_no_picture_is_named(model, pictures, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    with Image.open(pictures / "cat.1.jpg") as image:
        image.save(tmp_path / "whole.png")
    for given, said in (
        (tmp_path / "text.jpg", "text.jpg cannot be read: not_a_picture"),
        (tmp_path / "nowhere.jpg", "nowhere.jpg cannot be read: unreadable, No such file"),
    ):
        with pytest.raises(dogcat.InputError, match=said):
            model.predict([pictures / "cat.1.jpg", given])
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "cut.png") as image, pytest.raises(dogcat.InputError, match="0 cannot be read: "):
        model.predict(image)
    for given, said in (
        ([3], "picture 0 is a int; give a path"),
        (3, "int"),
        (np.zeros((8, 8)), "picture 0 is float64"),
        ([np.zeros((8, 8, 3))], r"picture 0 is float64 \[8, 8, 3\]; give uint8"),
        ([np.zeros((8, 8, 4), np.uint8)], r"picture 0 is uint8 \[8, 8, 4\]"),
    ):
        with pytest.raises(TypeError, match=said):
            model.predict(given)
    with pytest.raises(ValueError, match="on_error is 'go'; use raise or skip"):
        model.predict(pictures, on_error="go")
    with pytest.raises(ValueError, match="tta is 'all'; use one of"):
        model.predict(pictures, tta="all")
    with pytest.raises(dogcat.InputError, match="nowhere"):
        dogcat.load_model(tmp_path / "nowhere")


def test_what_cannot_be_read_may_be_skipped(model, pictures, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    predicted = model.predict([tmp_path / "text.jpg", pictures / "dog.2.jpg"], on_error="skip")
    assert predicted.keys == [str(pictures / "dog.2.jpg")] and list(predicted.unreadable) == [
        str(tmp_path / "text.jpg")
    ]
    assert predicted.unreadable[str(tmp_path / "text.jpg")].startswith("not_a_picture, ")
    assert np.array_equal(predicted.probabilities, model.predict([pictures / "dog.2.jpg"] * 2).probabilities[:1])
