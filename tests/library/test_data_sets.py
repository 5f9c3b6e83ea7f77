from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
import shard_files
import tensorflow as tf
from conftest import environment

import dogcat
from dogcat.dataset import stored_picture, tfrecord


@pytest.fixture(scope="module", params=["jpeg", "raw"])
def made(request, samples, tmp_path_factory):
    output = tmp_path_factory.mktemp("made") / "data"
    return dogcat.make_dataset(samples / "train", output, image_size=32, encoding=request.param, shards=3, workers=1)


def stored(split):
    """Every picture of a split, as TensorFlow's and NumPy's own means read it."""
    shards = [split._folder / shard.name for shard in split._manifest.splits[split.name].shards]
    return [stored_picture.parse_picture(record.data) for shard in shards for record in tfrecord.read_records(shard)]


def test_a_data_set_tells_what_it_holds(made):
    again = dogcat.open_dataset(made.folder)
    assert again.classes == ["cat", "dog"] and again.image_size == 32 and again.splits == ["train", "validation"]
    assert {name: sum(again.counts[name].values()) for name in again.splits} == {
        name: len(again.split(name)) for name in again.splits
    }
    assert "train" in repr(again) and "Split('train'" in repr(again.split("train"))
    with pytest.raises(dogcat.InputError, match="'test': .* has no such split; use one of train, validation"):
        again.split("test")
    with pytest.raises(dogcat.InputError, match="is no data set|does not exist"):
        dogcat.open_dataset(made.folder / "nowhere")


def test_a_split_is_a_sequence_of_pictures(made):
    split = made.split("train")
    pictures = stored(split)
    assert [(label, key) for _, label, key in split] == [(picture.label, picture.key) for picture in pictures]
    assert split.keys == [picture.key for picture in pictures]
    assert split.labels.tolist() == [picture.label for picture in pictures]
    for place in (0, 5, -1):
        pixels, label, key = split[place]
        assert np.array_equal(pixels, stored_picture.pixels_of(pictures[place]))
        assert (label, key) == (pictures[place].label, pictures[place].key)
    assert [key for _, _, key in split[2:5]] == split.keys[2:5] and split[3:3] == []
    with pytest.raises(IndexError):
        split[len(split)]


