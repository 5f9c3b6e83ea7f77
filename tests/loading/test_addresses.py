"""Data sets at addresses, which TensorFlow's file systems read: the same pictures in the same order as from a folder."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from conftest import make

from dogcat.core.options import InputError
from dogcat.core.places import place_of
from dogcat.dataset import manifest, shard_plan
from dogcat.loading import damage, pipeline, readers
from dogcat.loading.encoded_pictures import EncodedPictures

ENCODINGS = ("jpeg", "png", "raw")


@pytest.fixture(scope="module")
def data_sets(samples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data_sets")
    for encoding in ENCODINGS:
        make(samples / "train", folder / encoding, encoding=encoding, validation=0.3, shards=2)
    return folder


@pytest.fixture
def in_memory(data_sets):
    """Copies a data set into TensorFlow's file system in memory; gives the address."""

    def copied(name):
        address = f"ram://sets/{name}"
        tf.io.gfile.makedirs(address)
        for path in (data_sets / name).iterdir():
            with tf.io.gfile.GFile(f"{address}/{path.name}", "wb") as file:
                file.write(path.read_bytes())
        return address

    yield copied
    tf.io.gfile.rmtree("ram://sets")


def open_split(place, split="train"):
    place = place_of(str(place))
    return readers.open_split(place, manifest.load(place), split)


def trained_on(pictures, start, block):
    order = pipeline.TrainingOrder(4, 6, seed=1, block=block)
    return list(pipeline.train_dataset(pictures, order, pipeline.Position(*start)).take(9).as_numpy_iterator())


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("block", [0, 2])
def test_the_same_batches_as_from_a_folder(data_sets, in_memory, encoding, block, monkeypatch):
    # So that an epoch has several windows.
    monkeypatch.setattr("dogcat.loading.order.WINDOW_BLOCKS", 4)
    local, remote = open_split(data_sets / encoding), open_split(in_memory(encoding))
    assert isinstance(remote, EncodedPictures)
    assert (remote.keys, remote.labels.tolist()) == (local.keys, local.labels.tolist())
    for start in ((0, 0), (1, 3)):
        for ours, theirs in zip(trained_on(remote, start, block), trained_on(local, start, block)):
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1], theirs[1])
    for ours, theirs in zip(pipeline.evaluation_dataset(remote, 4), pipeline.evaluation_dataset(local, 4)):
        np.testing.assert_array_equal(ours, theirs)
