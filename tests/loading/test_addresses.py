"""Data sets at addresses, which TensorFlow's file systems read: the same batches as from a folder; what is wrong."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf
from shard_files import ENCODINGS, make_in_each_encoding

from dogcat.core.options import InputError
from dogcat.core.places import place_of
from dogcat.dataset import manifest, shard_index
from dogcat.loading import damage, pipeline, readers
from dogcat.loading.encoded_pictures import EncodedPictures


@pytest.fixture(scope="module")
def data_sets(samples, tmp_path_factory):
    return make_in_each_encoding(samples / "train", tmp_path_factory.mktemp("data_sets"))


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


def trained_on(pictures):
    """Batches from the middle of an epoch to the middle of the next."""
    order = pipeline.TrainingOrder(4, 6, seed=1, block=2)
    return list(pipeline.train_dataset(pictures, order, pipeline.Position(1, 3)).take(7).as_numpy_iterator())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_batches_as_from_a_folder(data_sets, in_memory, encoding, monkeypatch):
    # So that an epoch has several windows.
    for module in ("order", "pipeline"):
        monkeypatch.setattr(f"dogcat.loading.{module}.WINDOW_BLOCKS", 4)
    local, remote = open_split(data_sets / encoding), open_split(in_memory(encoding))
    assert isinstance(remote, EncodedPictures)
    assert (remote.keys, remote.labels.tolist()) == (local.keys, local.labels.tolist())
    for ours, theirs in zip(trained_on(remote), trained_on(local)):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
    for ours, theirs in zip(pipeline.evaluation_dataset(remote, 4), pipeline.evaluation_dataset(local, 4)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def copied(data_sets, tmp_path):
    """A copy of a data set: its folder, and the address of that."""
    return lambda name: (shutil.copytree(data_sets / name, tmp_path / name), f"file://{tmp_path}/{name}")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_damaged_record_is_named(copied, encoding):
    folder, address = copied(encoding)
    reader = open_split(address)
    place = len(reader.labels) - 2
    byte = int(reader.records.offsets[place]) + 40
    name = reader.records.paths[1].rpartition("/")[2]
    content = bytearray((folder / name).read_bytes())
    content[byte] ^= 1
    (folder / name).write_bytes(content)
    number = reader.records.number_in_shard(place)
    said = f"{address}/{name} is damaged: record {number}: the data do not match their checksum; copy it there again"
    # Read by blocks, each picture alone, and without TensorFlow's graph.
    with pytest.raises(InputError) as raised, damage.naming_damage():
        list(pipeline.evaluation_dataset(reader, 4))
    assert str(raised.value) == said
    with pytest.raises(InputError) as raised:
        reader.records.pixels(place)
    assert str(raised.value) == said


def test_a_shard_that_vanishes_is_named(copied):
    folder, address = copied("jpeg")
    reader = open_split(address)
    path = reader.records.paths[1]
    (folder / path.rpartition("/")[2]).unlink()
    with pytest.raises(FileNotFoundError) as raised, damage.naming_damage():
        list(pipeline.evaluation_dataset(reader, 4))
    assert (raised.value.filename, raised.value.strerror) == (path, "there is no such file or bucket")
    with pytest.raises(InputError, match=f"{path} is missing; copy it again"):
        open_split(address)


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        (manifest.FILE_NAME, lambda content: content[:-5], "copy it again"),
        (manifest.FILE_NAME, lambda content: bytes(2**25 + 1), "has more than 33,554,432 bytes"),
        (manifest.FILE_NAME, lambda content: content.replace(b"train-00000", b"../rain-00000"), "train-00000"),
        ("train-00000-of-00002.tfrecord", lambda content: content[:-1], "bytes, the manifest says"),
        (f"train-00000-of-00002.tfrecord{shard_index.SUFFIX}", lambda content: content + b"x", "more than|sha256"),
    ],
    ids=["cut short", "large", "other names", "shard", "index"],
)
def test_what_stands_there_is_not_trusted(copied, name, changed, said):
    folder, address = copied("jpeg")
    (folder / name).write_bytes(changed((folder / name).read_bytes()))
    with pytest.raises(InputError, match=f"(?s)^{address}/{name}.*({said})"):
        open_split(address)


def test_an_address_names_something_and_its_scheme_in_any_letters():
    for text in ("gs://", "gs:///", "ram://"):
        with pytest.raises(InputError, match=f"^{text}: names nothing; give an address like gs://bucket/folder$"):
            place_of(text)
    assert str(place_of("GS://Bucket/Set/")) == "gs://Bucket/Set"


def test_what_is_not_there_or_cannot_be_asked_is_told(tmp_path):
    with pytest.raises(InputError, match="^ram://nothing/dataset.json: there is no such file or bucket; give the"):
        open_split("ram://nothing/")
    with pytest.raises(
        InputError, match="^nix://bucket/set/dataset.json: TensorFlow has no file system for nix://; pip"
    ):
        open_split("nix://bucket/set")
    (tmp_path / manifest.FILE_NAME).mkdir()
    with pytest.raises(InputError, match=f"^file://{tmp_path}/dataset.json: is not a file"):
        open_split(f"file://{tmp_path}")
