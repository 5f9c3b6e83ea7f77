from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dogcat import examples, manifest, pipeline
from dogcat.config import ShardOptions
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


def epochs_of(folder, data, count, batch_size, **options):
    """Fingerprints of the pictures of each epoch, in order."""
    steps = pipeline.steps_in_epoch(data.splits["train"], batch_size)
    batches = iter(pipeline.train_dataset(folder, data, batch_size, **options))
    epochs = []
    for _ in range(count):
        pictures = [batch for batch, _ in itertools.islice(batches, steps)]
        epochs.append(fingerprints(np.concatenate(pictures)))
    return epochs


def test_training_batches_are_full_uint8_and_labelled(tfrecords, data):
    pictures, labels = next(iter(pipeline.train_dataset(tfrecords, data, 8, seed=0)))
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
    assert epochs_of(tfrecords, data, 1, batch_size=8, seed=5, first_epoch=2) == first[2:]
    assert epochs_of(tfrecords, data, 1, batch_size=8, seed=6) != first[:1]


@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_evaluation_sees_each_picture_once_in_order(tfrecords, data, batch_size):
    on_disk, disk_labels = records_on_disk(tfrecords, data, "validation")
    batches = list(pipeline.evaluation_dataset(tfrecords, data, "validation", batch_size))
    assert {batch.shape[0] for batch, _, _ in batches} == {batch_size}
    weights = np.concatenate([weight for _, _, weight in batches])
    assert weights.tolist() == [1.0] * len(on_disk) + [0.0] * (len(weights) - len(on_disk))
    pictures = np.concatenate([batch for batch, _, _ in batches])[: len(on_disk)]
    np.testing.assert_array_equal(pictures, on_disk)
    labels = np.concatenate([label for _, label, _ in batches])[: len(on_disk)]
    np.testing.assert_array_equal(labels, disk_labels)
    np.testing.assert_array_equal(pipeline.read_labels(tfrecords, data, "validation"), disk_labels)


def test_png_shards_give_the_pixels_that_were_resized(samples, tmp_path):
    options = ShardOptions(
        images=str(samples / "train"), output=str(tmp_path / "png"), image_size=72, encoding="png", workers=1
    )
    data = make_data_set(options)
    on_disk, labels = records_on_disk(tmp_path / "png", data, "validation")
    [(pictures, read_labels, _)] = pipeline.evaluation_dataset(tmp_path / "png", data, "validation", len(labels))
    np.testing.assert_array_equal(pictures, on_disk)
    np.testing.assert_array_equal(read_labels, labels)


def test_prediction_batches_are_padded():
    pictures = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)

    def batches():
        yield pictures[:3]
        yield pictures[3:]

    made = np.concatenate(list(pipeline.prediction_dataset(batches, 2, 3)))
    np.testing.assert_array_equal(made[:5], pictures)
    np.testing.assert_array_equal(made[5:], np.zeros((1, 2, 2, 3)))


def test_the_schema_is_tensorflows_usual_one(tfrecords, data):
    name = str(tfrecords / data.splits["train"].shards[0].name)
    record = next(iter(tf.data.TFRecordDataset(name))).numpy()
    feature = tf.train.Example.FromString(record).features.feature
    assert set(feature) == {
        *("image/encoded", "image/format", "image/height", "image/width", "image/filename"),
        *("image/class/label", "image/class/text", "image/original/height", "image/original/width"),
    }
    label = feature[examples.LABEL].int64_list.value[0]
    assert feature[examples.TEXT].bytes_list.value[0].decode() == data.classes[label]
    assert feature[examples.FILENAME].bytes_list.value[0].decode().startswith(data.classes[label] + ".")
