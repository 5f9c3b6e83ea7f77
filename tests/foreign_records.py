"""TFRecords as other programs write them, by TensorFlow's own writer."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog")


def picture(number, label, form="JPEG", size=None):
    """A picture of a colour that tells its label, of a size of its own, encoded."""
    generator = np.random.default_rng(number)
    width, height = size or generator.integers(40, 90, 2).tolist()
    pixels = generator.integers(0, 120, (height, width, 3))
    pixels[:, :, 2 * label] += 100
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def feature(*values):
    """A feature of whole numbers, of fractions or of bytes."""
    import tensorflow as tf

    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def example(**features):
    """A serialised example; of a name, `__` is a slash."""
    import tensorflow as tf

    named = {name.replace("__", "/"): feature(*values) for name, values in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


def of_tfds(number, label):
    """As TensorFlow Datasets writes cats_vs_dogs."""
    name = f"PetImages/{number}.jpg".encode()
    return example(image=[picture(number, label)], image__filename=[name], label=[label])


def of_slim(number, label):
    """As the scripts of TF-Slim and Inception do: numbers begin at 1."""
    form = "PNG" if number % 3 else "JPEG"
    return example(
        image__encoded=[picture(number, label, form)],
        image__format=[form.lower().encode()],
        image__class__label=[label + 1],
        image__class__text=[CLASSES[label].encode()],
        image__height=[50],
        image__width=[60],
    )


def of_keras(number, label):
    """As a recipe in Keras' documents does."""
    return example(
        image=[picture(number, label)],
        path=[f"{number}.jpg".encode()],
        area=[12.5],
        bbox=[0.0, 1.0, 2.0, 3.0],
        category_id=[label],
    )


def write(path, records, gzip=False):
    """Writes records into a file; returns its path."""
    import tensorflow as tf

    options = tf.io.TFRecordOptions(compression_type="GZIP" if gzip else "")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for record in records:
            writer.write(record)
    return path


def write_set(folder, layout=of_tfds, train=(13, 11), validation=(12,), gzip=False):
    """Writes files of so many records each; returns the flags that name them."""
    folder.mkdir(exist_ok=True)
    number = 0
    for split, counts in {"train": train, "val": validation}.items():
        for shard, count in enumerate(counts):
            path = folder / f"{split}.tfrecord-{shard:05d}-of-{len(counts):05d}"
            write(path, [layout(number + place, (number + place) % 2) for place in range(count)], gzip)
            number += count
    return [f"--tfrecords={folder}/train.tfrecord-*", f"--validation_tfrecords={folder}/val.tfrecord-*"]
