"""A data service whose servers are killed, late or started again: which pictures of an epoch come."""

from __future__ import annotations

import itertools
import shutil
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from conftest import make
from data_servers import DataServers
from PIL import Image

from dogcat.core.options import InputError
from dogcat.core.places import place_of
from dogcat.dataset import manifest
from dogcat.loading import pipeline, readers
from dogcat.loading.data_service import BLOCK, DataService
from dogcat.loading.order import epoch_order

PICTURES, BATCH = 1600, 16
STEPS = PICTURES // BATCH
# What docs/many-machines.md says of a worker that ends.
MOST_BLOCKS_LOST = 8


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A data set of pictures each of which has a colour of its own, without validation."""
    folder = tmp_path_factory.mktemp("numbered")
    (folder / "images").mkdir()
    for number in range(PICTURES):
        picture = Image.new("RGB", (32, 32), (number // 256, number % 256, 0))
        picture.save(folder / "images" / f"{('cat', 'dog')[number % 2]}.{number}.bmp")
    make(folder / "images", folder / "tfrecords", image_size=128, encoding="png", shards=3, validation=0)
    return folder / "tfrecords"


@pytest.fixture
def pictures(numbered):
    return readers.open_split(place_of(str(numbered)), manifest.load(numbered, "train"), "train")


def epoch_of(servers, pictures, position=pipeline.BEGINNING, context=pipeline.ALONE):
    """Yields the numbers of the pictures in each share of a batch."""
    order = pipeline.TrainingOrder(BATCH, STEPS, seed=0)
    for pixels, labels in DataService(servers.address, 100, pictures).epoch(order, position, context):
        colours = pixels.numpy()[:, 0, 0].astype(int)
        numbers = colours[:, 0] * 256 + colours[:, 1]
        np.testing.assert_array_equal(labels, numbers % 2)
        yield numbers


def all_of(shares):
    """The numbers, none of which comes twice."""
    numbers = np.concatenate(list(shares)).tolist()
    assert len(set(numbers)) == len(numbers)
    return set(numbers)


def test_pictures_come_once_but_those_that_a_killed_worker_held(numbered, pictures, tmp_path):
    place_of_number = {int(key.split(".")[1]): place for place, key in enumerate(pictures.keys)}
    with DataServers(tmp_path, numbered, 2) as servers:
        shares = list(epoch_of(servers, pictures, context=tf.distribute.InputContext(1, 0, 2)))
        assert {len(share) for share in shares} == {BATCH // 2}
        assert all_of(shares) == set(range(PICTURES))

        # From a step on: what a run without the service has not seen by then.
        position = pipeline.Position(1, 60)
        rest = epoch_order(PICTURES, 0, 1, pictures.block).places.numpy()[60 * BATCH :]
        numbers = all_of(epoch_of(servers, pictures, position))
        assert {place_of_number[number] for number in numbers} == set(rest)

        epoch = epoch_of(servers, pictures, pipeline.Position(2, 0))
        begun = list(itertools.islice(epoch, 3))
        servers.kill(servers.dispatcher)
        servers.start_dispatcher()
        assert all_of([*begun, *epoch]) == set(range(PICTURES))

        epoch = epoch_of(servers, pictures, pipeline.Position(3, 0))
        begun = list(itertools.islice(epoch, 3))
        # So that it holds as many as it can.
        time.sleep(1)
        servers.kill(servers.workers[0])
        servers.start_worker(0)
        lost = PICTURES - len(all_of([*begun, *epoch]))
        assert 0 < lost <= MOST_BLOCKS_LOST * BLOCK


def test_workers_may_come_late_and_what_they_cannot_read_is_named(numbered, pictures, tmp_path):
    with DataServers(tmp_path, numbered, 0) as servers:
        late = threading.Timer(1, servers.start_worker, [0])
        late.start()
        epoch = epoch_of(servers, pictures)
        begun = list(itertools.islice(epoch, 3))
        late.join()
        servers.start_worker(1)
        assert all_of([*begun, *epoch]) == set(range(PICTURES))

        there = tmp_path / "there"
        shutil.copytree(numbered, there)
        copied = readers.open_split(place_of(str(there)), manifest.load(there, "train"), "train")
        shard = there / "train-00001-of-00003.tfrecord"
        damaged = bytearray(shard.read_bytes())
        damaged[5000] ^= 1
        shard.write_bytes(damaged)
        with pytest.raises(InputError, match=f"^{shard} is damaged: record"):
            list(epoch_of(servers, copied))
        shutil.rmtree(there)
        with pytest.raises(InputError, match=f"a worker cannot read the data set .* at {there}$"):
            list(epoch_of(servers, copied))
