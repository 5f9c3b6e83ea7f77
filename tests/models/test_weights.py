from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import os
import re
import shutil
import threading
import time

import fuzzing
import h5py
import numpy as np
import pytest
from older_layout import save_in_older_layout

from dogcat.core import cache
from dogcat.core.options import InputError
from dogcat.models import architecture, backbones, weights, weights_cache, weights_download


@pytest.fixture(scope="module")
def backbone():
    return architecture.make_backbone("xception", 71)


@pytest.fixture(scope="module")
def small():
    """A small backbone with random weights."""
    return architecture.make_backbone("mobilenetv3small", 32)


@pytest.fixture(scope="module")
def same_as_small():
    return architecture.make_backbone("mobilenetv3small", 48)


@pytest.fixture
def other(same_as_small):
    """Another one of the same layers, without weights."""
    return blank(same_as_small)


def blank(model):
    """A model whose weights are all zero."""
    model.set_weights([np.zeros_like(array) for array in model.get_weights()])
    return model


@pytest.fixture
def as_imagenet(small, tmp_path, monkeypatch):
    """A file of weights of the small backbone that passes for ImageNet's."""
    path = tmp_path / "fetched.h5"
    save_in_older_layout(small, path)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    entry = dataclasses.replace(weights.BACKBONES["mobilenetv3small"], weights_md5=md5)
    monkeypatch.setitem(weights.BACKBONES, "mobilenetv3small", entry)
    return path


def assert_same(one, other):
    for ours, theirs in zip(one.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.shared
def test_a_file_is_checked_and_kept(shared, backbone, empty_cache):
    file = shared / "weights" / "xception_imagenet_notop.h5"
    cached = weights_cache.cache_path("xception")
    assert weights.load_imagenet(backbone, "xception", str(file)) == f"{file}, kept in {cached}"
    assert weights.digest(backbone.get_weights()) == weights.XCEPTION_DIGEST
    assert list(cache.cache_folder().iterdir()) == [cached]
    assert weights.load(blank(backbone), "xception", "imagenet") == f"ImageNet weights from the cache, {cached}"
    assert weights.digest(backbone.get_weights()) == weights.XCEPTION_DIGEST


def test_keras_cache_is_looked_at(small, other, as_imagenet, empty_cache):
    folder = empty_cache / "keras" / "models"
    folder.mkdir(parents=True)
    shutil.copy(as_imagenet, folder / "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5")
    assert "Keras' cache" in weights.load_imagenet(other, "mobilenetv3small")
    assert_same(other, small)
    assert weights_cache.cache_path("mobilenetv3small").read_bytes() == as_imagenet.read_bytes()


def test_a_cache_that_cannot_be_written_does_not_end_the_work(small, as_imagenet, call, empty_cache):
    (empty_cache / "cache").write_text("a file is in the way")
    source = weights.load_imagenet(small, "mobilenetv3small", str(as_imagenet))
    assert f"not kept in {weights_cache.cache_path('mobilenetv3small')}: " in source
    # Only the command whose purpose is to fill the cache has failed.
    done = call("tools.fetch_weights", "--backbone=mobilenetv3small", f"--file={as_imagenet}")
    assert done.code == 2
    assert done.err == f"error: {cache.cache_folder()} cannot be written; set DOGCAT_CACHE to a folder that can be\n"


def test_other_weights_are_refused_and_not_kept(backbone, small, empty_cache):
    other = empty_cache / "other.h5"
    save_in_older_layout(blank(backbone), other)
    with pytest.raises(InputError, match="--file=.*holds other weights than ImageNet's of xception"):
        weights.load_imagenet(backbone, "xception", str(other))
    save_in_older_layout(small, other)
    with pytest.raises(InputError, match="holds other weights than ImageNet's of mobilenetv3small"):
        weights.load_imagenet(small, "mobilenetv3small", str(other))
    with pytest.raises(InputError, match=r"--file=/no/such\.h5: no such file; give the one fetched from https://"):
        weights.load_imagenet(backbone, "xception", "/no/such.h5")
    assert not cache.cache_folder().exists()


def test_a_named_file_is_taken_as_it_is(small, other, empty_cache):
    # Weights alone or a whole model, whatever its name ends with.
    for whole in (False, True):
        file = save_in_older_layout(small, empty_cache / "own.h5", whole).rename(empty_cache / "own")
        assert weights.load(blank(other), "mobilenetv3small", str(file)) == f"weights from {file}"
        assert_same(other, small)
    assert not cache.cache_folder().exists()


def test_without_weights_they_stay_random(small):
    before = small.get_weights()
    assert weights.load(small, "mobilenetv3small", "none") == "random weights"
    for old, new in zip(before, small.get_weights()):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("kind", ["missing", "text", "cut", "other backbone", "no layout"])
def test_a_named_file_that_does_not_fit_is_refused(small, tmp_path, kind):
    file = tmp_path / "w.h5"
    said = "no such weights"
    if kind == "missing":
        said = "no such file"
    elif kind == "text":
        file.write_text("no weights")
    elif kind == "cut":
        save_in_older_layout(small, file)
        file.write_bytes(file.read_bytes()[:-1000])
    elif kind == "other backbone":
        save_in_older_layout(architecture.make_backbone("vgg16", 32), file)
        said = "its 26 arrays are not the 206 of this backbone"
    else:
        h5py.File(file, "w").close()
    with pytest.raises(
        InputError, match=f"--weights={file}: {said}.*; give imagenet, none or mobilenetv3small"
    ) as caught:
        weights.load(small, "mobilenetv3small", str(file))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", ["one wrong byte", "cut", "empty", "text", "dangling link", "folder"])
def test_a_damaged_file_in_the_cache_counts_as_none_and_is_replaced(
    small, other, as_imagenet, empty_cache, capsys, kind
):
    folder = empty_cache / "keras" / "models"
    folder.mkdir(parents=True)
    in_keras_cache = folder / weights.BACKBONES["mobilenetv3small"].weights_file
    shutil.copy(as_imagenet, in_keras_cache)
    sound = as_imagenet.read_bytes()
    cached = weights_cache.cache_path("mobilenetv3small")
    cached.parent.mkdir()
    if kind == "folder":
        cached.mkdir()
    elif kind == "dangling link":
        cached.symlink_to(empty_cache / "nowhere")
    else:
        middle = len(sound) // 2
        cached.write_bytes(
            {
                "one wrong byte": sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :],
                "cut": sound[:middle],
                "empty": b"",
                "text": b"<html>",
            }[kind]
        )
    source = weights.load_imagenet(other, "mobilenetv3small")
    assert_same(other, small)
    replaced = kind not in ("folder", "dangling link")
    assert source.startswith(f"Keras' cache, {in_keras_cache}, {'kept' if replaced else 'not kept'} in {cached}")
    assert (cached.is_file() and cached.read_bytes() == sound) == replaced
    assert not (empty_cache / "nowhere").exists() and len(list(cached.parent.iterdir())) == 1
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith(f"note: {cached}: ") and said.endswith("; it counts as none")


