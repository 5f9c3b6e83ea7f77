from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dogcat.dataset import example_proto, manifest
from dogcat.dataset.options import ShardOptions
from dogcat.loading import pipeline, readers
from tools.make_tfrecords import make_data_set


@pytest.fixture(scope="module")
def data(tfrecords):
    return manifest.load(tfrecords)


def records_on_disk(folder, data, split):
    """Pictures as Pillow decodes them and labels, read with a schema written by hand."""
    schema = {
        "image/encoded": tf.io.FixedLenFeature((), tf.string),
        "image/class/label": tf.io.FixedLenFeature((), tf.int64),
    }
    names = [str(folder / shard.name) for shard in data.splits[split].shards]
    parsed = [tf.io.parse_single_example(record, schema) for record in tf.data.TFRecordDataset(names)]
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(p["image/encoded"].numpy()))) for p in parsed])
    return pictures, np.array([p["image/class/label"] for p in parsed])


def fingerprints(pictures):
    return [hash(picture.tobytes()) for picture in np.asarray(pictures)]


def epochs_of(folder, data, count, batch_size, seed, start=pipeline.BEGINNING):
    """Fingerprints of the pictures of each epoch, in order."""
    steps = pipeline.steps_in_epoch(data.splits["train"], batch_size)
    order = pipeline.TrainingOrder(batch_size, steps, seed)
    batches = iter(pipeline.train_dataset(readers.open_split(folder, data, "train"), order, start))
    epochs = []
    for _ in range(count):
        pictures = [batch for batch, _ in itertools.islice(batches, steps)]
        epochs.append(fingerprints(np.concatenate(pictures)))
    return epochs


def test_training_batches_are_full_uint8_and_labelled(tfrecords, data):
    order = pipeline.TrainingOrder(8, 1, seed=0)
    pictures, labels = next(iter(pipeline.train_dataset(readers.open_split(tfrecords, data, "train"), order)))
    assert pictures.shape == (8, 96, 96, 3) and pictures.dtype == tf.uint8
    assert labels.shape == (8,) and labels.dtype == tf.int32
    on_disk, disk_labels = records_on_disk(tfrecords, data, "train")
    label_of = dict(zip(fingerprints(on_disk), disk_labels))
    assert [label_of[mark] for mark in fingerprints(pictures)] == labels.numpy().tolist()


