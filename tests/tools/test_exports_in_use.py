"""Exports in the hands of other programs: each loaded by the code of its model card, quantized ones judged."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import io
import re
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import make, need_python_3_10
from fuzzing import tree
from PIL import Image
from small_runs import save_model, small_run

from dogcat.dataset import manifest
from dogcat.evaluation import metrics
from dogcat.loading import readers
from dogcat.models import architecture, model_files
from dogcat.prediction.options import EvaluationOptions
from dogcat.training import run as training
from tools import export_model
from tools.export_model import ExportOptions

CLASSES = ("<b>one|", "two\n", "three")
FORMATS = [
    ("savedmodel", "none", 1e-5),
    ("tflite", "float16", 1e-2),
    ("tflite", "int8", 0.05),
    ("onnx", "none", 1e-5),
    pytest.param("keras", "none", 1e-5, marks=pytest.mark.keras(3, reason="Keras 2 opens none of Keras 3")),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run on three classes of small pictures, whose names have what Markdown and lines are made of."""
    folder = tmp_path_factory.mktemp("run")
    random = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(20):
            coarse = random.integers(60 * label, 130 + 60 * label, (4, 4, 3)).astype(np.float32)
            pixels = tf.cast(tf.clip_by_value(tf.image.resize(coarse, (32, 32)), 0, 255), tf.uint8).numpy()
            Image.fromarray(pixels).save(folder / "images" / name / f"{number}.png")
    make(folder / "images", folder / "tfrecords", validation=0.4)
    done = training.train(small_run(folder / "tfrecords", folder / "runs"))
    # A model that tells its classes apart by more than what is rounded, with its predictions.
    save_model(done / "best.keras", classes=sorted(CLASSES), temperature=0.5)
    data = manifest.load(folder / "tfrecords")
    validation = readers.open_split(folder / "tfrecords", data, "validation")
    pictures = readers.take(validation, np.arange(len(validation.labels)))
    np.save(done / "validation.npy", logits_of(done / "best.keras", pictures)[0])
    options = {"tfrecords": str(folder / "tfrecords"), "output": str(done / "evaluation"), "engine": "tensorflow"}
    importlib.import_module("dogcat.evaluate").main(EvaluationOptions(str(done), **options))
    return done


def logits_of(path, pictures):
    """Logits of a model, and its temperature."""
    with architecture.precision("float32"):
        model, description = model_files.load(path)
        return architecture.logits_model(model).predict(pictures, verbose=0), description.temperature


@functools.cache
def exported(run, form, quantize):
    """The folder of an export of the run's model, and what the command said."""
    output = run / f"{form}-{quantize}"
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        export_model.main(ExportOptions(str(run), form, str(output), quantize))
    return output, said.getvalue()


def code_in(card):
    [code] = re.findall(r"^```python\n(.*?)\n```$", card, re.MULTILINE | re.DOTALL)
    return code


@pytest.mark.parametrize(("form", "quantize", "tolerance"), FORMATS)
def test_the_code_in_the_model_card_gives_the_models_probabilities(run, monkeypatch, form, quantize, tolerance):
    if form == "onnx":
        need_python_3_10()
    output, said = exported(run, form, quantize)
    assert f"wrote {output}: {form}, " in said
    picture = run.parents[1] / "images" / "three" / "0.png"
    monkeypatch.chdir(output)
    # A PNG, in which every pixel stays.
    (output / "picture.jpg").write_bytes(picture.read_bytes())
    names = {}
    exec(code_in((output / "model-card.md").read_text()), names)
    logits, temperature = logits_of(run / "best.keras", np.asarray(Image.open(picture))[None])
    wanted = np.exp(metrics.log_probabilities(logits / temperature))
    assert wanted.std() > 0.1
    np.testing.assert_allclose(names["probabilities"], wanted, rtol=0, atol=tolerance)
    assert names["labels"] == ["<b>one|", "three", r"two\n"]