def test_a_file_under_keras_name_is_taken_and_never_replaced(small, other, as_imagenet, empty_cache):
    put_there = cache.cache_folder() / weights.BACKBONES["mobilenetv3small"].weights_file
    put_there.parent.mkdir()
    shutil.copy(as_imagenet, put_there)
    os.chmod(put_there.parent, 0o555)
    assert weights.load_imagenet(other, "mobilenetv3small") == f"the cache, {put_there}"
    assert weights_cache.is_cached("mobilenetv3small")
    assert_same(other, small)
    # Somebody's own weights of that name.
    save_in_older_layout(blank(other), put_there)
    before = put_there.read_bytes()
    assert "kept in" in weights.load_imagenet(other, "mobilenetv3small", str(as_imagenet))
    assert put_there.read_bytes() == before
    assert weights.load_imagenet(other, "mobilenetv3small").startswith(
        f"the cache, {weights_cache.cache_path('mobilenetv3small')}"
    )


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.long)])
def test_mutated_files_of_the_cache(small, as_imagenet, empty_cache, monkeypatch, count):
    cached = weights_cache.cache_path("mobilenetv3small")
    cached.parent.mkdir()
    sound = as_imagenet.read_bytes()

    def unreachable(url, folder):
        raise weights_download.Unavailable("not reached: no network")

    monkeypatch.setattr(weights_download, "download", unreachable)

    def load(data):
        cached.write_bytes(data)
        weights.load_imagenet(small, "mobilenetv3small")
        assert data == sound

    mutated = fuzzing.mutations(sound, count, seed=3)
    assert fuzzing.check(load, (data for data in mutated if data != sound)) > count / 2


@pytest.fixture
def server(as_imagenet, monkeypatch):
    """A server of the weights on this machine; returns what it does, which tests change."""
    does = {"bytes": None, "pause": 0.0}
    content = as_imagenet.read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(OSError):
                for at in range(0, len(content[: does["bytes"]]), 2**16):
                    self.wfile.write(content[: does["bytes"]][at : at + 2**16])
                    time.sleep(does["pause"])

        def log_message(self, *_):
            pass

    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        monkeypatch.setattr(
            backbones.Backbone,
            "weights_url",
            property(lambda self: f"http://127.0.0.1:{serving.server_port}/weights.h5"),
        )
        yield does
        serving.shutdown()
        thread.join()


def test_a_download_is_kept_and_one_that_breaks_off_is_named(server, small, other, empty_cache, monkeypatch, capsys):
    server["bytes"] = 100_000
    with pytest.raises(InputError, match="no ImageNet weights for mobilenetv3small; fetch http"):
        weights.load_imagenet(other, "mobilenetv3small")
    assert re.search("Keras' download: broke off: .* bytes are missing", capsys.readouterr().out)
    assert not cache.cache_folder().exists()
    server["bytes"] = None
    cached = weights_cache.cache_path("mobilenetv3small")
    # Where nothing can be kept, the weights are there all the same.
    cache.cache_folder().write_text("a file is in the way")
    assert weights.load_imagenet(other, "mobilenetv3small") == f"Keras' download, not kept in {cached}: Not a directory"
    assert_same(other, small)
    cache.cache_folder().unlink()
    assert weights.load_imagenet(other, "mobilenetv3small") == f"Keras' download, kept in {cached}"
    assert weights.load_imagenet(other, "mobilenetv3small") == f"the cache, {cached}"
    cached.unlink()
    server["pause"] = 0.05
    monkeypatch.setattr(weights_download, "SECONDS_TO_ANSWER", 0.2)
    monkeypatch.setattr(weights_download, "_SLOWEST_BYTES", 2**30)
    with pytest.raises(InputError, match="no ImageNet weights for mobilenetv3small"):
        weights.load_imagenet(other, "mobilenetv3small")
    assert re.search("Keras' download: too slow: .* bytes came in 0 s", capsys.readouterr().out)


def test_the_cache_may_lie_in_the_home_folder_and_on_no_server(monkeypatch):
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("DOGCAT_CACHE", "~/cache")
    assert str(cache.cache_folder()) == "/home/u/cache"
    monkeypatch.setenv("DOGCAT_CACHE", "gs://bucket/cache")
    with pytest.raises(InputError, match="DOGCAT_CACHE=gs://bucket/cache: addresses are not supported"):
        cache.cache_folder()
