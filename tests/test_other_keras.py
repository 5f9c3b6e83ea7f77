"""The two environments, TensorFlow 2.15 with Keras 2 and today's with Keras 3, hold together."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import in_other_keras
import numpy as np
import pytest
from conftest import ROOT, contents, environment
from small_runs import save_model

from dogcat.models import export, keras_versions, model_files
from dogcat.models.backbones import BACKBONES

pytestmark = pytest.mark.both_keras

# One of each kind: with names that Keras 3 forbids, operations that it has no layer for, and a layer of Keras' own.
OF_EACH_KIND = ("tiny", "xception", "vgg16", "inceptionresnetv2", "mobilenetv3small", "efficientnetv2b0")

# PyTorch, the third of the backends, takes a gigabyte; JAX compiles large models for minutes.
EXPORTED = {"tensorflow": OF_EACH_KIND, "jax": ("tiny", "vgg16", "mobilenetv3small")}
if keras_versions.IS_KERAS_3:
    # Nothing is turned into anything else; each kind of name and of layer is read by Keras 2 in one of these.
    OF_EACH_KIND = ("tiny", "xception", "mobilenetv3small")
    EXPORTED = dict.fromkeys(EXPORTED, ("tiny",))

PLAIN = """
import sys
from pathlib import Path
import keras, numpy as np
for file in Path(sys.argv[1]).glob("*.keras"):
    model = keras.models.load_model(file, compile=False)
    np.save(file.with_suffix(".npy"), model.predict(np.load(file.with_suffix(".pictures")), verbose=0))
assert "dogcat" not in sys.modules
print(keras.__version__, keras.backend.backend(), *model.output_names)
"""


@pytest.fixture(scope="module")
def other_python() -> str:
    """The Python with the other Keras."""
    other = "2.15" if keras_versions.IS_KERAS_3 else "2.21"
    python = os.environ.get("DOGCAT_OTHER_PYTHON") or str(ROOT / f".venv-{other}" / "bin" / "python")
    if not Path(python).exists():
        pytest.skip(f"no environment with the other Keras: make install TENSORFLOW={other}, or set DOGCAT_OTHER_PYTHON")
    return python


@pytest.fixture(scope="module")
def python_of_keras_3(other_python) -> str:
    return sys.executable if keras_versions.IS_KERAS_3 else other_python


def ran(python, *arguments, **changes):
    done = subprocess.run(
        [python, *map(str, arguments)], env=environment(**changes), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a model of each kind, in float32, made here, and what each predicts."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        in_other_keras.build_few_blocks(patch)
        for name in OF_EACH_KIND:
            save_model(folder / f"{name}.keras", backbone=name, image_size=max(32, BACKBONES[name].smallest_image))
        in_other_keras.predict(folder)
        yield folder


def held_together(names, models, other):
    for name in names:
        here, there = np.load(models / f"{name}.npy"), np.load(other / f"{name}.npy")
        assert here.std() > 0.01
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-5, err_msg=name)


def test_models_predict_the_same_in_the_other(models, other_python, tmp_path):
    other = shutil.copytree(models, tmp_path / "other", ignore=shutil.ignore_patterns("*.npy"))
    ran(other_python, "-m", "in_other_keras", "predict", other)
    held_together(OF_EACH_KIND, models, other)


@pytest.mark.parametrize(("backend", "names"), EXPORTED.items())
def test_exported_models_open_in_plain_keras_3(models, python_of_keras_3, tmp_path, backend, names):
    for name in names:
        path = models / f"{name}.keras"
        export.write(path, "keras", tmp_path)
        (tmp_path / export.FILES["keras"]).rename(tmp_path / path.name)
        with open(tmp_path / f"{name}.pictures", "wb") as file:
            np.save(file, in_other_keras.pictures(model_files.describe(path).image_size))
    # JAX would optimise for longer than it computes.
    quickly = {"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": 1}
    said = ran(python_of_keras_3, "-c", PLAIN, tmp_path, **quickly)
    assert re.fullmatch(rf"3\.\S+ {backend} probabilities\n", said)
    for name in names:
        # The probability of each class, of which the model itself gives the second.
        given = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(given.sum(axis=1), 1, rtol=0, atol=1e-5)
        np.save(tmp_path / f"{name}.npy", given[:, 1:])
    held_together(names, models, tmp_path)


def test_lamb_takes_the_same_steps_in_both(other_python, tmp_path):
    in_other_keras.lamb(tmp_path)
    here = np.load(tmp_path / "lamb.npy")
    ran(other_python, "-m", "in_other_keras", "lamb", tmp_path)
    assert np.abs(here[19] - here[0]).mean() > 0.1
    np.testing.assert_allclose(np.load(tmp_path / "lamb.npy"), here, rtol=1e-5, atol=1e-6)


def test_data_sets_are_the_same_bytes(samples, other_python, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        shutil.copytree(samples / "train", folder / "train")
    in_other_keras.shards(here)
    ran(other_python, "-m", "in_other_keras", "shards", there)
    for form in ("jpeg", "raw"):
        assert contents(here / form) == contents(there / form)
