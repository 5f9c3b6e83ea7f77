from __future__ import annotations

import shutil

import pytest

from dogcat import model as models
from dogcat import weights
from dogcat.config import InputError


@pytest.fixture(scope="module")
def backbone():
    return models.make_backbone()


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DOGCAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path


@pytest.fixture
def nothing_reachable(monkeypatch):
    """No answer from the network: a proxy at a port where nobody listens, for urllib and for pip."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.shared
def test_a_file_is_checked_and_kept(shared, backbone, empty_cache):
    file = shared / "weights" / "xception_imagenet_notop.h5"
    assert weights.load_imagenet(backbone, str(file)) == str(file)
    assert weights.digest(backbone.get_weights()) == weights.DIGEST
    assert [path.name for path in weights.cache_folder().iterdir()] == [weights.FILE_NAME]
    other = models.make_backbone()
    assert "the cache" in weights.load_imagenet(other)
    assert weights.digest(other.get_weights()) == weights.DIGEST


@pytest.mark.shared
def test_keras_cache_is_looked_at(shared, backbone, empty_cache):
    folder = empty_cache / "keras" / "models"
    folder.mkdir(parents=True)
    shutil.copy(shared / "weights" / "xception_imagenet_notop.h5", folder / weights.FILE_NAME)
    assert "Keras' cache" in weights.load_imagenet(backbone)
    assert weights.cache_path().is_file()


def test_other_weights_are_refused_and_not_kept(backbone, empty_cache):
    other = empty_cache / "other.h5"
    models.make_backbone().save_weights(other)
    with pytest.raises(InputError, match="holds other weights"):
        weights.load_imagenet(backbone, str(other))
    cut = empty_cache / "cut.h5"
    cut.write_bytes(other.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"cut\.h5: no such weights"):
        weights.load_imagenet(backbone, str(cut))
    with pytest.raises(InputError, match=r"--file=/no/such\.h5"):
        weights.load_imagenet(backbone, "/no/such.h5")
    assert not weights.cache_path().exists()


def test_nothing_reachable_is_one_clear_line(run, empty_cache, nothing_reachable):
    done = run("tools.fetch_weights")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert weights.URL in done.err and "--file=" in done.err