def test_an_epoch_is_a_permutation_and_epochs_differ(tfrecords, data):
    on_disk = fingerprints(records_on_disk(tfrecords, data, "train")[0])
    assert len(on_disk) % 8 == len(on_disk) - 8 * (len(on_disk) // 8) > 0
    first, second, third = epochs_of(tfrecords, data, 3, batch_size=8, seed=0)
    for epoch in (first, second, third):
        assert len(epoch) == len(set(epoch)) == 8 * (len(on_disk) // 8)
        assert set(epoch) <= set(on_disk)
    assert first != second != third
    # The remainder that is dropped is another one each time.
    assert set(first) != set(second)


def test_the_order_repeats_for_the_seed_and_goes_on_from_any_epoch(tfrecords, data):
    first = epochs_of(tfrecords, data, 3, batch_size=8, seed=5)
    assert epochs_of(tfrecords, data, 3, batch_size=8, seed=5) == first
    assert epochs_of(tfrecords, data, 1, batch_size=8, seed=5, start=pipeline.Position(2, 0)) == first[2:]
    assert epochs_of(tfrecords, data, 1, batch_size=8, seed=6) != first[:1]


def batches_of(folder, data, count, start=pipeline.BEGINNING, block=1, **contexts):
    """Fingerprints of batches of 8, two of them an epoch."""
    order, context = pipeline.TrainingOrder(8, 2, 3, block), tf.distribute.InputContext(**contexts)
    dataset = pipeline.train_dataset(readers.open_split(folder, data, "train"), order, start, context)
    return [fingerprints(pictures) for pictures, _ in dataset.take(count)]


@pytest.mark.parametrize("block", [1, 3])
def test_training_goes_on_from_any_step(tfrecords, data, block):
    whole = batches_of(tfrecords, data, 6, block=block)
    for step in range(6):
        position = pipeline.Position(step // 2, step % 2)
        assert batches_of(tfrecords, data, 6 - step, position, block) == whole[step:]


@pytest.mark.parametrize(("workers", "replicas", "block"), [(1, 2, 1), (2, 2, 1), (2, 4, 3), (4, 4, 1)])
def test_workers_and_replicas_share_the_batches_of_one(tfrecords, data, workers, replicas, block):
    whole = batches_of(tfrecords, data, 4, block=block)
    each = replicas // workers
    parts = [
        batches_of(
            tfrecords, data, 4 * each, block=block, num_input_pipelines=workers, input_pipeline_id=worker,
            num_replicas_in_sync=replicas,
        )
        for worker in range(workers)
    ]  # fmt: skip
    for step in range(4):
        shares = [share for part in parts for share in part[step * each : (step + 1) * each]]
        assert [len(share) for share in shares] == [8 // replicas] * replicas
        assert sum(shares, []) == whole[step]


@pytest.mark.parametrize("block", [1, 3])
def test_the_keys_of_a_step_are_those_of_its_pictures(tfrecords, data, block):
    position = pipeline.Position(1, 1)
    [batch] = batches_of(tfrecords, data, 1, position, block)
    order = pipeline.TrainingOrder(8, 2, 3, block)
    keys = pipeline.keys_of_batch(readers.open_split(tfrecords, data, "train"), order, position)
    names = [str(tfrecords / shard.name) for shard in data.splits["train"].shards]
    key_of = {}
    for record in tf.data.TFRecordDataset(names):
        feature = tf.train.Example.FromString(record.numpy()).features.feature
        [encoded] = feature["image/encoded"].bytes_list.value
        picture = np.asarray(Image.open(io.BytesIO(encoded)))
        key_of[hash(picture.tobytes())] = feature["image/filename"].bytes_list.value[0].decode()
    assert keys == [key_of[mark] for mark in batch]


def test_a_limited_data_set_is_the_beginning(tfrecords, data):
    limited = data.limited(10)
    assert {name: split.pictures for name, split in limited.splits.items()} == {"train": 10, "validation": 10}
    on_disk, labels = records_on_disk(tfrecords, data, "train")
    batches = pipeline.evaluation_dataset(readers.open_split(tfrecords, limited, "train"), 5)
    np.testing.assert_array_equal(np.concatenate(list(batches)), on_disk[:10])
    np.testing.assert_array_equal(readers.open_split(tfrecords, limited, "train").labels, labels[:10])
    [epoch] = epochs_of(tfrecords, limited, 1, batch_size=5, seed=0)
    assert set(epoch) == set(fingerprints(on_disk[:10]))
    assert data.limited(10**6) == data


@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_evaluation_sees_each_picture_once_in_order(tfrecords, data, batch_size):
    on_disk, disk_labels = records_on_disk(tfrecords, data, "validation")
    batches = list(pipeline.evaluation_dataset(readers.open_split(tfrecords, data, "validation"), batch_size))
    assert {batch.shape[0] for batch in batches} == {batch_size}
    pictures = np.concatenate(batches)
    np.testing.assert_array_equal(pictures[: len(on_disk)], on_disk)
    # Less than a batch of padding.
    assert len(pictures) - len(on_disk) < batch_size
    rest = np.concatenate(
        list(pipeline.evaluation_dataset(readers.open_split(tfrecords, data, "validation"), batch_size, first=3))
    )
    np.testing.assert_array_equal(rest[: len(on_disk) - 3], on_disk[3:])
    np.testing.assert_array_equal(readers.open_split(tfrecords, data, "validation").labels, disk_labels)


@pytest.mark.parametrize(("workers", "replicas"), [(1, 2), (2, 2), (2, 4)])
def test_evaluation_is_shared_in_order(tfrecords, data, workers, replicas):
    on_disk, _ = records_on_disk(tfrecords, data, "validation")
    reader = readers.open_split(tfrecords, data, "validation")
    parts = [
        list(pipeline.evaluation_dataset(reader, 8, tf.distribute.InputContext(
            num_input_pipelines=workers, input_pipeline_id=worker, num_replicas_in_sync=replicas
        )))
        for worker in range(workers)
    ]  # fmt: skip
    each = replicas // workers
    assert len({len(part) for part in parts}) == 1 and len(parts[0]) % each == 0
    in_order = [part[i + j] for i in range(0, len(parts[0]), each) for part in parts for j in range(each)]
    np.testing.assert_array_equal(np.concatenate(in_order)[: len(on_disk)], on_disk)


def test_png_shards_give_the_pixels_that_were_resized(samples, tmp_path):
    options = ShardOptions(
        images=str(samples / "train"), output=str(tmp_path / "png"), image_size=72, encoding="png", workers=1
    )
    data = make_data_set(options)
    on_disk, labels = records_on_disk(tmp_path / "png", data, "validation")
    [pictures] = pipeline.evaluation_dataset(readers.open_split(tmp_path / "png", data, "validation"), len(labels))
    np.testing.assert_array_equal(pictures, on_disk)


def test_prediction_batches_are_padded():
    pictures = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)

    def batches():
        yield pictures[:3]
        yield pictures[3:]

    made = np.concatenate(list(pipeline.prediction_dataset(batches, 2, 3)))
    np.testing.assert_array_equal(made[:5], pictures)
    np.testing.assert_array_equal(made[5:], np.zeros((1, 2, 2, 3)))
    three_replicas = tf.distribute.InputContext(num_replicas_in_sync=3)
    shares = list(pipeline.prediction_dataset(batches, 2, 3, three_replicas))
    assert [len(share) for share in shares] == [1] * 6
    np.testing.assert_array_equal(np.concatenate(shares), made)


def test_the_schema_is_tensorflows_usual_one(tfrecords, data):
    name = str(tfrecords / data.splits["train"].shards[0].name)
    record = next(iter(tf.data.TFRecordDataset(name))).numpy()
    feature = tf.train.Example.FromString(record).features.feature
    assert set(feature) == {
        *("image/encoded", "image/format", "image/height", "image/width", "image/filename"),
        *("image/class/label", "image/class/text", "image/original/height", "image/original/width"),
    }
    label = feature[example_proto.LABEL].int64_list.value[0]
    assert feature[example_proto.TEXT].bytes_list.value[0].decode() == data.classes[label]
    assert feature[example_proto.FILENAME].bytes_list.value[0].decode().startswith(data.classes[label] + ".")
