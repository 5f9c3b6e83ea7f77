"""ONNX files that this program exported, as models of `dogcat predict`; what is refused of others."""

from __future__ import annotations

import importlib
import json
import sys

import numpy as np
import pytest
import tiny_backbone
from fuzzing import check, mutations
from small_runs import save_model
from tensorflow import keras

from dogcat.core.options import InputError
from dogcat.models import export, model_files
from dogcat.prediction import partial, predictor
from dogcat.prediction.options import PredictionOptions

if sys.version_info < (3, 10):
    pytest.skip("there is no package for it on Python 3.9", allow_module_level=True)
onnx = importlib.import_module("onnx")


def exported(path, **model):
    """Two models of the same, a `.keras` file and an ONNX file."""
    path.mkdir()
    keras_file = save_model(path / "m.keras", **model)
    export.write(keras_file, "onnx", path)
    return keras_file, path / "model.onnx"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("both") / "two", temperature=2.0, spread=3.0)


def changed(path, change):
    """A copy of an ONNX file with something changed in it."""
    model = onnx.load(str(path))
    change(model)
    copy = path.with_name("changed.onnx")
    copy.write_bytes(model.SerializeToString())
    return copy


def describe_as(**values):
    def change(model):
        [stored] = [entry for entry in model.metadata_props if entry.key == "dogcat"]
        stored.value = json.dumps({**json.loads(stored.value), **values})

    return change


def weights_in_another_file(model):
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    place = weights.external_data.add()
    place.key, place.value = "location", "setup.cfg"


def predicted(model, output, **options):
    given = {"tta": "flip", "batch_size": 4, "precision": "float32", **options}
    made = predictor.predict(PredictionOptions(model=model, output=str(output), **given))
    partial.path_beside(output).unlink()
    return np.exp(made.log_probabilities)


def test_a_file_is_sound_and_names_input_output_and_batch(both):
    model = onnx.load(str(both[1]))
    onnx.checker.check_model(model, full_check=True)
    assert [(of.domain, of.version) for of in model.opset_import if not of.domain] == [("", 18)]
    found = {
        value.name: [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert found == {"pictures": ["batch", 32, 32, 3], "probabilities": ["batch", 2]}


def test_constants_that_a_layer_holds_are_not_inputs(tmp_path, monkeypatch):
    def build(include_top, weights, input_shape):
        pictures = keras.Input(input_shape)
        normalized = keras.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(pictures)
        maps = tiny_backbone.build(include_top, weights, input_shape)(normalized)
        return keras.Model(pictures, maps, name="tiny")

    # As EfficientNetV2 has such a layer.
    monkeypatch.setattr(keras.applications, "Tiny", build)
    keras_file, onnx_file = exported(tmp_path / "held")
    assert [value.name for value in onnx.load(str(onnx_file)).graph.input] == ["pictures"]
    pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    assert export.largest_differences(keras_file, "onnx", tmp_path / "held", pictures)["pictures"] < 1e-4


@pytest.mark.parametrize("classes", [("cat", "dog"), ("cat", "dog", "owl")])
def test_it_predicts_what_the_keras_model_does(samples, tmp_path, classes):
    of = [exported(tmp_path / name, classes=classes, seed=seed, spread=3.0) for seed, name in enumerate("ab")]
    [keras_files, onnx_files] = [",".join(map(str, files)) for files in zip(*of)]
    images = str(samples / "test")
    for models in ((of[0][0], of[0][1]), (keras_files, onnx_files)):
        wanted, found = (predicted(str(model), tmp_path / "p.csv", images=images) for model in models)
        assert wanted.std() > 0.05
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_the_command_says_what_runs_it_and_resumes_with_the_same_file_alone(call, both, samples, tmp_path):
    onnx_file = both[1]
    other = changed(onnx_file, lambda model: setattr(model, "doc_string", "another file"))
    given = ("--images", samples / "test", "--output", tmp_path / "p.csv", "--on_error=fail")
    done = call("dogcat.predict", "--model", onnx_file, *given)
    assert done.code == 2 and "cannot be read" in done.err and "float32, ONNX Runtime " in done.out
    done = call("dogcat.predict", "--model", other, *given, "--resume")
    assert done.code == 2 and f"--model={other}: is not what" in done.err
    done = call("dogcat.predict", "--model", onnx_file, *given[:-1], "--resume")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--engine=openvino",),
            "--engine=openvino: {onnx} is run by ONNX Runtime, in float32 on one processor; leave",
        ),
        (("--precision=mixed_bfloat16",), "--precision=mixed_bfloat16: {onnx} is run by ONNX Runtime, in float32 on"),
        (("--model", "{keras}"), "{onnx} is run by ONNX Runtime and {keras} is not; give models of one kind"),
    ],
)
def test_what_onnx_runtime_does_not_do_is_one_line(call, both, samples, tmp_path, arguments, said):
    names = {"keras": both[0], "onnx": both[1]}
    given = [argument.format(**names) for argument in arguments]
    where = ("--images", samples / "test", "--output", tmp_path / "p.csv")
    done = call("dogcat.predict", "--model", both[1], *given, *where)
    assert done.code == 2 and said.format(**names) in done.err
    assert done.err.count("\n") == 1


def test_nothing_but_prediction_takes_it(call, both, tmp_path):
    done = call("tools.export_model", both[1], "--format=tflite", "--output", tmp_path / "out")
    assert done.code == 2 and "is an ONNX file, which predicts and nothing else; give the .keras file" in done.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: model.ClearField("metadata_props"), "is not an ONNX file that dogcat exported"),
        (describe_as(image_size=0), "image_size in its description is 0"),
        (describe_as(image_size=64), "does not take the pictures or give the classes that it tells"),
        (describe_as(classes=["a", "b", "c"]), "does not take the pictures or give the classes that it tells"),
        (lambda model: model.ClearField("graph"), "is damaged, or not an ONNX file"),
        (weights_in_another_file, "is damaged, or not an ONNX file"),
        (lambda model: setattr(model.graph.node[0], "op_type", "Unknown"), "is damaged, or not an ONNX file"),
    ],
)
def test_a_foreign_or_damaged_file_is_one_line(call, both, samples, tmp_path, change, said):
    path = changed(both[1], change)
    done = call("dogcat.predict", "--model", path, "--images", samples / "test", "--output", tmp_path / "p.csv")
    assert done.code == 2
    assert said in done.err and str(path) in done.err and done.err.count("\n") == 1


def test_the_folder_of_an_export_and_its_file_in_capitals_are_models(both, tmp_path):
    _, exported_file = both
    assert model_files.find_file(str(exported_file.parent), "model") == exported_file
    (tmp_path / "X.ONNX").write_bytes(exported_file.read_bytes())
    assert model_files.describe(tmp_path / "X.ONNX").classes == ["cat", "dog"]


def test_damage_is_taken_or_refused_in_a_line(both, tmp_path):
    def describe(data):
        (tmp_path / "damaged.onnx").write_bytes(data)
        model_files.describe(tmp_path / "damaged.onnx")

    assert check(describe, mutations(both[1].read_bytes(), 60, seed=0)) > 10


def test_without_the_package_it_says_how_to_install_it(both, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"which is not installed; pip install 'dogcat\[onnx\]'"):
        model_files.describe(both[1])