def test_a_model_card_tells_of_the_run_its_evaluation_and_what_quantizing_costs(run):
    output, said = exported(run, "tflite", "int8")
    [costs] = [line for line in said.splitlines() if line.startswith("int8 on 24 pictures of ")]
    accuracy, before = (float(share) for share in re.findall(r"accuracy (\S+)% instead of (\S+)%", costs)[0])
    loss, loss_before = (float(value) for value in re.findall(r"log loss (\S+) instead of (\S+) ", costs)[0])
    assert abs(accuracy - before) < 10 and abs(loss - loss_before) < 0.05
    card = (output / "model-card.md").read_text()
    for part in (
        "# tiny for \\<b\\>one\\|, three and two\\\\n\n",
        "| 0 | \\<b\\>one\\| | 12 | 8 |",
        "Validation: 24 pictures",
        "Evaluation on 24 pictures",
        "## What quantizing costs",
        f"| accuracy | {accuracy / 100:.4f} | {before / 100:.4f} |",
        "--preset=none",
        "| `pictures` | uint8 | [batch, 32, 32, 3] |",
        "| trained with |",
        "this model | *not stated* |",
        hashlib.sha256((output / "model.tflite").read_bytes()).hexdigest(),
    ):
        assert part in card, part
    # Nothing of a template is left, and no table is broken by what stands in it.
    assert "{" not in re.sub("```.*?```", "", card, flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1, table


def test_a_model_without_its_run_or_data_has_a_card_that_says_so(call, run, tmp_path):
    path = save_model(tmp_path / "m.keras")
    done = call("tools.export_model", path, "--format=keras", "--output", tmp_path / "alone")
    assert done.code == 0, done.err
    card = (tmp_path / "alone" / "model-card.md").read_text()
    assert "How good it is, is not told here" in card and "Validation: not known from the file of the model." in card
    done = call("tools.export_model", path, "--format=tflite", "--quantize=int8", "--output", tmp_path / "none")
    assert done.code == 2 and "give a data set by --tfrecords, or a folder by --images" in done.err
    data = run.parents[1] / "tfrecords"
    moved = data.rename(data.with_name("elsewhere"))
    try:
        done = call("tools.export_model", run, "--format=keras", "--output", tmp_path / "moved")
        assert done.code == 0 and "note: the model card has no figures" in done.out
        assert "its data set is no longer at" in (tmp_path / "moved" / "model-card.md").read_text()
    finally:
        moved.rename(data)


def test_int8_is_calibrated_and_judged_by_a_folder_too(call, run, tmp_path):
    given = (run, "--format=tflite", "--quantize=int8", "--images", run.parents[1] / "images", "--judged=20")
    done = call("tools.export_model", *given, "--output", tmp_path / "out")
    assert done.code == 0, done.err
    assert f"int8 on 20 pictures of {run.parents[1] / 'images'}: accuracy " in done.out


@pytest.mark.parametrize("package", ["tf2onnx", "onnxruntime"])
def test_a_missing_package_is_one_line_and_leaves_nothing(call, tmp_path, monkeypatch, package):
    path = save_model(tmp_path / "m.keras")
    before = tree(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    done = call("tools.export_model", path, "--format=onnx", "--output", tmp_path / "out")
    assert done.code == 2
    assert done.err.endswith(
        f"--format=onnx: {package} is not installed; pip install 'dogcat[onnx]' (from Python 3.10 on)\n"
    )
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["model.tflite", "labels.txt", "model-card.md"])
def test_a_folder_with_a_file_of_somebody_else_stays_as_it_is(call, tmp_path, name):
    path = save_model(tmp_path / "m.keras")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    before = tree(tmp_path)
    done = call("tools.export_model", path, "--format=tflite", "--output", tmp_path / "out")
    assert done.code == 2 and "is there already" in done.err
    assert tree(tmp_path) == before