def test_batches_hold_each_picture_once(made):
    split = made.split("train")
    batches = list(split.batches(8).as_numpy_iterator())
    assert len(batches) == split.batches(8).cardinality() == -(-len(split) // 8)
    assert np.concatenate([labels for _, labels in batches]).tolist() == split.labels.tolist()
    pixels = np.concatenate([pictures for pictures, _ in batches])
    assert np.array_equal(pixels, np.stack([picture for picture, _, _ in split]))
    whole = list(split.numpy_batches(8, drop_remainder=True))
    assert {len(labels) for _, labels in whole} == {8} and len(whole) == len(split) // 8


def in_order(dataset):
    return np.concatenate([pictures for pictures, _ in dataset.as_numpy_iterator()]).tobytes()


def sorted_pictures(dataset):
    return sorted(picture.tobytes() for pictures, _ in dataset.as_numpy_iterator() for picture in pictures)


def test_each_pass_has_another_order_that_follows_from_the_seed(made):
    split = made.split("train")
    dataset = split.batches(8, shuffle=True, seed=3)
    first, second = in_order(dataset), in_order(dataset)
    again = split.batches(8, shuffle=True, seed=3)
    assert [in_order(again), in_order(again)] == [first, second]
    plain = in_order(split.batches(8))
    assert len({first, second, plain, in_order(split.batches(8, shuffle=True, seed=4))}) == 4
    assert sorted_pictures(dataset) == sorted_pictures(split.batches(5))
    tf.random.set_seed(17)
    seeded = split.batches(8, shuffle=True, seed=3)
    assert [in_order(seeded), in_order(seeded)] == [first, second]


def test_augmentation_is_drawn_anew_and_follows_from_the_seed(made):
    split = made.split("validation")
    dataset = split.batches(4, augment="strong", seed=1)
    first, second = in_order(dataset), in_order(dataset)
    assert in_order(split.batches(4, augment="strong", seed=1)) == first
    assert len({first, second, in_order(split.batches(4))}) == 3
    mirrored = split.batches(4, augment=dogcat.AugmentationRanges(flip=1.0))
    pixels = np.concatenate([pictures for pictures, _ in mirrored.as_numpy_iterator()])
    assert np.array_equal(pixels[:, :, ::-1], np.stack([picture for picture, _, _ in split]))


def test_a_repeated_dataset_goes_on_with_other_passes(made):
    split = made.split("validation")
    steps = -(-len(split) // 4)
    endless = split.batches(4, shuffle=True, repeat=True)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    passes = list(endless.take(2 * steps).as_numpy_iterator())
    one, other = (np.concatenate([labels for _, labels in some]) for some in (passes[:steps], passes[steps:]))
    assert sorted(one) == sorted(other) == sorted(split.labels)


# In a process of its own: TensorFlow 2.15 lets no other strategy work after Keras 2 has used one.
OF_KERAS = """
import sys
import numpy as np
import two_devices
two_devices.split_the_processor()
import tensorflow as tf
from tensorflow import keras
import dogcat

with tf.distribute.MirroredStrategy(sys.argv[2:]).scope():
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
data = dogcat.open_dataset(sys.argv[1])
train, validation = data.split("train"), data.split("validation")
# Keras 3 needs a first batch of which each replica gets the same share, and validation has three pictures.
history = model.fit(train.batches(8, shuffle=True), validation_data=validation.batches(2), epochs=2, verbose=0).history
assert len(history["loss"]) == 2 and np.isfinite(history["val_loss"]).all()
loss, accuracy = model.evaluate(train.batches(8), verbose=0)
said = model.predict(np.stack([picture for picture, _, _ in train]), verbose=0)[:, 0]
assert np.isfinite(loss) and abs(accuracy - np.mean((said > 0.5) == (train.labels == 1))) < 1e-6
print("trained and evaluated")
"""


@pytest.mark.parametrize(("made", "replicas"), [("jpeg", 2), ("raw", 1)], indirect=["made"])
def test_plain_keras_trains_and_evaluates(made, replicas):
    devices = [f"CPU:{number}" for number in range(replicas)]
    done = subprocess.run(
        [sys.executable, "-c", OF_KERAS, made.folder, *devices], env=environment(), capture_output=True, text=True
    )
    assert done.stdout.endswith("trained and evaluated\n"), done.stderr


def test_a_damaged_record_is_named(made, tmp_path):
    folder = shutil.copytree(made.folder, tmp_path / "data")
    split = dogcat.open_dataset(folder).split("train")
    shard = shard_files.flip_bit(folder)
    with pytest.raises(dogcat.InputError, match=f"{shard} is damaged: record "):
        list(split.numpy_batches(8))
    with pytest.raises(dogcat.InputError, match=f"{shard} is damaged: record "):
        list(split)


def test_wrong_arguments_are_named(made, samples, tmp_path):
    split = made.split("train")
    with pytest.raises(ValueError, match="batch_size is 0; it must be 1 or more"):
        split.batches(0)
    with pytest.raises(ValueError, match="augment is 'all'; use one of source, none, strong"):
        split.batches(8, augment="all")
    with pytest.raises(TypeError, match="'image_siz' is not an option; did you mean 'image_size'"):
        dogcat.make_dataset(samples / "train", tmp_path / "out", image_siz=32)
    with pytest.raises(TypeError, match="image_size is '32'; it must be of type int"):
        dogcat.make_dataset(samples / "train", tmp_path / "out", image_size="32")
    with pytest.raises(dogcat.InputError, match="--image_size=3: use 16 to 4096 pixels"):
        dogcat.make_dataset(samples / "train", tmp_path / "out", image_size=3)
    with pytest.raises(dogcat.InputError, match="already"):
        dogcat.make_dataset(samples / "train", made.folder)
    assert not (tmp_path / "out").exists()


def test_pictures_without_labels_are_a_data_set_too(samples, tmp_path):
    made = dogcat.make_dataset(samples / "test", tmp_path / "out", unlabeled=True, image_size=32, workers=1)
    assert made.classes == [] and made.counts == {"test": len(made.split("test"))}
    assert set(made.split("test").labels) == {-1}
