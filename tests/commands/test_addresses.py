"""Commands on data sets in buckets, which TensorFlow's gs:// reads from a server on 127.0.0.1."""

from __future__ import annotations

import shutil

import pytest
from conftest import make
from small_runs import save_model

from dogcat.core.options import InputError
from dogcat.core.places import place_of
from dogcat.dataset import manifest
from dogcat.loading import damage, pipeline, readers
from tools.benchmarks import bucket


@pytest.fixture(scope="module")
def data_sets(samples, tmp_path_factory):
    """A folder with one of JPEG and one of raw pixels."""
    folder = tmp_path_factory.mktemp("buckets")
    for encoding in ("jpeg", "raw"):
        make(samples / "train", folder / encoding, encoding=encoding, validation=0.3, shards=2)
    return folder


@pytest.fixture
def buckets(data_sets, tmp_path, monkeypatch):
    """Serves copies of them as gs://jpeg and gs://raw; gives the server."""
    shutil.copytree(data_sets, tmp_path / "buckets")
    with bucket.served(tmp_path / "buckets", 0) as (server, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield server


def train(call, place, runs, *more):
    done = call(
        *("dogcat.train", f"--tfrecords={place}", f"--runs={runs}", "--backbone=tiny", "--weights=none"),
        *("--unfreeze_from=conv2", "--batch_size=8", "--epochs=1", "--precision=float32", "--strategy=one_device"),
        *("--shuffle_block=4", *more),
    )
    assert (done.code, done.err) == (0, "")
    folder = (runs / "latest").resolve()
    return (folder / "history.csv").read_bytes(), folder


def test_a_run_from_a_bucket_is_that_from_a_folder(data_sets, buckets, call, tmp_path, without_drawings):
    history, _ = train(call, data_sets / "jpeg", tmp_path / "local", "--noreport")
    remote, folder = train(call, "gs://jpeg/", tmp_path / "remote")
    assert remote == history
    assert (folder / "report.html").is_file()
    # Of each block a byte before it, which is how TensorFlow goes there, and the block.
    reads = [request for request in buckets.requests if ".tfrecord bytes=" in request]
    assert 0 < len(reads) < 400


def test_raw_pixels_in_a_bucket_are_evaluated_and_shown(data_sets, buckets, call, tmp_path):
    model = save_model(tmp_path / "model.keras")
    figures = {}
    for name, place in (("local", data_sets / "raw"), ("remote", "gs://raw")):
        output = tmp_path / name
        done = call("dogcat.evaluate", f"--model={model}", f"--tfrecords={place}", f"--output={output}")
        assert (done.code, done.err) == (0, "")
        figures[name] = (output / "predictions.csv").read_bytes()
    assert figures["remote"] == figures["local"]
    done = call("tools.inspect_tfrecords", "gs://raw")
    assert done.code == 0 and done.out.endswith("the shards are there in full size\n")
    done = call("tools.inspect_tfrecords", "gs://raw", "--verify")
    assert done.err == "error: --verify: reads a folder of this machine alone; copy the data set\n"


def test_what_a_bucket_refuses_is_one_line(buckets, call, monkeypatch):
    def refused(place, *more):
        done = call("dogcat.train", f"--tfrecords={place}", *more)
        assert done.code == 2 and len(done.err.splitlines()) == 1, done.err
        return done.err

    assert "gs://nothing/set/dataset.json: there is no such file or bucket; " in refused("gs://nothing/set")
    assert "gs://jpeg/train-*: TFRecords of another program are read from this machine" in refused("gs://jpeg/train-*")
    monkeypatch.setattr(buckets, "answer", lambda *asked: (403, b"none of your business"))
    said = refused("gs://raw")
    assert "gs://raw/dataset.json: may not be read with the credentials that TensorFlow found" in said
    assert "HTTP response code 403" in said


def test_what_a_bucket_does_not_give_for_a_while_ends_the_reading(buckets):
    place = place_of("gs://jpeg")
    pictures = readers.open_split(place, manifest.load(place), "train")
    answer, refused = buckets.answer, []

    def first_refused(host, path, byte_range):
        if byte_range and not refused:
            refused.append(path)
            return 404, b"not now"
        return answer(host, path, byte_range)

    buckets.answer = first_refused
    with pytest.raises(InputError, match="^gs://jpeg: could not be read for a while .*not now"), damage.naming_damage():
        list(pipeline.evaluation_dataset(pictures, 4))
    assert refused
