"""`python -m tools.export_model`, and loading what it wrote in TensorFlow, TensorFlow Lite, ONNX Runtime and here."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from conftest import need_python_3_10
from fuzzing import full_disk, tree
from PIL import Image
from small_runs import save_model

from dogcat.core.options import InputError
from dogcat.evaluation import metrics
from dogcat.models import architecture, export, model_files, servable
from dogcat.pictures import decode, encoder, resizing
from tools import export_model
from tools.export_model import ExportOptions


def probabilities_of(path, pictures):
    model, description = model_files.load(path)
    logits = architecture.logits_model(model).predict(pictures, verbose=0)
    return np.exp(metrics.log_probabilities(logits / description.temperature))


def random_pictures(count, size, seed=0):
    """Smooth ones, since noise does not survive JPEG."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 4, 4, 3)).astype(np.float32)
    return tf.cast(tf.image.resize(coarse, (size, size)), tf.uint8).numpy()


@pytest.fixture(autouse=True)
def in_float32():
    with architecture.precision("float32"):
        yield


@pytest.mark.parametrize(("how", "classes"), [("run", ("cat", "dog")), ("fork", ("cat", "dog", "owl"))])
def test_a_saved_model_serves_any_batch_and_jpeg_files(request, tmp_path, how, classes):
    path = save_model(tmp_path / "m.keras", classes=classes, temperature=2.5)
    done = request.getfixturevalue(how)("tools.export_model", "--model", path, "--output", tmp_path / "served")
    assert done.code == 0, done.err
    assert f"wrote {tmp_path / 'served'}: savedmodel" in done.out
    # As a server looks for it.
    assert sorted(path.name for path in (tmp_path / "served").iterdir()) == ["1", "labels.txt", "model-card.md"]
    signatures = tf.saved_model.load(str(tmp_path / "served" / "1")).signatures
    for count in (1, 5):
        pictures = random_pictures(count, 32)
        expected = probabilities_of(path, pictures)
        answer = signatures["serving_default"](pictures=tf.constant(pictures))
        np.testing.assert_allclose(answer["probabilities"].numpy(), expected, atol=1e-5)
        assert [name.decode() for name in answer["class"].numpy()] == [classes[i] for i in expected.argmax(axis=1)]
        files = [encoder.encode(picture, "png", 95, "420") for picture in pictures]
        answer = signatures["jpeg"](files=tf.constant(files))
        np.testing.assert_allclose(answer["probabilities"].numpy(), expected, atol=1e-5)
    # And this program takes it as a model.
    version = model_files.find_file(str(tmp_path / "served"), "model")
    assert version == model_files.find_file(str(tmp_path / "served" / "1"), "model") == tmp_path / "served" / "1"
    loaded, description = model_files.load(version)
    assert description == model_files.describe(path)
    for weights, wanted in zip(loaded.get_weights(), model_files.load(path)[0].get_weights()):
        np.testing.assert_array_equal(weights, wanted)


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(80, 200), (33, 32), (20, 47)])
def test_jpeg_files_become_the_pictures_that_the_model_knows(tmp_path, resize, shape):
    model, _ = model_files.load(save_model(tmp_path / "m.keras"))
    description = model_files.Description(["cat", "dog"], 32, resize, "tiny")
    pixels = random_pictures(1, 256)[0][: shape[0], : shape[1]]
    file = encoder.encode(pixels, "jpeg", 95, "444")
    read = servable.Servable(model, description)._read(tf.constant(file)).numpy()
    wanted = resizing.resize(decode.decode(file, 10**6).rgbx, 32, resize)[:, :, :3]
    assert np.abs(read.astype(int) - wanted).max() <= 2
    assert np.abs(read.astype(int) - wanted).mean() < 0.6


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16"])
def test_png_files_become_the_pictures_that_the_model_knows(tmp_path, mode):
    model, description = model_files.load(save_model(tmp_path / "m.keras"))
    colours, opacity = random_pictures(2, 32)
    picture = Image.fromarray(np.dstack([colours, opacity[:, :, 0]]))
    if mode == "P":
        picture = picture.quantize(16)
    elif mode == "I;16":
        picture = Image.fromarray(opacity[:, :, 0].astype(np.uint16) * 250)
    file = io.BytesIO()
    picture.convert(mode).save(file, "PNG")
    read = servable.Servable(model, description)._read(tf.constant(file.getvalue())).numpy()
    wanted = decode.decode(file.getvalue(), 10**6).pixels
    assert np.abs(read.astype(int) - wanted).max() <= 1


def test_a_tflite_file_holds_classes_and_takes_any_batch(call, tmp_path):
    path = save_model(tmp_path / "m.keras", temperature=0.5)
    done = call("tools.export_model", "--model", path, "--format=tflite", "--output", tmp_path / "lite")
    assert done.code == 0, done.err
    assert "non-converted" not in done.err
    file = tmp_path / "lite" / "model.tflite"
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read("dogcat.json"))["classes"] == ["cat", "dog"]
    for count in (1, 5):
        interpreter = tf.lite.Interpreter(str(file))
        [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()
        pictures = random_pictures(count, 32)
        interpreter.resize_tensor_input(taken["index"], pictures.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], pictures)
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(given["index"]), probabilities_of(path, pictures), atol=1e-4)


@pytest.mark.parametrize("form", ["savedmodel", "tflite"])
def test_another_model_is_told_from_the_original(tmp_path, form):
    one, other = save_model(tmp_path / "one.keras", seed=1), save_model(tmp_path / "other.keras", seed=2)
    (tmp_path / "out").mkdir()
    export.write(other, form, tmp_path / "out")
    pictures = random_pictures(4, 32)
    assert max(export.largest_differences(other, form, tmp_path / "out", pictures).values()) < 1e-3
    assert min(export.largest_differences(one, form, tmp_path / "out", pictures).values()) > 0.05


def test_bad_input_is_one_line_and_leaves_nothing(call, tmp_path):
    path = save_model(tmp_path / "m.keras")
    (tmp_path / "there").mkdir()
    for arguments, said in (
        (("--model", path, "--output", tmp_path / "there"), "is there already; remove it, or name another folder"),
        (("--model", path, "--output", tmp_path / "no" / "out"), "does not exist; make it first"),
        (("--model", tmp_path / "x.keras", "--output", tmp_path / "out"), "no model there"),
    ):
        done = call("tools.export_model", *arguments)
        assert done.code == 2
        assert done.err.count("\n") == 1 and said in done.err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["m.keras", "there"]


@pytest.mark.parametrize(
    ("form", "room"), [("savedmodel", 5_000), ("tflite", 5_000), ("tflite", 0), ("onnx", 5_000), ("keras", 20_000)]
)
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, capsys, form, room):
    if form == "onnx":
        need_python_3_10()
    path = save_model(tmp_path / "m.keras")
    # Else what is printed would go to a file, which may be full, too.
    capsys.readouterr()
    before = tree(tmp_path)
    options = ExportOptions(model=str(path), format=form, output=str(tmp_path / "out"))
    with full_disk(room), pytest.raises((OSError, InputError)) as error:
        export_model.main(options)
    if isinstance(error.value, OSError):
        assert (error.value.filename, error.value.strerror) == (str(tmp_path / "out"), "File too large")
    else:
        assert str(error.value) == f"{tmp_path}/out: cannot be written: File too large"
    assert tree(tmp_path) == before
